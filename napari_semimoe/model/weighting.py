"""The loss that balances itself: one learned log-scale per task.

Source: docs/method.md section 4.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from napari_semimoe.model.tasks import TASKS

REGULARISER = 0.4


class AdaptiveLoss(nn.Module):
    """``sum_t c_t exp(-s_t) L_t + 0.4 exp(s_t)`` with learned ``s`` that start at 1."""

    def __init__(self, tasks: Sequence[str]) -> None:
        super().__init__()
        self.log_scale = nn.ParameterDict({t: nn.Parameter(torch.ones(())) for t in tasks})

    def forward(self, losses: Mapping[str, Tensor]) -> Tensor:
        """Combine scalar losses by task name into one scalar."""
        total: Tensor | float = 0.0
        for task, loss in losses.items():
            s = self.log_scale[task]
            total = total + TASKS[task].coefficient * torch.exp(-s) * loss
            total = total + REGULARISER * torch.exp(s)
        return torch.as_tensor(total)

    def weights(self) -> dict[str, float]:
        """Return the present weight ``exp(-s)`` of each task, for the log."""
        return {task: float(torch.exp(-s.detach())) for task, s in self.log_scale.items()}
