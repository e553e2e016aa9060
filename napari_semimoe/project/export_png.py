"""Curated masks as 16-bit PNG files of instance ids, with a table of who made them."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Unpack

import numpy as np
from numpy.typing import NDArray

from napari_semimoe.project.exporting import (
    ExportReport,
    HowToExport,
    export_files,
    read_curated,
    refuse_foreign,
    write_whole,
)
from napari_semimoe.project.project import Project
from napari_semimoe.project.records import TileRecord
from napari_semimoe.project.resolution import UM_PER_INCH

TABLE = "masks.csv"
#: Marks a PNG as written here; another is never replaced.
SOFTWARE = "napari-semimoe"


def export_png(project: Project, out: Path | str, **how: Unpack[HowToExport]) -> ExportReport:
    """Write ``<tile>.png`` for each curated tile, and ``masks.csv``.

    Values are instance ids; 65535 marks pixels that must not teach.
    """
    rows = []

    def refuse(path: Path) -> None:
        refuse_foreign(path, is_own=is_own_png(path))
        refuse_foreign(path.with_name(TABLE), is_own=_is_own_table(path.with_name(TABLE)))

    def write(path: Path, tiles: Sequence[TileRecord]) -> None:
        curated = read_curated(project, tiles[0])
        save_png(path, curated.labels, curated.tile.um_per_px)
        rows.append({"file": path.name, **curated.provenance(project)})

    report = export_files(project, out, ".png", write, refuse=refuse, **how)
    if rows:
        table = report.written[0].with_name(TABLE)
        write_whole(table, lambda path: _write_table(path, rows))
    return report


def save_png(path: Path, labels: NDArray[np.uint16], um_per_px: float) -> None:
    """Write instance ids as a 16-bit PNG that knows its microns per pixel, and who wrote it."""
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    about = PngInfo()
    about.add_text("Software", SOFTWARE)
    how = {"format": "PNG", "dpi": (UM_PER_INCH / um_per_px,) * 2, "pnginfo": about}
    image = Image.fromarray(np.ascontiguousarray(labels, dtype=np.uint16))
    write_whole(path, lambda target: image.save(target, **how))


def is_own_png(path: Path) -> bool:
    """Whether a file is a mask that `save_png` wrote."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            return image.info.get("Software") == SOFTWARE
    except (OSError, ValueError):  # missing, or no image
        return False


def _is_own_table(path: Path) -> bool:
    return path.is_file() and path.read_bytes().startswith(b"file,project,image,tile,")


def _write_table(path: Path, rows: list[dict[str, object]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
