"""How a round's steps are shared out: learning rate, stages, and steps that fit the time."""

from __future__ import annotations

import math
from dataclasses import dataclass

from napari_semimoe.core.settings import RoundSettings

#: The released protocol halves the rate each quarter of its 200 epochs.
_STEP_QUARTERS = 4
#: Largest share of a timed round that goes into making pseudo-labels.
_PSEUDO_SHARE = 1 / 3
#: Largest share of the steps' time that goes into looks at the validation tiles between them.
_LOOK_SHARE = 0.1


def rate_factor(settings: RoundSettings, step: int, steps: int) -> float:
    """Return the learning rate's factor in (0, 1] at ``step`` of ``steps``.

    The first step already learns (the released warm-up starts at 0: docs/method.md 8, 7).
    """
    warm = max(1, round(settings.warmup * steps))
    if step < warm:
        return (step + 1) / warm
    done = (step - warm) / max(1, steps - warm)
    if settings.schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * done)) * 0.99 + 0.01
    return 0.5 ** int(step * _STEP_QUARTERS / steps)


def first_unlabelled_step(settings: RoundSettings, steps: int) -> int:
    """Return the first of ``steps`` in which unlabelled tiles teach, too."""
    return round(settings.labelled_only * steps)


def stage_of(settings: RoundSettings, step: int, steps: int) -> int:
    """Return the stage that ``step`` belongs to; -1 while only labelled tiles teach."""
    first = first_unlabelled_step(settings, steps)
    if step < first:
        return -1
    share = (step - first) / max(1, steps - first)
    return min(settings.stages - 1, int(share * settings.stages))


def ramp(settings: RoundSettings, step: int, steps: int) -> float:
    """Return the weight of the unlabelled loss.

    With pseudo-labels made at every step it grows over the round as released; pseudo-labels
    made once per stage come from a network that already predicts, so they weigh the same all
    the time.
    """
    if settings.pseudo_labels == "step":
        return settings.unlabelled_weight * (step + 1) / steps
    return settings.unlabelled_weight


@dataclass(frozen=True, slots=True)
class Costs:
    """Measured seconds of the parts of a round.

    Attributes
    ----------
    step, labelled_step
        One step on both pools, and one before unlabelled tiles join in.
    pseudo_view
        One view of one tile's pseudo-label. Fitting the network to the tile costs one more.
    look
        One look at the validation tiles.
    """

    step: float
    labelled_step: float
    pseudo_view: float
    look: float

    def pseudo_labels(self, views: int, tiles: int, *, fit: bool) -> float:
        """Return the seconds of one stage's pseudo-labels."""
        return (views + fit) * tiles * self.pseudo_view


def fit_to_budget(settings: RoundSettings, costs: Costs, unlabelled: int) -> RoundSettings:
    """Return the settings with steps, views and tiles that fit the round's minutes.

    Pseudo-labels may take a third of the time: first they are averaged over fewer views, then
    fewer unlabelled tiles are used. Looks at the validation tiles become rarer where steps are
    quick. A round that is repeated with the returned settings gives
    the same numbers, whatever the clock says.

    Parameters
    ----------
    unlabelled
        Number of unlabelled tiles that get pseudo-labels; 0 if none are made ahead.
    """
    if settings.max_steps:
        return settings
    budget = 60 * settings.budget_minutes
    views, fit = settings.pseudo_views, int(settings.adapt)
    tiles = min(unlabelled, settings.pseudo_tiles or unlabelled)
    if unlabelled:
        affordable = budget * _PSEUDO_SHARE / settings.stages / max(costs.pseudo_view, 1e-9)
        views = max(1, min(views, int(affordable / tiles) - fit))
        tiles = max(1, min(tiles, int(affordable / (1 + fit))))
    left = budget - settings.stages * costs.pseudo_labels(views, tiles, fit=settings.adapt)
    left -= 2 * costs.look  # the base model's look, and the last one
    alone = settings.labelled_only
    step = alone * costs.labelled_step + (1 - alone) * costs.step
    every = max(settings.validate_every, math.ceil(costs.look / _LOOK_SHARE / max(step, 1e-9)))
    steps = max(1, int(left / (step + costs.look / every)))
    return settings.changed(
        max_steps=steps,
        validate_every=every,
        pseudo_views=views,
        pseudo_tiles=tiles or settings.pseudo_tiles,
    )
