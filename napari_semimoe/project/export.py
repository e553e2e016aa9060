"""All ways out of a project."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Literal, Unpack

from napari_semimoe.core.errors import SettingsError
from napari_semimoe.project.export_csv import export_csv
from napari_semimoe.project.export_geojson import export_geojson
from napari_semimoe.project.export_ome_zarr import export_ome_zarr
from napari_semimoe.project.export_png import export_png
from napari_semimoe.project.exporting import ExportReport, HowToExport
from napari_semimoe.project.project import Project

__all__ = [
    "ExportKind",
    "export_csv",
    "export_geojson",
    "export_ome_zarr",
    "export_png",
    "export_project",
]

ExportKind = Literal["ome-zarr", "ome-zarr-0.4", "png", "geojson", "csv"]
_WRITERS: dict[str, Callable[..., ExportReport]] = {
    "ome-zarr": export_ome_zarr,
    "ome-zarr-0.4": partial(export_ome_zarr, version="0.4"),
    "png": export_png,
    "geojson": export_geojson,
    "csv": export_csv,
}


def export_project(
    project: Project, out: Path, kind: ExportKind, **how: Unpack[HowToExport]
) -> ExportReport:
    """Write curated masks, of all tiles or of those named; returns what was written.

    Raises
    ------
    SettingsError
        If there is no such kind.
    """
    if kind not in _WRITERS:
        raise SettingsError(
            f"The kind of export must be one of {', '.join(_WRITERS)}, got {kind!r}. Choose one."
        )
    return _WRITERS[kind](project, out, **how)
