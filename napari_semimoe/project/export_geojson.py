"""Curated masks as GeoJSON annotations for QuPath: one file per image, holes kept."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Unpack

import numpy as np
from numpy.typing import NDArray

from napari_semimoe.core.colours import as_bytes, class_colour
from napari_semimoe.core.values import IGNORE
from napari_semimoe.project.exporting import (
    CuratedTile,
    ExportReport,
    HowToExport,
    export_files,
    identity,
    read_curated,
    refuse_foreign,
    with_neighbours,
    write_export,
)
from napari_semimoe.project.mask_geojson import IGNORE_CLASS, MARK, PREDICTED_HEAD, TILES
from napari_semimoe.project.polygons import Ring, instance_polygons
from napari_semimoe.project.project import Project
from napari_semimoe.project.records import TileRecord
from napari_semimoe.project.seams import whole_arrays

#: What of a mask's provenance an object carries.
_METADATA = ("author", "created", "origin", "model", "round")


def export_geojson(project: Project, out: Path | str, **how: Unpack[HowToExport]) -> ExportReport:
    """Write ``<image>.geojson`` for each image with curated tiles.

    A file has all curated tiles of its image, also where only one of them was asked for: it would
    take the place of a file that has them. Coordinates are pixels of the whole image, so the
    objects of a large image's tiles lie where QuPath shows that image. Pixels that must not teach
    become class ``Ignore*``.
    """

    def image_name(tile: TileRecord) -> str:
        return project.image(tile.image_id).name

    def mark(tile: TileRecord) -> dict[str, str]:
        return {**identity(project, tile), "image_sha256": project.image(tile.image_id).sha256}

    def write(path: Path, tiles: Sequence[TileRecord]) -> None:
        boxes = [[box.y0, box.x0, box.y1, box.x1] for box in (tile.box for tile in tiles)]
        about = {MARK: mark(tiles[0]), TILES: boxes}
        text = json.dumps({**collection(project, tiles), **about})
        write_export(path, lambda target: target.write_text(text, encoding="utf-8"))

    def refuse(path: Path, tiles: Sequence[TileRecord]) -> None:
        refuse_foreign(path, is_own=_mark_of(path) == mark(tiles[0]))

    if (asked := how.get("tiles")) is not None:
        how["tiles"] = with_neighbours(project, asked)
    return export_files(project, out, ".geojson", write, name_of=image_name, refuse=refuse, **how)


def _mark_of(path: Path) -> Any:
    """Return by what a file says that it was written here; None where it does not."""
    try:
        return json.loads(path.read_bytes()).get(MARK)
    except (OSError, ValueError, AttributeError):
        return None


def collection(project: Project, tiles: Iterable[TileRecord]) -> dict[str, Any]:
    """Return a FeatureCollection of all objects of some tiles of one image.

    An object that the tiles' borders cut is one, see `whole_arrays`; what is told of it is that
    of its first piece.
    """
    curated = [read_curated(project, tile) for tile in tiles]
    outlines: dict[tuple[int, int], list[list[Ring]]] = {}
    for tile, labels, corner in whole_arrays(
        [each.tile.box for each in curated],
        [each.labels for each in curated],
        [each.annotation.classes for each in curated],
    ):
        for number, polygons in instance_polygons(labels):
            outlines[tile, number] = _moved(polygons, corner)
    features = [
        _curated_feature(project, curated[tile], number, polygons)
        for (tile, number), polygons in sorted(outlines.items(), key=lambda item: item[0])
    ]
    return {"type": "FeatureCollection", "features": features}


def _moved(polygons: list[list[Ring]], corner: tuple[int, int]) -> list[list[Ring]]:
    return [[ring + np.array(corner, float) for ring in rings] for rings in polygons]


def predicted_collection(
    name: str,
    sha256: str,
    instances: NDArray[np.uint16],
    classes: Mapping[int, int],
    class_names: Sequence[str],
) -> dict[str, Any]:
    """Return a FeatureCollection of what a network marked in an image.

    Parameters
    ----------
    name, sha256
        Of the image, and of its pixels.
    instances
        ``(H, W)`` instance ids.
    classes
        Class index of each; absent ids are class 1.
    class_names
        What the classes are called, the background first.
    """
    features = [
        _feature(f"{sha256}#{number}", name, number, classes, class_names, polygons)
        for number, polygons in instance_polygons(instances)
    ]
    return {**PREDICTED_HEAD, "of_image": sha256, "features": features}


def _curated_feature(
    project: Project, curated: CuratedTile, number: int, polygons: list[list[Ring]]
) -> dict[str, Any]:
    annotation = curated.annotation
    identity = f"{annotation.path}#{number}"
    made = _feature(
        identity, curated.tile.name, number, annotation.classes, project.classes, polygons
    )
    made["properties"]["metadata"] = {
        key: str(value)
        for key, value in curated.provenance(project).items()
        if key in _METADATA and value is not None
    }
    return made


def _feature(
    identity: str,
    of: str,
    number: int,
    classes: Mapping[int, int],
    class_names: Sequence[str],
    polygons: list[list[Ring]],
) -> dict[str, Any]:
    class_index = classes.get(number, 1)
    name, colour = class_names[class_index], as_bytes(class_colour(class_index))
    if number == IGNORE:
        name, colour = IGNORE_CLASS, [180, 180, 180]
    return {
        "type": "Feature",
        "id": str(uuid.uuid5(uuid.NAMESPACE_OID, identity)),
        "geometry": _geometry(polygons),
        "properties": {
            "objectType": "annotation",
            "name": f"{of} {number}",
            "classification": {"name": name, "color": colour},
            "isLocked": False,
        },
    }


def _geometry(polygons: list[list[Ring]]) -> dict[str, Any]:
    parts = [[ring.tolist() for ring in rings] for rings in polygons]
    if len(parts) == 1:
        return {"type": "Polygon", "coordinates": parts[0]}
    return {"type": "MultiPolygon", "coordinates": parts}
