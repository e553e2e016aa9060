"""The order in which a person meets the tiles, and the way back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from napari_semimoe.core.states import Pool
from napari_semimoe.project.records import TileRecord

QueueOrder = Literal["disagreement", "name"]


def is_open(tile: TileRecord) -> bool:
    """Whether a person still has to look at the tile."""
    return tile.annotation_id is None and tile.pool is not Pool.EXCLUDED


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


def natural_key(name: str) -> list[tuple[int, int, str]]:
    """Return a key that sorts ``tile_10`` after ``tile_9``."""
    parts: list[tuple[int, int, str]] = []
    digits = ""
    for letter in name.casefold() + "\0":
        if letter.isascii() and letter.isdigit():
            digits += letter
            continue
        if digits:
            parts.append((0, int(digits), ""))
            digits = ""
        parts.append((1, 0, letter))
    return parts


def upcoming(tiles: Sequence[TileRecord], current: int | None, count: int) -> list[int]:
    """Return the next ``count`` open tiles after the current one, going round once."""
    ids = [tile.id for tile in tiles]
    start = ids.index(current) + 1 if current in ids else 0
    around = [*tiles[start:], *tiles[:start]]
    return [tile.id for tile in around if is_open(tile) and tile.id != current][:count]


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
