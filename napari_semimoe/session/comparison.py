"""Two models on the same validation tiles: which tiles got better, and which got worse."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from napari_semimoe.core.errors import ProjectError
from napari_semimoe.project.project import Project
from napari_semimoe.project.records import RoundRecord
from napari_semimoe.session.models import base_name, model_name

#: A smaller loss of Dice is not worth a person's look.
WORSE_BY = 0.001


@dataclass(frozen=True, slots=True)
class TileChange:
    """Dice of one validation tile before and after; None where it was not scored."""

    tile_id: int | None  # None: the project has no tile of this name any more
    name: str
    before: float | None
    after: float | None

    @property
    def change(self) -> float | None:
        """What the tile gained, negative where it lost."""
        if self.before is None or self.after is None:
            return None
        return self.after - self.before

    @property
    def is_worse(self) -> bool:
        """Whether the tile lost Dice."""
        return self.change is not None and self.change <= -WORSE_BY


@dataclass(frozen=True, slots=True)
class Comparison:
    """Scores of two models.

    Attributes
    ----------
    before_name, after_name
        What the models are called.
    before, after
        Dice over all pixels of the validation tiles, in [0, 1]; None where it was not scored.
    tiles
        The one that lost most first; tiles that cannot be compared last.
    """

    before_name: str
    after_name: str
    before: float | None
    after: float | None
    tiles: tuple[TileChange, ...]

    @property
    def worse(self) -> tuple[TileChange, ...]:
        """The tiles that lost Dice, the one that lost most first."""
        return tuple(tile for tile in self.tiles if tile.is_worse)

    @property
    def sentence(self) -> str:
        """The comparison in words."""
        if self.after is None:
            return f"{_capital(self.after_name)} was not scored: there are no validation tiles."
        if self.before is None:
            return (
                f"{_capital(self.after_name)}: Dice {self.after:.3f}; nothing to compare it with."
            )
        compared = sum(tile.change is not None for tile in self.tiles)
        text = (
            f"{_capital(self.after_name)} against {self.before_name}: Dice {self.before:.3f} → "
            f"{self.after:.3f}; {len(self.worse)} of {compared} tiles got worse."
        )
        if compared < len(self.tiles):
            text += " They were not scored on the same tiles."
        return text


def against_base(record: RoundRecord, tile_ids: Mapping[str, int]) -> Comparison | None:
    """Compare a round's model with the one that it began from; None if it was not scored.

    Parameters
    ----------
    tile_ids
        Id of each tile by its name.
    """
    report = record.report or {}
    after = report.get("validation")
    if not after:
        return None
    before = report.get("base_validation") or {}
    return _compare(base_name(record.base), before, model_name(record), after, tile_ids)


def compare_rounds(project: Project, before: int, after: int) -> Comparison:
    """Compare the models of two rounds, each as it was scored when its round ended.

    Raises
    ------
    ProjectError
        If a round is unknown or was not scored.
    """
    one, two = project.round(before), project.round(after)
    return _compare(model_name(one), _scores(one), model_name(two), _scores(two), tile_ids(project))


def known_scores(project: Project, name: str, tiles: Iterable[str]) -> Mapping[str, Any] | None:
    """Return the latest scores of a model on exactly these validation tiles, if it has any.

    Parameters
    ----------
    name
        What the model is called as a round's base.
    """
    wanted = set(tiles)
    for record in reversed(project.rounds()):
        report = record.report or {}
        candidates = (
            (base_name(record.base), report.get("base_validation")),
            (model_name(record), report.get("validation")),
        )
        for scored, scores in candidates:
            if scored == name and scores and set(scores.get("per_tile_dice") or ()) == wanted:
                return scores
    return None


def tile_ids(project: Project) -> dict[str, int]:
    """Return the id of each tile by its name."""
    return {tile.name: tile.id for tile in project.tiles()}


def _scores(record: RoundRecord) -> Mapping[str, Any]:
    scores = (record.report or {}).get("validation")
    if not scores:
        raise ProjectError(
            f"Round {record.number} was not scored on validation tiles, so it cannot be compared. "
            "Choose a round that finished while there were some."
        )
    return scores


def _compare(
    before_name: str,
    before: Mapping[str, Any],
    after_name: str,
    after: Mapping[str, Any],
    ids: Mapping[str, int],
) -> Comparison:
    old, new = before.get("per_tile_dice") or {}, after.get("per_tile_dice") or {}
    tiles = [
        TileChange(ids.get(name), name, old.get(name), new.get(name))
        for name in dict.fromkeys((*new, *old))
    ]
    tiles.sort(key=lambda tile: (tile.change is None, tile.change or 0.0, tile.name))
    return Comparison(before_name, after_name, before.get("dice"), after.get("dice"), tuple(tiles))


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
