"""Curated masks as 16-bit PNG files of instance ids, with a table of who made them."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Unpack

from napari_semimoe.project.exporting import (
    ExportReport,
    HowToExport,
    export_files,
    read_curated,
    refuse_foreign,
    write_whole,
)
from napari_semimoe.project.mask_png import is_own_png, save_png
from napari_semimoe.project.project import Project
from napari_semimoe.project.records import TileRecord

TABLE = "masks.csv"


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


def _is_own_table(path: Path) -> bool:
    return path.is_file() and path.read_bytes().startswith(b"file,project,image,tile,")


def _write_table(path: Path, rows: list[dict[str, object]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
