"""Curated masks as 16-bit PNG files of instance ids, with a table of who made them."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_semimoe.project.exporting import (
    ExportReport,
    Progress,
    ShouldStop,
    curated_tiles,
    export_folder,
    file_names,
    read_curated,
    write_whole,
)
from napari_semimoe.project.project import Project
from napari_semimoe.project.resolution import UM_PER_INCH

TABLE = "masks.csv"


def export_png(
    project: Project,
    out: Path | str,
    *,
    tiles: Iterable[int] | None = None,
    progress: Progress | None = None,
    should_stop: ShouldStop | None = None,
) -> ExportReport:
    """Write ``<tile>.png`` for each curated tile, and ``masks.csv``.

    Values are instance ids; 65535 marks pixels that must not teach.
    """
    chosen = curated_tiles(project, tiles)
    out = export_folder(Path(out))
    rows, written = [], []
    for tile, name in zip(chosen, file_names([tile.name for tile in chosen]), strict=True):
        if should_stop and should_stop():
            break
        if progress:
            progress(len(written), len(chosen), tile.name)
        curated = read_curated(project, tile)
        path = out / f"{name}.png"
        save_png(path, curated.labels, tile.um_per_px)
        rows.append({"file": path.name, **curated.provenance(project)})
        written.append(path)
    if rows:
        write_whole(out / TABLE, lambda path: _write_table(path, rows))
    return ExportReport(tuple(written), len(written), cancelled=len(written) < len(chosen))


def save_png(path: Path, labels: NDArray[np.uint16], um_per_px: float) -> None:
    """Write instance ids as a 16-bit PNG that knows its microns per pixel."""
    from PIL import Image

    dots = UM_PER_INCH / um_per_px
    image = Image.fromarray(np.ascontiguousarray(labels, dtype=np.uint16))
    write_whole(path, lambda target: image.save(target, format="PNG", dpi=(dots, dots)))


def _write_table(path: Path, rows: list[dict[str, object]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
