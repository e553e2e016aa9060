"""Layers whose numbers depend on the whole batch, for batches that several processes share.

torch's own ``SyncBatchNorm`` runs on graphics cards only; these run anywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional


class Sharing(Protocol):
    """What the layers need to know of the team; outside its passes they are ordinary layers."""

    in_pass: bool
    counts: list[int]

    @property
    def part(self) -> slice:
        """Crops of this rank in the pass under way."""
        ...


class _Gathered(torch.autograd.Function):
    """Rows of all ranks; backward, the sum of what all ranks say of this one's rows."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, counts: Sequence[int]) -> Tensor:
        start = sum(counts[: dist.get_rank()])
        ctx.part = slice(start, start + len(rows))
        sent = rows.new_zeros((max(counts), *rows.shape[1:]))
        sent[: len(rows)] = rows
        received = [torch.empty_like(sent) for _ in counts]
        dist.all_gather(received, sent)
        return torch.cat([each[:count] for each, count in zip(received, counts, strict=True)])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        total = gradient.contiguous().clone()
        dist.all_reduce(total)
        return total[ctx.part], None


def gathered(rows: Tensor, counts: Sequence[int]) -> Tensor:
    """Return the rows ``(n, ...)`` of all ranks in their order; ``counts``: rows of each."""
    found: Tensor = _Gathered.apply(rows, counts)
    return found


class SharedBatchNorm(nn.BatchNorm2d):
    """Batch normalisation with the mean and variance of all ranks' crops."""

    team: Sharing

    @classmethod
    def of(cls, layer: nn.BatchNorm2d, team: Sharing) -> SharedBatchNorm:
        """Return a layer with the weights and statistics of another."""
        shared = cls(layer.num_features, layer.eps, layer.momentum)
        shared.weight, shared.bias = layer.weight, layer.bias
        shared.running_mean, shared.running_var = layer.running_mean, layer.running_var
        shared.num_batches_tracked = layer.num_batches_tracked
        shared.team = team
        return shared.train(layer.training)

    def forward(self, features: Tensor) -> Tensor:  # (B, C, H, W)
        """Normalise."""
        if not self.training or not self.team.in_pass:
            return super().forward(features)
        counts = self.team.counts
        variance, mean = torch.var_mean(features.float(), (0, 2, 3), correction=0)
        found = gathered(torch.stack([mean, variance])[None], [1] * len(counts))
        share = found.new_tensor(counts)[:, None] / sum(counts)
        mean = (share * found[:, 0]).sum(0)
        variance = (share * (found[:, 1] + (found[:, 0] - mean) ** 2)).sum(0)
        self._remember(mean, variance, sum(counts) * features[0, 0].numel())
        scale = self.weight * torch.rsqrt(variance + self.eps)
        centred = features - _per_channel(mean)
        return (centred * _per_channel(scale) + _per_channel(self.bias)).to(features.dtype)

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor, count: int) -> None:
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        momentum = 0.1 if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, momentum)
        self.running_var.lerp_(variance * count / max(1, count - 1), momentum)
        self.num_batches_tracked += 1


class SharedDropout(nn.Dropout):
    """Dropout whose mask is drawn for all ranks' rows, so that it is that of the whole batch."""

    team: Sharing

    @classmethod
    def of(cls, layer: nn.Dropout, team: Sharing) -> SharedDropout:
        """Return a layer as another one."""
        shared = cls(layer.p)
        shared.team = team
        return shared.train(layer.training)

    def forward(self, rows: Tensor) -> Tensor:  # (B, F)
        """Drop values of this rank's rows."""
        if not self.training or not self.team.in_pass:
            return super().forward(rows)
        everything = rows.new_ones((sum(self.team.counts), *rows.shape[1:]))
        return rows * functional.dropout(everything, self.p)[self.team.part]


def share_layers(model: nn.Module, team: Sharing) -> None:
    """Replace the layers that look at the whole batch; weights and their order stay."""
    for parent in list(model.modules()):
        for name, layer in list(parent.named_children()):
            if isinstance(layer, nn.BatchNorm2d):
                setattr(parent, name, SharedBatchNorm.of(layer, team))
            elif isinstance(layer, nn.Dropout):
                setattr(parent, name, SharedDropout.of(layer, team))


def _per_channel(values: Tensor) -> Tensor:
    return values[None, :, None, None]
