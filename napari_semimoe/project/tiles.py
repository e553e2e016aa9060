"""Looking up images and tiles, and reading their pixels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_semimoe.core.errors import ProjectError
from napari_semimoe.core.states import Pool
from napari_semimoe.project.arrays import read_array
from napari_semimoe.project.records import ImageRecord, TileRecord
from napari_semimoe.project.store import Store

_QUERY = """
SELECT tile.id, tile.image_id, tile.name, tile.y0, tile.x0, tile.y1, tile.x1, tile.pool,
  tile.content_hash, image.um_per_px, image.patient,
  (SELECT id FROM annotation WHERE tile_id = tile.id ORDER BY version DESC LIMIT 1)
    AS annotation_id,
  prediction.id AS prediction_id, prediction.disagreement,
  (SELECT coalesce(sum(seconds), 0.0) FROM annotation WHERE tile_id = tile.id)
    AS seconds_of_effort
FROM tile JOIN image ON image.id = tile.image_id
LEFT JOIN prediction ON prediction.tile_id = tile.id
"""


def find(index: Store, tile_id: int) -> TileRecord:
    """Return one tile.

    Raises
    ------
    ProjectError
        If there is none with this id.
    """
    row = index.row(f"{_QUERY} WHERE tile.id = ?", (tile_id,))
    if row is None:
        raise ProjectError(f"This project has no tile {tile_id}. Choose one of its tiles.")
    return TileRecord.of(row)


def every(index: Store, pool: Pool | None = None) -> list[TileRecord]:
    """Return all tiles, or those of one pool, in the order in which they were added."""
    if pool is None:
        rows = index.rows(f"{_QUERY} ORDER BY tile.id")
    else:
        rows = index.rows(f"{_QUERY} WHERE tile.pool = ? ORDER BY tile.id", (pool,))
    return [TileRecord.of(row) for row in rows]


def image(index: Store, image_id: int) -> ImageRecord:
    """Return one image.

    Raises
    ------
    ProjectError
        If there is none with this id.
    """
    row = index.row("SELECT * FROM image WHERE id = ?", (image_id,))
    if row is None:
        raise ProjectError(f"This project has no image {image_id}. Choose one of its images.")
    return ImageRecord.of(row)


def images(index: Store) -> list[ImageRecord]:
    """Return all images in the order in which they were added."""
    return [ImageRecord.of(row) for row in index.rows("SELECT * FROM image ORDER BY id")]


def read(index: Store, tile: TileRecord) -> NDArray[np.uint8]:
    """Read a tile's pixels, ``(H, W, 3)`` uint8 RGB."""
    return read_array(index.path / image(index, tile.image_id).path, tile.box)
