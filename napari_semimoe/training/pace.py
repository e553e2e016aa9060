"""How long a round still takes: what is ahead of it, at the pace of what it has done."""

from __future__ import annotations

from dataclasses import dataclass

from napari_semimoe.core.settings import RoundSettings
from napari_semimoe.training.schedule import Costs, first_unlabelled_step, stage_of
from napari_semimoe.training.state import Progress

#: Weight of the steps before in the pace, against that of the newest one.
_MEMORY = 0.9


@dataclass(frozen=True, slots=True)
class Ahead:
    """What a round still has to do.

    Attributes
    ----------
    crops
        Crops in the steps that are left.
    stages
        Stages whose pseudo-labels are not made yet.
    looks
        Looks at the validation tiles, the one of the base among them.
    """

    crops: int
    stages: int
    looks: int


def ahead(settings: RoundSettings, done: Progress, *, unlabelled: bool, base: bool) -> Ahead:
    """Return what is left to do.

    Parameters
    ----------
    settings
        As planned.
    unlabelled
        Whether unlabelled tiles teach, too.
    base
        Whether the round's base is scored in the end.
    """
    step, steps = done.step, done.steps
    crops = settings.labelled_batch * (steps - step)
    stages = 0
    if unlabelled:
        joined = max(step, first_unlabelled_step(settings, steps))
        crops += settings.unlabelled_batch * (steps - joined)
        if settings.pseudo_labels == "stage":
            stages = stage_of(settings, steps - 1, steps) - done.stage
    every = settings.validate_every
    between = (steps - 1) // every - (step - 1) // every  # a look follows the step that is told
    return Ahead(crops, stages, between + 1 + base)


class Pace:
    """Seconds that the parts of a round take: as expected, and then as they were.

    Attributes
    ----------
    crop
        A crop of a step, averaged over the last steps.
    stage
        A stage's pseudo-labels.
    look
        A look at the validation tiles.
    """

    def __init__(self) -> None:
        self.crop = self.stage = self.look = 0.0

    def expect(self, costs: Costs, planned: RoundSettings) -> None:
        """Count with what the trial took until the parts themselves tell."""
        self.look = costs.look
        self.stage = costs.pseudo_labels(
            planned.pseudo_views, planned.pseudo_tiles, fit=planned.adapt
        )

    def stepped(self, seconds: float, crops: int) -> None:
        """Note a step of so many crops."""
        newest = seconds / crops
        self.crop = _MEMORY * self.crop + (1 - _MEMORY) * newest if self.crop else newest

    def seconds_for(self, rest: Ahead) -> float:
        """Return how long what is ahead takes, in s."""
        return self.crop * rest.crops + self.stage * rest.stages + self.look * rest.looks
