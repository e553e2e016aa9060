"""The latest prediction of each tile: replaceable, never a curated mask."""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from napari_semimoe.core.disk import discard
from napari_semimoe.core.errors import ProjectError, ProjectFormatError, StorageError
from napari_semimoe.core.values import Prediction
from napari_semimoe.project.arrays import read_prediction
from napari_semimoe.project.records import PredictionRecord, now
from napari_semimoe.project.store import Store

COLUMNS = ", ".join(PredictionRecord.__slots__)


@dataclass(frozen=True, slots=True)
class NewPrediction:
    """A prediction that is written and is about to become its tile's.

    Attributes
    ----------
    path
        Where it was written: a path that `new_path` gave.
    model
        Name of the model that made it.
    disagreement, foreground
        Means over the tile, 0..1: of the experts' disagreement, and of what is foreground.
    gates, expert_names
        As of `Prediction`.
    """

    path: Path
    model: str
    disagreement: float
    foreground: float
    gates: Sequence[Sequence[float]]
    expert_names: Sequence[str]


def new_path(index: Store) -> Path:
    """Return an absolute path inside the project at which a prediction may be written."""
    return index.path / "predictions" / f"{uuid.uuid4().hex}.zarr"


def add(index: Store, tile_id: int, new: NewPrediction) -> PredictionRecord:
    """Make a written prediction the tile's prediction and drop the one before."""
    relative = _relative(index, new.path)
    old = index.rows("SELECT path FROM prediction WHERE tile_id = ?", (tile_id,))
    values = (
        tile_id,
        relative,
        new.model,
        now(),
        float(new.disagreement),
        float(new.foreground),
        json.dumps([[float(value) for value in row] for row in new.gates]),
        json.dumps(list(new.expert_names)),
    )
    with index.transaction() as connection:
        connection.execute("DELETE FROM prediction WHERE tile_id = ?", (tile_id,))
        connection.execute(
            "INSERT INTO prediction (tile_id, path, model, created, disagreement, foreground,"
            " gates, expert_names) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            values,
        )
    for row in old:
        if row["path"] != relative:
            discard(index.path / row["path"])
    record = find(index, tile_id)
    if record is None:  # another thread replaced the tile's prediction and then dropped it
        raise ProjectError(f"The prediction of tile {tile_id} was dropped. Predict it again.")
    return record


def find(index: Store, tile_id: int) -> PredictionRecord | None:
    """Return the tile's latest prediction, or None."""
    row = index.row(f"SELECT {COLUMNS} FROM prediction WHERE tile_id = ?", (tile_id,))
    return PredictionRecord.of(row) if row else None


def read(index: Store, tile_id: int) -> Prediction | None:
    """Read the tile's latest prediction; None when there is none or its file is damaged.

    A prediction can always be made again, so damage is no reason to stop the person: a damaged
    one is forgotten.
    """
    record = find(index, tile_id)
    while record is not None:
        try:
            return read_prediction(index.path / record.path)
        except ProjectFormatError:
            newer = find(index, tile_id)
            if newer is None or newer.id == record.id:
                _forget(index, record)
                return None
            record = newer  # it was replaced while it was being read
    return None


def _forget(index: Store, record: PredictionRecord) -> None:
    if index.read_only:
        return
    with suppress(StorageError), index.transaction() as connection:
        connection.execute("DELETE FROM prediction WHERE id = ?", (record.id,))
    discard(index.path / record.path)


def _relative(index: Store, path: Path) -> str:
    folder = index.path / "predictions"
    if path.parent.resolve() != folder.resolve() or not path.is_dir():
        raise ProjectError(
            f"A prediction must be a folder inside {folder}, got {path}. "
            "Write it at the path that new_prediction_path() gives."
        )
    return f"predictions/{path.name}"
