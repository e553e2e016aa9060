"""What a round learns from, as JSON for a process that knows no project."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

from napari_semimoe.core.states import Pool
from napari_semimoe.project import annotations as versions
from napari_semimoe.project import pools
from napari_semimoe.project.records import ImageRecord, TileRecord
from napari_semimoe.project.store import Store

Role = Literal["labelled", "unlabelled", "validation"]


def build(
    index: Store, tiles: Iterable[TileRecord], images: Iterable[ImageRecord]
) -> dict[str, Any]:
    """Return the tiles that take part in a round and where their pixels lie.

    Excluded tiles take no part; nor does an unlabelled tile of a patient who validates.
    """
    by_id = {image.id: image for image in images}
    sides = pools.read_sides(index)
    entries = []
    for tile in tiles:
        role = role_of(tile, sides.get(tile.group, False))
        if role is not None:
            entries.append(_entry(index, tile, by_id[tile.image_id], role))
    return {"format": 1, "tiles": entries}


def role_of(tile: TileRecord, group_validates: bool) -> Role | None:
    """Return how a tile takes part in a round, or None when it does not."""
    if tile.pool is Pool.VALIDATION:
        return "validation"
    if group_validates or tile.pool is Pool.EXCLUDED:
        return None
    return "labelled" if tile.pool.teaches_with_mask else "unlabelled"


def image_source(index: Store, tile: TileRecord, image: ImageRecord) -> dict[str, Any]:
    """Return where a worker finds a tile's pixels."""
    box = tile.box
    return {
        "array": str(index.path / image.path),
        "box": [box.y0, box.x0, box.y1, box.x1],
        "um_per_px": image.um_per_px,
        "name": tile.name,
    }


def _entry(index: Store, tile: TileRecord, image: ImageRecord, role: Role) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "tile_id": tile.id,
        "name": tile.name,
        "image": image_source(index, tile, image),
        "labels": None,
        "classes": {},
        "role": role,
        "content_hash": tile.content_hash,
        "patient": tile.patient,
    }
    record = versions.find(index, tile.annotation_id) if tile.annotation_id else None
    if role != "unlabelled" and record is not None:
        entry["labels"] = {
            "array": str(index.path / record.path),
            "annotation_id": record.id,
            "sha256": record.sha256,
        }
        entry["classes"] = {str(key): value for key, value in record.classes.items()}
    return entry
