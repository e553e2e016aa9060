"""Curated masks for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Unpack

from napari_semimoe.core.errors import SettingsError
from napari_semimoe.project.exporting import ExportReport, HowToExport
from napari_semimoe.project.project import Project

ExportKind = Literal["ome-zarr", "png", "geojson"]


def export_project(
    project: Project, out: Path, kind: ExportKind, **how: Unpack[HowToExport]
) -> ExportReport:
    """Write curated masks, of all tiles or of those named; returns what was written."""
    from napari_semimoe.project import export

    writers = {
        "ome-zarr": export.export_ome_zarr,
        "png": export.export_png,
        "geojson": export.export_geojson,
    }
    if kind not in writers:
        raise SettingsError(
            f"The kind of export must be one of {', '.join(writers)}, got {kind!r}. Choose one."
        )
    return writers[kind](project, out, **how)
