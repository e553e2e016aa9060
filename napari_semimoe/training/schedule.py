"""How a round's steps are shared out: learning rate, stages, and steps that fit the time."""

from __future__ import annotations

import math

from napari_semimoe.core.settings import RoundSettings

#: The released protocol halves the rate each quarter of its 200 epochs.
_STEP_QUARTERS = 4


def rate_factor(settings: RoundSettings, step: int, steps: int) -> float:
    """Return the learning rate's factor in (0, 1] at ``step`` of ``steps``.

    The first step already learns (the released warm-up starts at 0, defect 7).
    """
    warm = max(1, round(settings.warmup * steps))
    if step < warm:
        return (step + 1) / warm
    done = (step - warm) / max(1, steps - warm)
    if settings.schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * done)) * 0.99 + 0.01
    if settings.schedule == "step":
        return 0.5 ** int(step * _STEP_QUARTERS / steps)
    return 1.0


def stage_of(settings: RoundSettings, step: int, steps: int) -> int:
    """Return the stage that ``step`` belongs to; -1 while only labelled tiles teach."""
    first = round(settings.labelled_only * steps)
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


def steps_in_budget(
    settings: RoundSettings, step_seconds: float, pseudo_seconds: float, validation_seconds: float
) -> int:
    """Return how many steps fit the round's minutes.

    Parameters
    ----------
    step_seconds
        One step.
    pseudo_seconds
        Making all pseudo-labels once.
    validation_seconds
        One look at the validation tiles.
    """
    if settings.max_steps:
        return settings.max_steps
    budget = 60 * settings.budget_minutes - settings.stages * pseudo_seconds
    budget -= 2 * validation_seconds  # the base model's look, and the last one
    per_step = step_seconds + validation_seconds / settings.validate_every
    return max(1, int(budget / per_step))
