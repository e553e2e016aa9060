"""The multi-gating network: one small gate per task mixes the experts' features.

Source: docs/method.md section 2. A gate gives one weight per expert for a whole tile (each window
of a large one), so a tile has a task x expert table, not a map. Differs: settings ``scaled``
multiplies the softmax over hidden units by their number. As released, that softmax divides
activations by about the number of units, which holds all gates at 1/3 (section 8: 8). Such gates
also begin with most of a task's weight on its own expert, the same on every tile (`Gate.lean_to`).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

#: By how much a gate that leans to an expert prefers it: 0.79 of three experts' weight.
_LEANING = 2.0


class Gate(nn.Module):
    """Weights of the experts for one task, from pooled features."""

    def __init__(self, features: int, experts: int, *, scaled: bool) -> None:
        super().__init__()
        hidden = features // 2
        self.reduce = nn.Linear(features, hidden)
        self.attention = nn.Linear(hidden, hidden)
        self.choose = nn.Linear(hidden, experts)
        self.dropout = nn.Dropout(0.1)
        self.gain = float(hidden) if scaled else 1.0

    @torch.no_grad()
    def lean_to(self, expert: int) -> None:
        """Weigh one expert most, whatever the features are, until it learns otherwise."""
        self.choose.weight.zero_()
        self.choose.bias.zero_()
        self.choose.bias[expert] = _LEANING

    def forward(self, pooled: Tensor) -> Tensor:  # (B, experts * w)
        """Return ``(B, experts)`` weights that sum to 1."""
        hidden = self.reduce(pooled).relu()
        hidden = hidden * self.attention(hidden).softmax(dim=1) * self.gain
        return self.choose(self.dropout(hidden)).softmax(dim=1)
