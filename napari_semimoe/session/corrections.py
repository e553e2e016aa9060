"""How much a person changes in what each model suggests: when it is little, one may stop."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median

from napari_semimoe.project.project import Project
from napari_semimoe.project.records import CorrectionRecord, counted
from napari_semimoe.session.models import STARTER, base_name


@dataclass(frozen=True, slots=True)
class Corrections:
    """What became of a model's suggestions that were accepted.

    Attributes
    ----------
    tiles
        How many, each counted once.
    as_is
        How many of them were accepted as they were.
    changed
        Share of a tile's pixels that the person changed, in [0, 1]; median of the tiles.
    seconds
        Time that the person spent on a tile; median.
    """

    tiles: int
    as_is: int
    changed: float
    seconds: float

    @property
    def effort(self) -> str:
        """The medians in words."""
        return f"{self.changed:.1%} of a tile changed in {self.seconds:.0f} s"


def read_corrections(project: Project) -> dict[str, Corrections]:
    """Return what became of each model's suggestions, by what the model is called as a base."""
    of_model: dict[str, list[CorrectionRecord]] = {}
    for record in project.corrections():
        of_model.setdefault(base_name(record.model), []).append(record)
    return {name: _summed(records) for name, records in of_model.items()}


def effort_sentence(of_model: Mapping[str, Corrections], model: str, before: str | None) -> str:
    """Say what became of a model's suggestions; empty where none was accepted.

    Parameters
    ----------
    of_model
        What `read_corrections` returned.
    model, before
        What the model and the one to compare it with are called.
    """
    if (found := of_model.get(model)) is None:
        return ""
    text = f"You accepted {counted(found.tiles, 'tile')} that {_called(model)} suggested"
    if found.as_is:
        text += f", {found.as_is} without a change"
    text += f": {found.effort}"
    if before is not None and before != model and (earlier := of_model.get(before)):
        text += f"; with {_called(before)} {earlier.effort}"
    return f"{text} (medians)."


def _called(model: str) -> str:
    return f"the {STARTER}" if model == STARTER else model


def _summed(records: list[CorrectionRecord]) -> Corrections:
    return Corrections(
        tiles=len(records),
        as_is=sum(record.as_is for record in records),
        changed=median(record.changed for record in records),
        seconds=median(record.seconds for record in records),
    )
