"""Curated masks as 16-bit PNG files of instance ids, with a table of who made them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Unpack

import numpy as np

from napari_semimoe.core.values import IGNORE
from napari_semimoe.project import mask_table
from napari_semimoe.project.exporting import (
    CuratedTile,
    ExportReport,
    HowToExport,
    export_files,
    identity,
    read_curated,
    refuse_foreign,
    write_export,
)
from napari_semimoe.project.mask_png import CURATED, mark_of, save_png
from napari_semimoe.project.project import Project
from napari_semimoe.project.records import TileRecord


def export_png(project: Project, out: Path | str, **how: Unpack[HowToExport]) -> ExportReport:
    """Write ``<tile>.png`` for each curated tile, and ``masks.csv``.

    Values are instance ids; 65535 marks pixels that must not teach. The table names the class of
    each object where there are several, and keeps its rows of masks that an earlier export left
    in the folder.
    """
    table = Path(out).absolute() / mask_table.NAME
    earlier = mask_table.read_rows(table.parent)
    rows: list[dict[str, Any]] = []

    def mark(tile: TileRecord) -> dict[str, str]:
        return {"kind": CURATED, **identity(project, tile)}

    def refuse(path: Path, tiles: Sequence[TileRecord]) -> None:
        refuse_foreign(path, is_own=mark_of(path) == mark(tiles[0]))
        refuse_foreign(table, is_own=mask_table.is_own(table), of="kind")

    def write(path: Path, tiles: Sequence[TileRecord]) -> None:
        curated = read_curated(project, tiles[0])
        save_png(path, curated.labels, curated.tile.um_per_px, mark(tiles[0]))
        about = {"file": path.name, **curated.provenance(project)}
        source = project.image(curated.tile.image_id).source
        rows.append({**about, "source": source, "classes": _classes(project, curated)})

    try:
        return export_files(project, out, ".png", write, refuse=refuse, **how)
    finally:
        if rows:  # also of an export that ended early
            written = {row["file"] for row in rows}
            others = [
                row
                for row in earlier
                if row["file"] not in written and (table.parent / row["file"]).exists()
            ]
            every = [*others, *rows]
            write_export(table, lambda path: mask_table.write_rows(path, every))


def _classes(project: Project, curated: CuratedTile) -> str:
    """Return the name of each object's class as JSON; nothing where there is only one."""
    if len(project.classes) == 2:
        return ""
    numbers = np.setdiff1d(curated.labels, (0, IGNORE)).tolist()
    of_object = curated.annotation.classes
    return json.dumps({number: project.classes[of_object.get(number, 1)] for number in numbers})
