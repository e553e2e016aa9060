"""Curated masks for other programs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

from napari_semimoe.core.errors import SettingsError
from napari_semimoe.project.project import Project

ExportKind = Literal["ome-zarr", "png", "geojson"]
Progress = Callable[[int, int, str], None]


def export_project(
    project: Project,
    out: Path,
    kind: ExportKind,
    *,
    tiles: Sequence[int] | None = None,
    progress: Progress | None = None,
) -> Any:
    """Write curated masks, of all tiles or of those named; returns the exporter's report."""
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
    return writers[kind](project, out, tiles=tiles, progress=progress)
