"""Two models on the same validation tiles: which tiles got better, and which got worse."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from napari_semimoe.core.errors import CheckpointError, ProjectError
from napari_semimoe.core.measures import WORDS, Measure, tile_scores
from napari_semimoe.project.project import Project
from napari_semimoe.project.records import RoundRecord
from napari_semimoe.session.models import Model, base_name, model_name, unknown_classes


@dataclass(frozen=True, slots=True)
class TileChange:
    """Score of one validation tile before and after; None where it was not measured."""

    tile_id: int | None  # None: the project has no tile of this name any more
    name: str
    before: float | None
    after: float | None
    is_worse: bool

    @property
    def change(self) -> float | None:
        """How the score changed."""
        if self.before is None or self.after is None:
            return None
        return self.after - self.before


@dataclass(frozen=True, slots=True)
class Comparison:
    """Scores of two models.

    Attributes
    ----------
    measure
        Which score.
    before_name, after_name
        What the models are called.
    before, after
        Score over all validation tiles together; None where it was not measured.
    experts
        Dice of the new model's experts that mark a region by themselves.
    tiles
        The one that lost most first; tiles that cannot be compared last.
    """

    measure: Measure
    before_name: str
    after_name: str
    before: float | None
    after: float | None
    experts: Mapping[str, float]
    tiles: tuple[TileChange, ...]

    @property
    def worse(self) -> tuple[TileChange, ...]:
        """The tiles that got worse, the one that lost most first."""
        return tuple(tile for tile in self.tiles if tile.is_worse)

    @property
    def sentence(self) -> str:
        """The comparison in words."""
        words, name = WORDS[self.measure], capital(self.after_name)
        if self.after is None:
            return f"{name} has no {words.name}: it was not measured on validation tiles."
        if self.before is None:
            now = words.text(self.after)
            return f"{name}: {words.name} {now}; nothing to compare it with."
        compared = sum(tile.change is not None for tile in self.tiles)
        text = (
            f"{name} against {self.before_name}: {words.name} {words.text(self.before)} → "
            f"{words.text(self.after)}; {len(self.worse)} of {compared} tiles got worse."
        )
        if compared < len(self.tiles):
            text += " They were not scored on the same tiles."
        return text

    @property
    def experts_sentence(self) -> str:
        """How good the new model's experts are alone; empty where it was not measured."""
        each = [f"{name} {dice:.3f}" for name, dice in self.experts.items()]
        return f"Dice of its experts alone: {', '.join(each)}." if each else ""


def against_base(
    record: RoundRecord, tile_ids: Mapping[str, int], measure: Measure = "dice"
) -> Comparison | None:
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
    names = base_name(record.base), model_name(record)
    return _compare(names, before, after, tile_ids, measure)


def compare_rounds(
    project: Project, before: int, after: int, measure: Measure = "dice"
) -> Comparison:
    """Compare the models of two rounds, each as it was scored when its round ended.

    Raises
    ------
    ProjectError
        If a round is unknown or was not scored.
    """
    one, two = project.round(before), project.round(after)
    names = model_name(one), model_name(two)
    return _compare(names, _scores(one), _scores(two), tile_ids(project), measure)


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


@dataclass(frozen=True, slots=True)
class Contest:
    """What decides whether the model of a round takes over.

    Attributes
    ----------
    measure
        Which score. Where one of the models was not measured so, which happens with rounds of
        earlier versions, it is Dice.
    scores
        Those of the new model on the validation tiles; empty where there are none.
    rivals
        Those of the model that it began from, and of the one in charge, by name; of models that
        know the classes and were scored on the same tiles.
    """

    measure: Measure
    scores: Mapping[str, Any]
    rivals: Mapping[str, Mapping[str, Any]]

    @property
    def is_lost(self) -> bool:
        """Whether one of the others is better."""
        is_better = WORDS[self.measure].is_better
        return any(
            is_better(other[self.measure], self.scores[self.measure])
            for other in self.rivals.values()
        )


def contest(
    project: Project, record: RoundRecord, report: Mapping[str, Any], in_charge: Model | None
) -> Contest:
    """Return what decides about a round's new model.

    Parameters
    ----------
    report
        Of the round, which its record may not hold yet.
    in_charge
        The model in charge when the round ended.
    """
    scores = report.get("validation") or {}
    if not scores.get("tiles"):
        return Contest("dice", {}, {})
    base = base_name(record.base)
    found = {base: report.get("base_validation")}
    if in_charge is not None and in_charge.short_name != base and knows_all(project, in_charge):
        tiles = scores.get("per_tile_dice") or ()
        found[in_charge.short_name] = known_scores(project, in_charge.short_name, tiles)
    rivals = {name: each for name, each in found.items() if each}
    measure: Measure = record.settings.get("measure", "dice")
    measured = all(each.get(measure) is not None for each in (scores, *rivals.values()))
    return Contest(measure if measured else "dice", scores, rivals)


def knows_all(project: Project, model: Model) -> bool:
    """Whether a model can mark every class of the project; not where its weights are damaged."""
    try:
        return not unknown_classes(model, project.classes)
    except CheckpointError:
        return False


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
    names: tuple[str, str],
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    ids: Mapping[str, int],
    measure: Measure,
) -> Comparison:
    old, new, words = tile_scores(before, measure), tile_scores(after, measure), WORDS[measure]
    tiles = []
    for name in dict.fromkeys((*new, *old)):
        known = name in old and name in new
        worse = known and words.is_worse(new[name] - old[name])
        tiles.append(TileChange(ids.get(name), name, old.get(name), new.get(name), worse))
    sign = -1 if words.lower_is_better else 1
    tiles.sort(key=lambda tile: (tile.change is None, sign * (tile.change or 0), tile.name))
    pooled = before.get(measure), after.get(measure)
    return Comparison(measure, *names, *pooled, after.get("experts") or {}, tuple(tiles))


def capital(text: str) -> str:
    """Return the text with its first letter large."""
    return text[:1].upper() + text[1:]
