"""Which tiles teach and which are kept for validation: one in five, whole groups, frozen.

A group is a patient where known, else a tile's content. A group stands wholly on one side.
Its side is decided once, when its first mask arrives, and only a person changes it later, or the
naming of its patient.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

from napari_semimoe.core.errors import ProjectError
from napari_semimoe.core.states import Pool
from napari_semimoe.project.records import IMPORTED, TileRecord, group_key, now
from napari_semimoe.project.store import Store

#: One labelled tile in this many is kept for validation.
ONE_IN = 5
#: Where groups are large, of so many at most.
AT_MOST_ONE_IN = 3

#: Pools of tiles whose mask is used.
WITH_MASK = (Pool.LABELLED, Pool.CURATED, Pool.VALIDATION)


class _Masked(NamedTuple):
    """A tile with a mask that is used."""

    id: int
    group: str
    pool: Pool
    image_id: int


def choose_validation(new: Mapping[str, int], labelled: int, validation: int) -> set[str]:
    """Choose which new groups validate.

    Parameters
    ----------
    new
        Number of labelled tiles in each undecided group, by a key in hash order when sorted.
    labelled, validation
        Tiles of decided groups that teach with a mask, and that validate.

    Returns
    -------
    set
        Groups for validation, so that it holds at most a fifth of all tiles with a mask. Where
        nothing validates because no group is so small, the smallest one, if it is at most a third.
    """
    total = labelled + validation + sum(new.values())
    chosen = set()
    for key in sorted(new):
        if (validation + new[key]) * ONE_IN <= total:
            chosen.add(key)
            validation += new[key]
    if not validation and total >= ONE_IN:
        smallest = min(sorted(new), key=lambda key: new[key], default=None)
        if smallest is not None and new[smallest] * AT_MOST_ONE_IN <= total:
            chosen.add(smallest)
    return chosen


def settle(store: Store, author: str) -> None:
    """Decide the side of groups that have none and move their tiles; inside a transaction.

    Running it again changes nothing, so an interrupted import is settled by the next call.
    """
    connection = store.connection
    sides = read_sides(store)
    tiles = _tiles_with_mask(connection)
    new: dict[str, int] = {}
    for tile in tiles:
        if tile.group not in sides:
            new[tile.group] = new.get(tile.group, 0) + 1
    known = [sides[tile.group] for tile in tiles if tile.group in sides]
    by_hash = {_hash_order(group): group for group in new}
    chosen = choose_validation(
        {key: new[group] for key, group in by_hash.items()}, known.count(False), known.count(True)
    )
    for key, group in by_hash.items():
        sides[group] = key in chosen
        _store_side(connection, group, sides[group], "rule")
    for tile in tiles:
        if sides[tile.group] and tile.pool is not Pool.VALIDATION:
            why = "the rule chose it" if tile.group in new else "its patient validates"
            move(store, author, tile.id, Pool.VALIDATION, why)


def set_pool(store: Store, tile: TileRecord, pool: Pool, author: str) -> tuple[int, ...]:
    """Move a tile because a person says so; its group follows when the side changes.

    Returns
    -------
    tuple
        Ids of all tiles that moved.
    """
    if pool in WITH_MASK and tile.annotation_id is None:
        raise ProjectError(
            f"Only a tile with a mask can be {pool}; {tile.name} has none yet. Accept a mask first."
        )
    with store.transaction():
        return decide(store, tile, pool, author)


def decide(store: Store, tile: TileRecord, pool: Pool, author: str) -> tuple[int, ...]:
    """Do what `set_pool` does, inside a transaction and without asking for a mask."""
    moves = {tile.id: pool} if pool is not tile.pool else {}
    if pool in WITH_MASK:
        moves |= _group_moves(store.connection, tile, pool)
    for tile_id, target in moves.items():
        move(store, author, tile_id, target, "a person decided")
    return tuple(moves)


def regroup(store: Store, image_ids: Collection[int], author: str) -> None:
    """Let tiles stand with the patient that their images have now; inside a transaction.

    A patient whose side is known keeps it. One whose tiles all stand on one side stays there; of
    the others the rule decides.
    """
    connection = store.connection
    _forget_empty_sides(connection)
    sides = read_sides(store)
    groups: dict[str, list[_Masked]] = {}
    for tile in _tiles_with_mask(connection):
        if tile.image_id in image_ids:
            groups.setdefault(tile.group, []).append(tile)
    for group, members in groups.items():
        validating = [tile for tile in members if tile.pool is Pool.VALIDATION]
        if group not in sides and len(validating) in (0, len(members)):
            sides[group] = bool(validating)
            _store_side(connection, group, sides[group], "rule")
        if not sides.get(group):
            for tile in validating:
                pool = _teaching_pool(connection, tile.id)
                move(store, author, tile.id, pool, "its patient was named")
    settle(store, author)


def read_sides(store: Store) -> dict[str, bool]:
    """Return by group whether it validates."""
    rows = store.rows("SELECT group_key, validates FROM side")
    return {row["group_key"]: bool(row["validates"]) for row in rows}


def _group_moves(connection: sqlite3.Connection, tile: TileRecord, pool: Pool) -> dict[int, Pool]:
    validates = pool is Pool.VALIDATION
    _store_side(connection, tile.group, validates, "person")
    others = [
        other
        for other in _tiles_with_mask(connection)
        if other.group == tile.group and other.id != tile.id
    ]
    if validates:
        return {other.id: pool for other in others if other.pool is not pool}
    return {
        other.id: _teaching_pool(connection, other.id)
        for other in others
        if other.pool is Pool.VALIDATION
    }


def _teaching_pool(connection: sqlite3.Connection, tile_id: int) -> Pool:
    row = connection.execute(
        "SELECT origin FROM annotation WHERE tile_id = ? ORDER BY version DESC LIMIT 1", (tile_id,)
    ).fetchone()
    return Pool.LABELLED if row["origin"] == IMPORTED else Pool.CURATED


def _tiles_with_mask(connection: sqlite3.Connection) -> list[_Masked]:
    rows: Iterable[sqlite3.Row] = connection.execute(
        "SELECT tile.id, tile.content_hash, tile.pool, tile.image_id, image.patient FROM tile"
        " JOIN image ON image.id = tile.image_id WHERE tile.pool IN (?, ?, ?) ORDER BY tile.id",
        WITH_MASK,
    )
    return [
        _Masked(
            row["id"],
            group_key(row["patient"], row["content_hash"]),
            Pool(row["pool"]),
            row["image_id"],
        )
        for row in rows
    ]


def _forget_empty_sides(connection: sqlite3.Connection) -> None:
    """Forget where groups stood that no tile belongs to any more."""
    rows = connection.execute(
        "SELECT image.patient, tile.content_hash FROM tile JOIN image ON image.id = tile.image_id"
    ).fetchall()
    groups = {group_key(row["patient"], row["content_hash"]) for row in rows}
    known = connection.execute("SELECT group_key FROM side").fetchall()
    gone = [(row["group_key"],) for row in known if row["group_key"] not in groups]
    connection.executemany("DELETE FROM side WHERE group_key = ?", gone)


def _hash_order(group: str) -> str:
    return hashlib.sha256(group.encode()).hexdigest()


def _store_side(
    connection: sqlite3.Connection, group: str, validates: bool, decided_by: str
) -> None:
    connection.execute(
        "INSERT OR REPLACE INTO side VALUES (?, ?, ?, ?)", (group, validates, decided_by, now())
    )


def move(store: Store, author: str, tile_id: int, pool: Pool, why: str) -> None:
    """Move one tile and say why in the audit trail; inside a transaction."""
    was = store.connection.execute("SELECT pool FROM tile WHERE id = ?", (tile_id,)).fetchone()[0]
    store.connection.execute("UPDATE tile SET pool = ? WHERE id = ?", (pool, tile_id))
    store.audit(author, "pool", tile_id, was=was, now=str(pool), why=why)
