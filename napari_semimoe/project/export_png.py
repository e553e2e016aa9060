"""Curated masks as 16-bit PNG files of instance ids, with a table of who made them."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Unpack

from napari_semimoe.project.exporting import (
    ExportReport,
    HowToExport,
    export_files,
    identity,
    read_curated,
    refuse_foreign,
    write_whole,
)
from napari_semimoe.project.mask_png import CURATED, mark_of, save_png
from napari_semimoe.project.project import Project
from napari_semimoe.project.records import TileRecord

TABLE = "masks.csv"


def export_png(project: Project, out: Path | str, **how: Unpack[HowToExport]) -> ExportReport:
    """Write ``<tile>.png`` for each curated tile, and ``masks.csv``.

    Values are instance ids; 65535 marks pixels that must not teach. The table keeps its rows of
    masks that an earlier export left in the folder.
    """
    table = Path(out).absolute() / TABLE
    rows: list[dict[str, Any]] = []

    def mark(tile: TileRecord) -> dict[str, str]:
        return {"kind": CURATED, **identity(project, tile)}

    def refuse(path: Path, tiles: Sequence[TileRecord]) -> None:
        refuse_foreign(path, is_own=mark_of(path) == mark(tiles[0]))
        refuse_foreign(table, is_own=_is_own_table(table))

    def write(path: Path, tiles: Sequence[TileRecord]) -> None:
        curated = read_curated(project, tiles[0])
        save_png(path, curated.labels, curated.tile.um_per_px, mark(tiles[0]))
        rows.append({"file": path.name, **curated.provenance(project)})

    try:
        return export_files(project, out, ".png", write, refuse=refuse, **how)
    finally:
        if rows:  # also of an export that ended early
            every = [*_rows_of_others(table, {row["file"] for row in rows}), *rows]
            write_whole(table, lambda path: _write_table(path, every))


def _rows_of_others(table: Path, written: set[str]) -> list[dict[str, Any]]:
    if not table.exists():
        return []
    with table.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return [
        row for row in rows if row["file"] not in written and (table.parent / row["file"]).exists()
    ]


def _is_own_table(path: Path) -> bool:
    return path.is_file() and path.read_bytes().startswith(b"file,project,image,tile,")


def _write_table(path: Path, rows: list[dict[str, Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[-1]), extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
