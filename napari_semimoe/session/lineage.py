"""The rounds of a project with what each began from, and which model is in charge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from napari_semimoe.core.starter import imagenet_encoder
from napari_semimoe.project.project import Project
from napari_semimoe.project.records import RoundRecord
from napari_semimoe.session.models import (
    STARTER,
    base_name,
    model_in_charge,
    model_name,
    starter_model,
)

_NAMES, _NOTES = "round_names", "round_notes"  # project settings


@dataclass(frozen=True, slots=True)
class Stop:
    """A round on its line.

    Attributes
    ----------
    record
        The round.
    beside
        Lines that began from its model besides the one that it is on, in the order of their newest
        rounds.
    """

    record: RoundRecord
    beside: tuple[Line, ...]


Line: TypeAlias = tuple[Stop, ...]


@dataclass(frozen=True, slots=True)
class Lineage:
    """What was trained, from what.

    Attributes
    ----------
    rounds
        All rounds, oldest first.
    in_charge
        Name of the model that predicts; None when there is no model.
    has_starter
        Whether the starter model can be used.
    has_imagenet
        Whether the encoder that learned from ImageNet is installed.
    names
        What the person calls a round, by its number.
    notes
        What the person wrote about a round, by its number; may have several lines.
    """

    rounds: tuple[RoundRecord, ...] = ()
    in_charge: str | None = None
    has_starter: bool = False
    has_imagenet: bool = False
    names: Mapping[int, str] = field(default_factory=dict)
    notes: Mapping[int, str] = field(default_factory=dict)

    @property
    def starter_in_charge(self) -> bool:
        """Whether the starter model predicts."""
        return (self.in_charge or "").startswith(STARTER)

    @property
    def roots(self) -> tuple[str, ...]:
        """Names of what rounds began from and that is no round itself, in order of first use.

        The starter is among them while it is in charge, also when no round began from it.
        """
        made = {model_name(record) for record in self.rounds}
        bases = dict.fromkeys(base_name(record.base) for record in self.rounds)
        if self.starter_in_charge:
            bases.setdefault(STARTER)
        return tuple(name for name in bases if name not in made)

    def is_in_charge(self, record: RoundRecord) -> bool:
        """Whether a round's model predicts."""
        return self.in_charge == model_name(record)

    def began_from(self, name: str) -> Sequence[RoundRecord]:
        """Return the rounds that began from a model, oldest first."""
        return [record for record in self.rounds if base_name(record.base) == name]

    def base_of(self, name: str) -> str | None:
        """Return what the model of a round began from; None for what is no round's."""
        bases = {model_name(record): base_name(record.base) for record in self.rounds}
        return bases.get(name)

    def lines_from(self, name: str) -> tuple[Line, ...]:
        """Return the lines of rounds that begin from a model, the one with the newest round last.

        A round is followed on its line by the one of its successors that leads to the newest round;
        the others leave the line there. So the newest round ends the last line, and the lines are
        nested only as deep as a person went back to older models.
        """
        following: dict[str, list[RoundRecord]] = {}
        newest: dict[str, int] = {}
        for record in reversed(self.rounds):  # what began from a round comes after it
            own, base = model_name(record), base_name(record.base)
            newest.setdefault(own, record.number)
            newest[base] = max(newest.get(base, 0), newest[own])
            following.setdefault(base, []).append(record)
        for begun in following.values():
            begun.sort(key=lambda each: newest[model_name(each)])
        return tuple(_line(first, following) for first in following.get(name, ()))


def _line(first: RoundRecord, following: Mapping[str, Sequence[RoundRecord]]) -> Line:
    stops: list[Stop] = []
    at: RoundRecord | None = first
    while at is not None:
        begun = following.get(model_name(at), ())
        stops.append(Stop(at, tuple(_line(each, following) for each in begun[:-1])))
        at = begun[-1] if begun else None
    return tuple(stops)


def read_lineage(project: Project) -> Lineage:
    """Return the rounds of a project and which model is in charge."""
    model = model_in_charge(project)
    return Lineage(
        rounds=tuple(project.rounds()),
        in_charge=model.name if model is not None else None,
        has_starter=starter_model() is not None,
        has_imagenet=imagenet_encoder() is not None,
        names=_of_rounds(project, _NAMES),
        notes=_of_rounds(project, _NOTES),
    )


def name_round(project: Project, number: int, name: str) -> None:
    """Keep what the person calls a round; an empty name is forgotten."""
    _keep(project, _NAMES, number, " ".join(name.split()))


def note_round(project: Project, number: int, note: str) -> None:
    """Keep what the person wrote about a round, line by line; an empty note is forgotten."""
    _keep(project, _NOTES, number, "\n".join(line.rstrip() for line in note.strip().splitlines()))


def _of_rounds(project: Project, setting: str) -> dict[int, str]:
    return {int(number): text for number, text in project.setting(setting, {}).items()}


def _keep(project: Project, setting: str, number: int, text: str) -> None:
    record = project.round(number)  # refuses an unknown one in words
    texts = dict(project.setting(setting, {}))
    texts[str(record.number)] = text
    project.set_setting(setting, {key: kept for key, kept in texts.items() if kept})
