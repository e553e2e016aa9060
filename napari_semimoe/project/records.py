"""Rows of the project as frozen values."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self

from napari_semimoe.core.states import Pool, RoundState
from napari_semimoe.core.values import Box

#: Origin of a mask that came with its image.
IMPORTED = "imported"

#: Origin of a suggestion in which nothing was changed, and of any other mask of a person.
AS_IS, CORRECTED = "accepted as is", "corrected"


def now() -> str:
    """Return the present time in UTC, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """One image that was copied in."""

    id: int
    name: str
    source: str  # where the file lay when it was added
    sha256: str  # of the pixels, so the same image in another file format is known
    height: int
    width: int
    um_per_px: float
    patient: str | None
    path: str  # of the array, relative to the project

    @classmethod
    def of(cls, row: sqlite3.Row) -> Self:
        """Read one row of ``image``."""
        return cls(**{name: row[name] for name in cls.__slots__})


@dataclass(frozen=True, slots=True)
class TileRecord:
    """One tile: the unit that is predicted, corrected and learned from."""

    id: int
    image_id: int
    name: str
    box: Box
    pool: Pool
    content_hash: str
    um_per_px: float
    patient: str | None
    annotation_id: int | None
    prediction_id: int | None
    disagreement: float | None
    seconds_of_effort: float

    @property
    def group(self) -> str:
        """What never ends on both sides of training and validation."""
        return group_key(self.patient, self.content_hash)

    @classmethod
    def of(cls, row: sqlite3.Row) -> Self:
        """Read one row of the tile query."""
        plain = {name: row[name] for name in cls.__slots__ if name not in ("box", "pool")}
        box = Box(row["y0"], row["x0"], row["y1"], row["x1"])
        return cls(box=box, pool=Pool(row["pool"]), **plain)


@dataclass(frozen=True, slots=True)
class AnnotationRecord:
    """One version of a tile's mask; never changed, never deleted."""

    id: int
    tile_id: int
    version: int
    path: str
    author: str
    created: str
    model: str | None
    round: int | None
    origin: str  # IMPORTED, CORRECTED or AS_IS
    changed_px: int
    classes: dict[int, int]
    sha256: str
    seconds: float

    @classmethod
    def of(cls, row: sqlite3.Row) -> Self:
        """Read one row of ``annotation``."""
        values = {name: row[name] for name in cls.__slots__ if name != "classes"}
        return cls(classes=classes_from_json(row["classes"]), **values)


@dataclass(frozen=True, slots=True)
class CorrectionRecord:
    """What a person made of a model's suggestion when they accepted it first."""

    model: str
    changed: float  # share of the tile's pixels
    seconds: float
    as_is: bool

    @classmethod
    def of(cls, row: sqlite3.Row) -> Self:
        """Read one row of the query for corrections."""
        values = {name: row[name] for name in cls.__slots__ if name != "as_is"}
        return cls(**values, as_is=row["origin"] == AS_IS)


@dataclass(frozen=True, slots=True)
class PredictionRecord:
    """The latest prediction of a tile."""

    id: int
    tile_id: int
    path: str
    model: str
    created: str
    disagreement: float
    foreground: float
    gates: list[list[float]]
    expert_names: tuple[str, ...]

    @classmethod
    def of(cls, row: sqlite3.Row) -> Self:
        """Read one row of ``prediction``."""
        plain = {name: row[name] for name in cls.__slots__ if name not in ("gates", "expert_names")}
        names = tuple(json.loads(row["expert_names"]))
        return cls(gates=json.loads(row["gates"]), expert_names=names, **plain)


@dataclass(frozen=True, slots=True)
class RoundRecord:
    """One round of training."""

    number: int
    state: RoundState
    base: str | None
    weights: str | None  # relative to the project
    created: str
    ended: str | None
    settings: dict[str, Any]
    report: dict[str, Any] | None
    note: str

    @classmethod
    def of(cls, row: sqlite3.Row) -> Self:
        """Read one row of ``round``."""
        parsed = {
            "state": RoundState(row["state"]),
            "settings": json.loads(row["settings"]),
            "report": json.loads(row["report"]) if row["report"] else None,
        }
        return cls(**{name: row[name] for name in cls.__slots__ if name not in parsed}, **parsed)

    @property
    def can_go_on(self) -> bool:
        """Whether it ended early and can be resumed."""
        early = (RoundState.INTERRUPTED, RoundState.CANCELLED, RoundState.FAILED)
        return self.state in early and self.weights is None


@dataclass(frozen=True, slots=True)
class AddReport:
    """What adding files did."""

    added: tuple[int, ...]  # tile ids
    skipped_duplicates: tuple[str, ...]  # names of files or tiles whose pixels are known
    refused: tuple[tuple[str, str], ...]  # (file name, sentence)
    validation: int  # tiles of this call that went to validation
    labelled: int  # tiles of this call that came with a mask
    notes: tuple[str, ...] = ()
    not_read: int = 0  # files that were left because the person cancelled
    without_scale: tuple[str, ...] = ()  # of the refused: names that say no size of a pixel
    rescaled: int = 0  # images whose scale was corrected

    @classmethod
    def of_refused(cls, name: str, sentence: str) -> Self:
        """Return the report on what was refused as a whole."""
        return cls((), (), ((name, sentence),), validation=0, labelled=0)

    @property
    def sentence(self) -> str:
        """One line for the window."""
        masks = f" and {counted(self.labelled, 'mask')}" if self.labelled else ""
        kept = f" ({self.validation} kept for validation)" if self.validation else ""
        parts = [f"{counted(len(self.added), 'tile')}{masks} added{kept}"]
        if self.skipped_duplicates:
            parts.append(f"{len(self.skipped_duplicates)} already there")
        if self.refused:
            parts.append(f"{len(self.refused)} refused")
        if self.not_read:
            parts.append(f"then cancelled with {counted(self.not_read, 'file')} to go")
        return ", ".join(parts) + "."


def counted(count: int, what: str) -> str:
    """Return a number with its noun.

    >>> counted(1, "tile"), counted(2, "tile")
    ('1 tile', '2 tiles')
    """
    return f"{count} {what}" + ("" if count == 1 else "s")


def group_key(patient: str | None, content_hash: str) -> str:
    """Return the patient where known, else the content: the unit of validation."""
    return f"patient:{patient}" if patient is not None else f"content:{content_hash}"


def classes_to_json(classes: Mapping[int, int]) -> str:
    """Return instance classes as JSON."""
    return json.dumps({str(int(key)): int(classes[key]) for key in sorted(classes)})


def classes_from_json(text: str) -> dict[int, int]:
    """Read what `classes_to_json` wrote."""
    return {int(key): int(value) for key, value in json.loads(text).items()}
