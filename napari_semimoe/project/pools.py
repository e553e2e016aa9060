"""Which tiles teach and which are kept for validation: one in five, whole groups, frozen.

A group is a patient where known, else a tile's content. A group stands wholly on one side.
Its side is decided once, when its first mask arrives, and only a person changes it later.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable, Mapping

from napari_semimoe.core.errors import ProjectError
from napari_semimoe.core.states import Pool
from napari_semimoe.project.records import TileRecord, group_key, now
from napari_semimoe.project.store import Store

#: One labelled tile in this many is kept for validation.
ONE_IN = 5

#: Pools of tiles whose mask is used.
WITH_MASK = (Pool.LABELLED, Pool.CURATED, Pool.VALIDATION)


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
        Groups for validation, so that it holds at most a fifth of all tiles with a mask.
    """
    total = labelled + validation + sum(new.values())
    chosen = set()
    for key in sorted(new):
        if (validation + new[key]) * ONE_IN <= total:
            chosen.add(key)
            validation += new[key]
    return chosen


def settle(store: Store, author: str) -> None:
    """Decide the side of groups that have none and move their tiles; inside a transaction.

    Running it again changes nothing, so an interrupted import is settled by the next call.
    """
    connection = store.connection
    sides = read_sides(store)
    tiles = _tiles_with_mask(connection)
    new: dict[str, int] = {}
    for _, group, _ in tiles:
        if group not in sides:
            new[group] = new.get(group, 0) + 1
    known = [sides[group] for _, group, _ in tiles if group in sides]
    by_hash = {_hash_order(group): group for group in new}
    chosen = choose_validation(
        {key: new[group] for key, group in by_hash.items()}, known.count(False), known.count(True)
    )
    for key, group in by_hash.items():
        sides[group] = key in chosen
        _store_side(connection, group, sides[group], "rule")
    moved = {tile for tile, group, pool in tiles if sides[group] and pool is not Pool.VALIDATION}
    for tile in sorted(moved):
        move(store, author, tile, Pool.VALIDATION, "one tile in five validates")


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


def read_sides(store: Store) -> dict[str, bool]:
    """Return by group whether it validates."""
    rows = store.rows("SELECT group_key, validates FROM side")
    return {row["group_key"]: bool(row["validates"]) for row in rows}


def _group_moves(connection: sqlite3.Connection, tile: TileRecord, pool: Pool) -> dict[int, Pool]:
    validates = pool is Pool.VALIDATION
    _store_side(connection, tile.group, validates, "person")
    others = [
        (other, was)
        for other, group, was in _tiles_with_mask(connection)
        if group == tile.group and other != tile.id
    ]
    if validates:
        return {other: pool for other, was in others if was is not pool}
    return {
        other: _teaching_pool(connection, other) for other, was in others if was is Pool.VALIDATION
    }


def _teaching_pool(connection: sqlite3.Connection, tile_id: int) -> Pool:
    row = connection.execute(
        "SELECT origin FROM annotation WHERE tile_id = ? ORDER BY version DESC LIMIT 1", (tile_id,)
    ).fetchone()
    return Pool.LABELLED if row["origin"] == "imported" else Pool.CURATED


def _tiles_with_mask(connection: sqlite3.Connection) -> list[tuple[int, str, Pool]]:
    rows: Iterable[sqlite3.Row] = connection.execute(
        "SELECT tile.id, tile.content_hash, tile.pool, image.patient FROM tile"
        " JOIN image ON image.id = tile.image_id WHERE tile.pool IN (?, ?, ?) ORDER BY tile.id",
        WITH_MASK,
    )
    return [
        (row["id"], group_key(row["patient"], row["content_hash"]), Pool(row["pool"]))
        for row in rows
    ]


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
