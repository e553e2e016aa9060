"""Curated masks as GeoJSON annotations for QuPath: one file per image, holes kept."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from napari_semimoe.core.values import IGNORE
from napari_semimoe.project.colours import class_colour
from napari_semimoe.project.exporting import (
    CuratedTile,
    ExportReport,
    Progress,
    ShouldStop,
    curated_tiles,
    export_folder,
    file_names,
    read_curated,
    write_whole,
)
from napari_semimoe.project.polygons import Ring, instance_polygons
from napari_semimoe.project.project import Project
from napari_semimoe.project.records import TileRecord

#: QuPath leaves regions of this class out of measurements.
IGNORE_CLASS = "Ignore*"


def export_geojson(
    project: Project,
    out: Path | str,
    *,
    tiles: Iterable[int] | None = None,
    progress: Progress | None = None,
    should_stop: ShouldStop | None = None,
) -> ExportReport:
    """Write ``<image>.geojson`` for each image with curated tiles.

    Coordinates are pixels of the whole image, so the objects of a large image's tiles lie
    where QuPath shows that image. Pixels that must not teach become class ``Ignore*``.
    """
    by_image: dict[int, list[TileRecord]] = {}
    for tile in curated_tiles(project, tiles):
        by_image.setdefault(tile.image_id, []).append(tile)
    out = export_folder(Path(out))
    names = file_names([project.image(image_id).name for image_id in by_image])
    written, done = [], 0
    for name, group in zip(names, by_image.values(), strict=True):
        if should_stop and should_stop():
            break
        if progress:
            progress(len(written), len(by_image), name)
        path = out / f"{name}.geojson"
        text = json.dumps(collection(project, group))
        write_whole(path, lambda target, text=text: target.write_text(text, encoding="utf-8"))
        written.append(path)
        done += len(group)
    return ExportReport(tuple(written), done, cancelled=len(written) < len(by_image))


def collection(project: Project, tiles: Iterable[TileRecord]) -> dict[str, Any]:
    """Return a FeatureCollection of all objects of some tiles of one image."""
    features = [
        feature for tile in tiles for feature in _features(project, read_curated(project, tile))
    ]
    return {"type": "FeatureCollection", "features": features}


def _features(project: Project, curated: CuratedTile) -> Iterator[dict[str, Any]]:
    corner = np.array([curated.tile.box.x0, curated.tile.box.y0], float)
    for number, polygons in instance_polygons(curated.labels):
        class_index = curated.annotation.classes.get(number, 1)
        name, colour = project.classes[class_index], class_colour(class_index)
        if number == IGNORE:
            name, colour = IGNORE_CLASS, (180, 180, 180)
        yield {
            "type": "Feature",
            "id": str(uuid.uuid5(uuid.NAMESPACE_OID, f"{curated.annotation.path}#{number}")),
            "geometry": _geometry([[ring + corner for ring in rings] for rings in polygons]),
            "properties": {
                "objectType": "annotation",
                "name": f"{curated.tile.name} {number}",
                "classification": {"name": name, "color": list(colour)},
                "isLocked": False,
                "metadata": {
                    key: str(value)
                    for key, value in curated.provenance(project).items()
                    if key in ("author", "created", "origin", "model", "round")
                    and value is not None
                },
            },
        }


def _geometry(polygons: list[list[Ring]]) -> dict[str, Any]:
    parts = [[ring.tolist() for ring in rings] for rings in polygons]
    if len(parts) == 1:
        return {"type": "Polygon", "coordinates": parts[0]}
    return {"type": "MultiPolygon", "coordinates": parts}
