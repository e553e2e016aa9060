"""What each unlabelled tile taught in a round, and how far that changed since the one before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_semimoe.project.found_masks import PSEUDO, read_found
from napari_semimoe.project.project import Project
from napari_semimoe.session.comparison import tile_ids


@dataclass(frozen=True, slots=True)
class TaughtTile:
    """One unlabelled tile's last pseudo-label; shares in [0, 1].

    Attributes
    ----------
    tile_id
        None if the project has no tile of this name any more.
    foreground
        Share of its pixels that were taught as foreground.
    coverage
        Share of its pixels on which the experts agreed enough to teach.
    weight
        Mean weight of a pixel, 0 for those that did not teach.
    changed
        Share of its pixels that were taught otherwise in the round before; None where that had
        no pseudo-label of the tile.
    """

    tile_id: int | None
    name: str
    foreground: float
    coverage: float
    weight: float
    changed: float | None


def read_ledger(project: Project, number: int) -> tuple[TaughtTile, ...]:
    """Return the unlabelled tiles of a round, the one that changed most first."""
    taught: Mapping[str, Any] = (project.round(number).report or {}).get("taught") or {}
    ids, now = tile_ids(project), project.round_folder(number) / PSEUDO
    before = _round_before(project, number)
    tiles = [
        TaughtTile(ids.get(name), name, **shares, changed=_changed(before, now, name))
        for name, shares in taught.items()
    ]
    return tuple(sorted(tiles, key=lambda tile: (-(tile.changed or 0), tile.name)))


def agreement_words(scores: Mapping[str, Any] | None, agreement: float) -> str:
    """Say how many pixels may teach and how many of them are right, by a model's scores.

    Parameters
    ----------
    scores
        Of the model that makes the pseudo-labels, on validation tiles; None if it has none.
    agreement
        What is asked of the experts; 0 says nothing.
    """
    if not agreement:
        return ""
    points = [point for point in (scores or {}).get("agreement") or () if point[0] <= agreement]
    if not points:
        return "how many pixels teach is not known before a round was checked"
    _, coverage, precision = points[-1]
    if precision is None:
        return "no pixel teaches: the experts agree so much nowhere"
    return (
        f"{coverage:.0%} of the pixels teach, {precision:.0%} of them right on the validation tiles"
    )


def _round_before(project: Project, number: int) -> Path | None:
    earlier = [record.number for record in project.rounds() if record.number < number]
    paths = [project.round_folder(each) / PSEUDO for each in sorted(earlier, reverse=True)]
    return next((path for path in paths if path.is_file()), None)


def _changed(before: Path | None, now: Path, name: str) -> float | None:
    old = None if before is None else read_found(before, name)
    new = read_found(now, name)
    if old is None or new is None or old.shape != new.shape:
        return None  # shapes differ where another working resolution was chosen
    return float((old != new).mean())
