"""Task losses; every one refuses silent broadcasting and honours a weight per pixel.

A pixel of weight 0 has exactly zero gradient. Source: docs/method.md section 4; differs:
a weight map, and targets as one-hot maps so that soft pseudo-labels fit too.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from napari_semimoe.core.errors import ShapeError

SMOOTH = 1.0


def dice_squared(logits: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Soft Dice over all classes with a squared denominator, mean over samples and classes.

    Parameters
    ----------
    logits, target
        ``(B, C, H, W)``; the target holds probabilities or a one-hot map.
    weight
        ``(B, 1, H, W)`` in [0, 1].

    Returns
    -------
    Tensor
        Scalar in [0, 1].
    """
    p, t, w = _probabilities(logits, target, weight)
    overlap = (w * p * t).sum((2, 3))
    size = (w * (p * p + t * t)).sum((2, 3))
    return 1 - ((2 * overlap + SMOOTH) / (size + SMOOTH)).mean()


def dice_plain(logits: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Soft Dice over all classes with a plain denominator; shapes as `dice_squared`."""
    p, t, w = _probabilities(logits, target, weight)
    overlap = (w * p * t).sum((2, 3))
    size = (w * (p + t)).sum((2, 3))
    return 1 - ((2 * overlap + SMOOTH) / (size + SMOOTH)).mean()


def distance_mse(logits: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Weighted mean squared error of ``tanh(logits)``; all ``(B, 1, H, W)``.

    Returns 0 when no pixel has weight.
    """
    _check(logits, target, weight)
    error = (logits.float().tanh() - target) ** 2
    return (weight * error).sum() / weight.sum().clamp_min(1e-6)


def cross_entropy(logits: Tensor, target: Tensor, weight: Tensor, objects: float = 1.0) -> Tensor:
    """Weighted mean cross-entropy against a probability map; shapes as `dice_squared`.

    An object's pixels weigh ``objects`` times as much as the background's, class 0.
    """
    _check(logits, target, weight)
    per_pixel = -(target * functional.log_softmax(logits.float(), dim=1)).sum(1, keepdim=True)
    weight = weight * (objects + (1 - objects) * target[:, :1])
    return (weight * per_pixel).sum() / weight.sum().clamp_min(1e-6)


def _probabilities(logits: Tensor, target: Tensor, weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    _check(logits, target, weight)
    return logits.float().softmax(dim=1), target, weight


def _check(logits: Tensor, target: Tensor, weight: Tensor) -> None:
    if logits.shape != target.shape or logits.ndim != 4:
        raise ShapeError(
            f"A loss needs logits and target of one (B, C, H, W) shape, got {tuple(logits.shape)} "
            f"and {tuple(target.shape)}. Add the channel axis before calling it."
        )
    if weight.shape != (logits.shape[0], 1, *logits.shape[2:]):
        raise ShapeError(
            f"A loss needs a weight of shape (B, 1, H, W) for logits {tuple(logits.shape)}, got "
            f"{tuple(weight.shape)}. Add the channel axis before calling it."
        )
