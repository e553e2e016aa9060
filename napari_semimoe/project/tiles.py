"""Looking up tiles."""

from __future__ import annotations

from napari_semimoe.core.errors import ProjectError
from napari_semimoe.core.states import Pool
from napari_semimoe.project.records import TileRecord
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
