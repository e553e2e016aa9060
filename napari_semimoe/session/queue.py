"""The order in which a person meets the tiles, and the way back."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Literal

from napari_semimoe.core.errors import StorageError
from napari_semimoe.core.natural import natural_key
from napari_semimoe.core.states import Pool
from napari_semimoe.project.project import Project
from napari_semimoe.project.records import TileRecord

QueueOrder = Literal["disagreement", "name"]


def is_open(tile: TileRecord) -> bool:
    """Whether a person still has to look at the tile."""
    return tile.pool is Pool.UNLABELLED


def in_order(tiles: Sequence[TileRecord], order: QueueOrder) -> list[TileRecord]:
    """Sort tiles for the queue.

    ``name``: by name, numbers as numbers. ``disagreement``: open tiles first, those on which
    the experts disagree most at the top and those without a prediction after them.
    """
    by_name = sorted(tiles, key=lambda tile: natural_key(tile.name))
    if order == "name":
        return by_name
    return sorted(by_name, key=_rank)


def _rank(tile: TileRecord) -> tuple[bool, bool, float]:
    unknown = tile.disagreement is None
    return not is_open(tile), unknown, -(tile.disagreement or 0.0)


class Visited:
    """The tiles a person has looked at, like the pages of a browser."""

    def __init__(self) -> None:
        self._ids: list[int] = []

    def visit(self, tile_id: int) -> None:
        """Note a tile; going to the one before is a step back."""
        if len(self._ids) > 1 and self._ids[-2] == tile_id:
            self._ids.pop()
        elif not self._ids or self._ids[-1] != tile_id:
            self._ids.append(tile_id)

    def before(self) -> int | None:
        """Return the tile looked at before the present one."""
        return self._ids[-2] if len(self._ids) > 1 else None


class TileQueue:
    """A project's tiles in order, the one that the person is at, and the way back.

    Attributes
    ----------
    order
        What the tiles are sorted by.
    current
        The tile that the person is at.
    """

    def __init__(self) -> None:
        self.use(None)

    def use(self, project: Project | None) -> None:
        """Take up a project's queue where it was left; None: no project is open."""
        self._project = project
        self._visited = Visited()
        self._since = time.monotonic()
        self.order: QueueOrder = "name"
        self.current: int | None = None
        if project is None:
            return
        self.order = project.setting("queue_order", "name")
        active = project.setting("active_tile", None)
        if active in {tile.id for tile in project.tiles()}:
            self.current = active

    def sort_by(self, order: QueueOrder) -> None:
        """Sort otherwise from now on, also the next time the project is opened."""
        self.order = order
        if self._project is not None:
            self._project.set_setting("queue_order", order)

    def tiles(self) -> list[TileRecord]:
        """Return all tiles in order."""
        return [] if self._project is None else in_order(self._project.tiles(), self.order)

    def go_to(self, tile_id: int) -> None:
        """Note that the person is at a tile now, also for the next time."""
        assert self._project is not None, "a tile is chosen only while a project is open"
        self.current = tile_id
        self._visited.visit(tile_id)
        self._since = time.monotonic()
        with suppress(StorageError):  # a full disk hinders nobody from looking
            self._project.set_setting("active_tile", tile_id)

    def upcoming(self, count: int | None = None) -> list[int]:
        """Return the next open tiles after the current one, going round once; None: all."""
        tiles = self.tiles()
        ids = [tile.id for tile in tiles]
        start = ids.index(self.current) + 1 if self.current in ids else 0
        around = [*tiles[start:], *tiles[:start]]
        return [tile.id for tile in around if is_open(tile) and tile.id != self.current][:count]

    def previous(self) -> int | None:
        """Return the tile looked at before, else the one before in the queue."""
        before = self._visited.before()
        if before is not None:
            return before
        ids = [tile.id for tile in self.tiles() if tile.pool is not Pool.EXCLUDED]
        index = ids.index(self.current) if self.current in ids else 0
        return ids[index - 1] if index > 0 else None

    def spent(self, tile_id: int) -> float:
        """Return the seconds since the person came to the tile; 0 where they are not at it."""
        return time.monotonic() - self._since if tile_id == self.current else 0.0
