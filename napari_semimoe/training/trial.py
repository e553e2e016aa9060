"""What the parts of a round cost on this machine, from a few trial steps on a copy."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from statistics import fmean

import torch

from napari_semimoe.core.values import Patch
from napari_semimoe.data.prepare import PreparedTile
from napari_semimoe.model.checkpoint import copy_of
from napari_semimoe.training.learner import Learner
from napari_semimoe.training.pseudo import pseudo_maps
from napari_semimoe.training.schedule import Costs

#: Seconds for which a call is repeated; on a processor once is longer already.
_LONG_ENOUGH = 0.5
#: Side from which one crop has enough pixels for the statistics of a batch.
LARGE_PX = 64


def trial_costs(
    learner: Learner,
    labelled: Sequence[PreparedTile],
    unlabelled: Sequence[PreparedTile],
    look: Callable[[], object],
    *,
    check: Callable[[], None],
    processes: int = 1,
) -> Costs:
    """Time the parts of a round; the learner stays as it is.

    Parameters
    ----------
    learner
        Its network and settings are those of the round.
    look
        Scores the validation tiles, or enough of them to tell.
    check
        Called before every trial; may raise to end the work there.
    processes
        Those that will share a step's crops.
    """
    trial = type(learner)(copy_of(learner.model), learner.settings, learner.device)

    def usual(call: Callable[[], object]) -> float:
        return _usual(call, check)

    def step(crops: int) -> float:
        trial.settings = learner.settings.model_copy(update={"labelled_batch": crops})
        return usual(lambda: trial.step(labelled, (), 0, 1, -1))

    both, alone = _step_costs(learner, step, processes, has_unlabelled=bool(unlabelled))
    view = 0.0
    if unlabelled and learner.settings.pseudo_labels == "stage":
        teacher = trial.teacher()
        first = unlabelled[0].image.permute(1, 2, 0).cpu().numpy()
        tile = Patch(first, None, teacher.settings.um_per_px, unlabelled[0].name)
        settings = learner.settings.model_copy(update={"adapt": False})
        pixels = [each.image[0].numel() for each in unlabelled]
        view = usual(lambda: pseudo_maps(teacher, tile, settings, views=1))
        view *= fmean(pixels) / pixels[0]  # the others may be larger, or smaller
    return Costs(both, alone, view, _timed(look))


def _step_costs(
    learner: Learner, step: Callable[[int], float], processes: int, *, has_unlabelled: bool
) -> tuple[float, float]:
    """Return the seconds of a step on both pools, and of one on labelled tiles only.

    A processor's time grows with the crops, so a small step tells enough and the person waits
    less; a graphics card is quick, and takes as long for few crops as for many.
    """
    batch = learner.settings.labelled_batch
    more = learner.settings.unlabelled_batch if has_unlabelled else 0
    if learner.device.type != "cpu":
        return step(-(-(batch + more) // processes)), step(-(-batch // processes))
    few = 1 if learner.settings.crop_px >= LARGE_PX else min(batch, 2)
    crop = step(few) / few / processes
    return crop * (batch + more), crop * batch


def _usual(call: Callable[[], object], check: Callable[[], None]) -> float:
    """Return the mean seconds of a call, repeated for a while after a first one that warms up."""
    seconds: list[float] = []
    while not seconds or sum(seconds[1:]) < _LONG_ENOUGH:
        check()
        seconds.append(_timed(call))
    return fmean(seconds[1:])


def _timed(call: Callable[[], object]) -> float:
    started = time.monotonic()
    call()
    if torch.cuda.is_initialized():  # a round on the processor leaves the card alone
        torch.cuda.synchronize()
    return time.monotonic() - started
