"""Fit a network's batch normalisation to one tile, so that another stain misleads it less.

Batch normalisation takes away each feature's mean and deviation over the training tiles. A tile of
another patient, stain or scanner has others; here its own count in part.

Source: Schneider et al. 2020 (arXiv 2006.16971). Differs: the tile's weight is fixed, and falls
with the size of small tiles only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

#: Weight of the tile's statistics beside those of training.
SHARE = 0.3
#: A tile of fewer working pixels has too few of its own to count so much.
ENOUGH_PX = 256 * 256


@contextmanager
def adapted(
    model: nn.Module,
    look: Callable[[Tensor], object],
    parts: Iterable[Tensor],
    pixels: int,
    share: float = SHARE,
) -> Iterator[None]:
    """Let the statistics of a tile count for a while; afterwards the network is as it was.

    Parameters
    ----------
    model
        In evaluation mode.
    look
        Runs the network on one of the parts.
    parts
        What is seen of the tile; its statistics are those of all of them together.
    pixels
        Size of the tile at working resolution.
    share
        Weight of the tile's statistics in [0, 1]; less for a tile of fewer than `ENOUGH_PX`. With
        0 nothing is seen of the tile, and nothing changes.
    """
    if not share:
        yield
        return
    norms = _that_learn(model)
    buffers = [buffer for norm in norms for buffer in norm.buffers()]
    before = [buffer.clone() for buffer in buffers]
    share *= min(1.0, pixels / ENOUGH_PX)
    try:
        with torch.no_grad():
            _count(norms, look, parts)
            for buffer, trained in zip(buffers, before, strict=True):
                if buffer.is_floating_point():  # all but the counter of batches
                    buffer.mul_(share).add_(trained, alpha=1 - share)
        yield
    finally:
        for buffer, trained in zip(buffers, before, strict=True):
            buffer.copy_(trained)


def _that_learn(model: nn.Module) -> list[nn.BatchNorm2d]:
    """Return the layers whose statistics change in training; a frozen encoder's do not."""
    model.train()
    layers = [each for each in model.modules() if isinstance(each, nn.BatchNorm2d)]
    learning = [layer for layer in layers if layer.training]
    model.eval()
    return learning


def _count(
    norms: Sequence[nn.BatchNorm2d], look: Callable[[Tensor], object], parts: Iterable[Tensor]
) -> None:
    """Set the layers' statistics to those of all parts together."""
    momenta = [norm.momentum for norm in norms]
    seen = []
    try:
        for norm in norms:
            norm.train()
            norm.momentum = 1.0  # the statistics of one part replace those before
        for part in parts:
            look(part)
            seen.append([torch.stack(_statistics(norm)) for norm in norms])
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.eval()
            norm.momentum = momentum
    for norm, of_parts in zip(norms, zip(*seen, strict=True), strict=True):
        means, variances = torch.stack(of_parts).unbind(1)
        mean, variance = _statistics(norm)
        mean.copy_(means.mean(0))
        variance.copy_(variances.mean(0) + means.var(0, correction=0))


def _statistics(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Return the mean and the variance of a layer that keeps them."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    return norm.running_mean, norm.running_var
