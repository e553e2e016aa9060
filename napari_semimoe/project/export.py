"""All ways out of a project."""

from napari_semimoe.project.export_geojson import export_geojson
from napari_semimoe.project.export_ome_zarr import export_ome_zarr
from napari_semimoe.project.export_png import export_png
from napari_semimoe.project.exporting import ExportReport

__all__ = ["ExportReport", "export_geojson", "export_ome_zarr", "export_png"]
