"""Masks as history: a new version beside the old ones, with who, when, and what changed."""

from __future__ import annotations

import uuid
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_semimoe.core.disk import storing
from napari_semimoe.core.errors import ProjectError, ProjectFormatError, ShapeError
from napari_semimoe.core.states import Pool
from napari_semimoe.core.values import IGNORE
from napari_semimoe.project import pools, tiles
from napari_semimoe.project.arrays import content_hash, read_array, write_array
from napari_semimoe.project.records import (
    AnnotationRecord,
    CorrectionRecord,
    TileRecord,
    classes_to_json,
    now,
)
from napari_semimoe.project.store import Store

COLUMNS = ", ".join(AnnotationRecord.__slots__)


@dataclass(frozen=True, slots=True)
class NewVersion:
    """A checked mask that is about to become a version."""

    labels: NDArray[np.uint16]
    changed: NDArray[np.bool_]
    author: str
    origin: str
    model: str | None = None
    round: int | None = None
    classes: Mapping[int, int] = field(default_factory=dict)
    seconds: float = 0.0


def checked_labels(labels: NDArray[Any], tile: TileRecord) -> NDArray[np.uint16]:
    """Return a mask as contiguous uint16, or say why it cannot be one."""
    labels = np.asarray(labels)
    if labels.shape != tile.box.shape:
        raise ShapeError(
            f"The mask of {tile.name} must have the tile's size {tile.box.shape}, "
            f"got {labels.shape}. Draw it on the tile's own layer."
        )
    if labels.dtype.kind not in "bui":
        raise ShapeError(
            f"The mask of {tile.name} must hold whole numbers, got {labels.dtype}. "
            "Use a Labels layer."
        )
    if labels.dtype != np.uint16:
        low, high = int(labels.min()), int(labels.max())
        if low < 0 or high > IGNORE:
            raise ShapeError(
                f"The mask of {tile.name} must hold ids from 0 to {IGNORE}, got {low} to {high}. "
                "Renumber its objects."
            )
    return np.ascontiguousarray(labels, dtype=np.uint16)


def checked_classes(
    classes: Mapping[int, int], labels: NDArray[np.uint16], class_names: tuple[str, ...]
) -> dict[int, int]:
    """Return the classes of the ids that the mask holds, or say which class is unknown."""
    present = np.bincount(labels.ravel(), minlength=IGNORE + 1) > 0
    kept = {
        int(key): int(value)
        for key, value in classes.items()
        if 0 < int(key) < IGNORE and present[int(key)]
    }
    wrong = sorted({value for value in kept.values() if not 0 < value < len(class_names)})
    if wrong:
        raise ShapeError(
            f"An object's class must be 1 to {len(class_names) - 1} "
            f"({', '.join(class_names[1:])}), got {wrong[0]}. Choose a class of this project."
        )
    return kept


def changed_pixels(labels: NDArray[Any], shown: NDArray[Any] | None) -> NDArray[np.bool_]:
    """Return where a mask differs from what was shown; from nothing when nothing was."""
    if shown is None:
        return labels != 0
    if shown.shape != labels.shape:
        raise ShapeError(
            f"The baseline must have the mask's size {labels.shape}, got {shown.shape}. "
            "Pass what was shown on this tile."
        )
    return np.asarray(labels != shown)


def store(index: Store, tile: TileRecord, new: NewVersion) -> tuple[str, str]:
    """Write the mask's array under a new name.

    Returns
    -------
    tuple
        Its path relative to the project, and the hash of its values.
    """
    index.refuse_if_read_only()
    path = f"annotations/{uuid.uuid4().hex}.zarr"
    with storing(f"The mask of {tile.name}"):
        write_array(index.path / path, new.labels)
    return path, content_hash(new.labels)


def commit(index: Store, tile: TileRecord, new: NewVersion, path: str, sha256: str) -> int:
    """Add the row that makes a stored mask a version; inside a transaction."""
    latest = index.connection.execute(
        "SELECT coalesce(max(version), 0) FROM annotation WHERE tile_id = ?", (tile.id,)
    ).fetchone()[0]
    cursor = index.connection.execute(
        "INSERT INTO annotation (tile_id, version, path, author, created, model, round, origin,"
        " changed_px, classes, sha256, seconds, changed)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            tile.id,
            latest + 1,
            path,
            new.author,
            now(),
            new.model,
            new.round,
            new.origin,
            int(new.changed.sum()),
            classes_to_json(new.classes),
            sha256,
            float(new.seconds),
            pack(new.changed),
        ),
    )
    return int(cursor.lastrowid or 0)


def accept(index: Store, tile: TileRecord, new: NewVersion) -> AnnotationRecord:
    """Store a version and let its tile teach or validate: array first, then one commit."""
    path, sha256 = store(index, tile, new)
    with index.unless_stored([path]), index.transaction():
        annotation_id = commit(index, tile, new, path, sha256)
        pool = tiles.find(index, tile.id).pool
        if pool not in (Pool.CURATED, Pool.VALIDATION):
            pools.move(index, new.author, tile.id, Pool.CURATED, "its mask was accepted")
        pools.settle(index, new.author)
    return find(index, annotation_id)


def versions(index: Store, tile_id: int) -> list[AnnotationRecord]:
    """Return all versions of a tile's mask, oldest first."""
    rows = index.rows(
        f"SELECT {COLUMNS} FROM annotation WHERE tile_id = ? ORDER BY version", (tile_id,)
    )
    return [AnnotationRecord.of(row) for row in rows]


def corrections(index: Store) -> list[CorrectionRecord]:
    """Return what was made of each suggestion that was accepted, oldest first.

    Of several versions only the first counts that began with a suggestion: later ones go on from
    the person's own mask.
    """
    rows = index.rows(
        "SELECT model, seconds, origin, min(version),"
        " changed_px * 1.0 / ((y1 - y0) * (x1 - x0)) AS changed"
        " FROM annotation JOIN tile ON tile.id = tile_id WHERE model IS NOT NULL"
        " GROUP BY tile_id ORDER BY annotation.id"
    )
    return [CorrectionRecord.of(row) for row in rows]


def find(index: Store, annotation_id: int) -> AnnotationRecord:
    """Return one version by its id."""
    row = index.row(f"SELECT {COLUMNS} FROM annotation WHERE id = ?", (annotation_id,))
    if row is None:
        raise ProjectError(f"This project has no mask {annotation_id}. Choose one of its masks.")
    return AnnotationRecord.of(row)


def read(index: Store, record: AnnotationRecord) -> NDArray[np.uint16]:
    """Read a version and check that it is what was stored."""
    labels = read_array(index.path / record.path)
    if content_hash(labels) != record.sha256:
        raise ProjectFormatError(
            f"Version {record.version} of the mask of tile {record.tile_id} is not what was "
            f"stored. Restore {index.path / record.path} from a backup of the project."
        )
    return labels


def read_changed(index: Store, record: AnnotationRecord) -> NDArray[np.bool_]:
    """Return which pixels the person changed in a version."""
    rows = index.rows("SELECT changed FROM annotation WHERE id = ?", (record.id,))
    return unpack(rows[0]["changed"], tiles.find(index, record.tile_id).box.shape)


def pack(mask: NDArray[np.bool_]) -> bytes:
    """Return a mask of pixels as few bytes: bits, then deflate."""
    return zlib.compress(np.packbits(mask).tobytes(), 1)


def unpack(packed: bytes, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Read what `pack` made."""
    bits = np.frombuffer(zlib.decompress(packed), np.uint8)
    return np.unpackbits(bits, count=shape[0] * shape[1]).astype(bool).reshape(shape)
