"""The tasks that experts and gated heads solve: channels, activation, pseudo-label, loss.

A further auxiliary task is one more entry in `TASKS`, with a target of the same name.
Source: method description sections 2-4.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from napari_semimoe.model import losses


@dataclass(frozen=True, slots=True)
class Task:
    """One thing to predict.

    Attributes
    ----------
    coefficient
        Fixed factor of this task in the adaptive loss.
    activate
        Logits to what a person sees and what a pseudo-label is made from.
    loss
        ``loss(logits, target, weight) -> scalar``; the target has the activation's shape.
    """

    name: str
    coefficient: float
    activate: Callable[[Tensor], Tensor]
    loss: Callable[[Tensor, Tensor, Tensor], Tensor]

    def channels(self, n_classes: int) -> int:
        """Return the number of logits for a problem of ``n_classes``."""
        return {"segmentation": n_classes, "distance": 1, "boundary": 2}[self.name]


def _softmax(logits: Tensor) -> Tensor:
    return torch.softmax(logits, dim=1)


TASKS: dict[str, Task] = {
    "segmentation": Task("segmentation", 1.0, _softmax, losses.dice_squared),
    "distance": Task("distance", 0.5, torch.tanh, losses.distance_mse),
    "boundary": Task("boundary", 1.0, _softmax, losses.dice_plain),
}


def harden(probabilities: Tensor) -> Tensor:
    """Turn ``(B, C, H, W)`` probabilities into a one-hot target of the most likely class."""
    index = probabilities.argmax(dim=1, keepdim=True)
    return torch.zeros_like(probabilities).scatter_(1, index, 1.0)
