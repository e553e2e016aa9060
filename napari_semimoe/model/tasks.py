"""The tasks that experts and gated heads solve: channels, activation, loss.

A further auxiliary task is one entry here and one of the same name in the table of targets
(`napari_semimoe.data.targets.TARGETS`); a network whose ``experts`` name it has an expert, a gate
and a gated head for it. Source: docs/method.md sections 2-4.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from napari_semimoe.core.errors import SettingsError
from napari_semimoe.model import losses


@dataclass(frozen=True, slots=True)
class Task:
    """One thing to predict.

    Attributes
    ----------
    coefficient
        Fixed factor of this task in the adaptive loss.
    channels
        Number of classes, background included, to number of logits.
    activate
        Logits to what a person sees and what a pseudo-label is made from.
    loss
        ``loss(logits, target, weight) -> scalar``; the target has the activation's shape.
    """

    coefficient: float
    channels: Callable[[int], int]
    activate: Callable[[Tensor], Tensor]
    loss: Callable[[Tensor, Tensor, Tensor], Tensor]


def _softmax(logits: Tensor) -> Tensor:
    return torch.softmax(logits, dim=1)


TASKS: dict[str, Task] = {
    "segmentation": Task(1.0, lambda classes: classes, _softmax, losses.dice_squared),
    "distance": Task(0.5, lambda _: 1, torch.tanh, losses.distance_mse),
    "boundary": Task(1.0, lambda _: 2, _softmax, losses.dice_plain),
}


def check_experts(names: Sequence[str]) -> None:
    """Refuse experts that no task has.

    Raises
    ------
    SettingsError
        Naming those that there are.
    """
    unknown = [name for name in names if name not in TASKS]
    if unknown:
        raise SettingsError(
            f"Experts must be of {', '.join(TASKS)}, got {', '.join(unknown)}. Correct the "
            "network's experts."
        )
