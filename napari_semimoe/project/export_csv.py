"""Curated masks as tables: a row for each object, and one for each class of each image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Unpack

import numpy as np

from napari_semimoe.core.values import IGNORE
from napari_semimoe.project.exporting import (
    CuratedTile,
    ExportReport,
    HowToExport,
    curated_tiles,
    export_folder,
    grouped,
    in_turn,
    read_curated,
    refuse_foreign,
    with_neighbours,
    write_export,
)
from napari_semimoe.project.measure import COLUMNS, first_row, rows_of, write_table
from napari_semimoe.project.project import Project
from napari_semimoe.project.records import TileRecord
from napari_semimoe.project.seams import unknown_pixels, whole_arrays

OBJECTS, IMAGES = "objects.csv", "images.csv"
_ABOUT = ("author", "created", "origin", "version", "model", "round", "project", "project_created")
_COLUMNS = {
    OBJECTS: ("image", "tile", *COLUMNS, *_ABOUT),
    IMAGES: (
        *("image", "class", "objects", "area_um2", "share", "objects_per_mm2"),
        *("measured_um2", "um_per_px", "project", "project_created", "source"),
    ),
}
_Row = dict[str, Any]


def export_csv(project: Project, out: Path | str, **how: Unpack[HowToExport]) -> ExportReport:
    """Write ``objects.csv`` and ``images.csv``.

    The first has a row for each object of the images whose tiles are asked for: its class, sizes
    and shape (see `measured`), and who made the mask. An object that tiles cut is one. The second
    has a row for each class of each image: how many objects, their area, and their share of what
    has a mask and may teach. Tables of an earlier export are replaced; one that was cancelled
    writes none.
    """
    asked = how.get("tiles")
    chosen = curated_tiles(project, None if asked is None else with_neighbours(project, asked))
    groups = grouped(chosen, lambda tile: project.image(tile.image_id).name)
    folder = export_folder(Path(out))
    for name in _COLUMNS:
        refuse_foreign(folder / name, is_own=_is_own(folder / name, project), of="project")
    rows: dict[str, list[_Row]] = {OBJECTS: [], IMAGES: []}

    def measure(name: str, tiles: Sequence[TileRecord]) -> Path:
        curated = [read_curated(project, tile) for tile in tiles]
        objects = list(_objects(project, name, curated))
        rows[OBJECTS] += objects
        rows[IMAGES] += _classes(project, name, curated, objects)
        return folder / OBJECTS

    report = in_turn(
        groups, measure, progress=how.get("progress"), should_stop=how.get("should_stop")
    )
    if report.cancelled:
        return replace(report, written=(), tiles=0)
    for name, found in rows.items():
        write_export(folder / name, partial(write_table, columns=_COLUMNS[name], rows=found))
    return replace(report, written=tuple(folder / name for name in rows))


def _objects(project: Project, image: str, curated: Sequence[CuratedTile]) -> Iterator[_Row]:
    abouts = [each.provenance(project) for each in curated]
    boxes, masks = [each.tile.box for each in curated], [each.labels for each in curated]
    unknown = unknown_pixels(boxes, masks)
    classes = [each.annotation.classes for each in curated]
    for tile, labels, (x, y) in whole_arrays(boxes, masks, classes):
        around = unknown[y : y + labels.shape[0] + 2, x : x + labels.shape[1] + 2]
        each = curated[tile]
        about = {"image": image, "tile": each.tile.name}
        history = {name: abouts[tile][name] for name in _ABOUT}
        for row in rows_of(
            labels, classes[tile], project.classes, each.tile.um_per_px, (x, y), around
        ):
            yield about | row | history


def _classes(
    project: Project, image: str, curated: Sequence[CuratedTile], objects: Sequence[_Row]
) -> Iterator[_Row]:
    um_per_px = curated[0].tile.um_per_px
    pixels = sum(int(np.count_nonzero(each.labels != IGNORE)) for each in curated)
    whole = pixels * um_per_px**2
    for name in project.classes[1:]:
        areas = [row["area_um2"] for row in objects if row["class"] == name]
        yield {
            "image": image,
            "class": name,
            "objects": len(areas),
            "area_um2": round(sum(areas), 4),
            "share": round(sum(areas) / whole, 6) if whole else "",
            "objects_per_mm2": round(1e6 * len(areas) / whole, 4) if whole else "",
            "measured_um2": round(whole, 4),
            "um_per_px": um_per_px,
            "project": project.name,
            "project_created": project.created,
            "source": project.image(curated[0].tile.image_id).source,
        }


def _is_own(path: Path, project: Project) -> bool:
    """Whether a file is such a table of the project, or one without any row."""
    columns = _COLUMNS[path.name]
    before = tuple(name for name in columns if name != "source")  # as they once were
    rows = (first_row(path, each) for each in (columns, before))
    row = next((row for row in rows if row is not None), None)
    return row is not None and row.get("project_created", project.created) == project.created
