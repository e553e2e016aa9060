"""One supervised and one unsupervised loss. Source: method description section 4."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from napari_semimoe.data.targets import Targets
from napari_semimoe.model.losses import cross_entropy
from napari_semimoe.model.semi_moe import MoEOutputs
from napari_semimoe.model.tasks import TASKS
from napari_semimoe.model.weighting import AdaptiveLoss


@dataclass(frozen=True, slots=True)
class TaskLosses:
    """Scalar losses by task name."""

    by_task: dict[str, Tensor]

    def combined(self, adaptive: AdaptiveLoss) -> Tensor:
        """Weigh and add the tasks."""
        return adaptive(self.by_task)

    def numbers(self, prefix: str) -> dict[str, float]:
        """Return plain numbers, names ``prefix/task``."""
        return {f"{prefix}/{task}": float(loss.detach()) for task, loss in self.by_task.items()}


def head_losses(
    outputs: MoEOutputs, targets: Targets, *, gated: bool, entropy: float
) -> TaskLosses:
    """Return each task's loss: expert head, plus the gated head if ``gated``.

    Parameters
    ----------
    gated
        Labelled steps teach both heads; the released unlabelled step teaches only the experts.
    entropy
        Weight of a cross-entropy added to the segmentation's Dice; 0 is the released loss.
    """
    groups = [outputs.experts, outputs.gated] if gated else [outputs.experts]
    losses = {}
    for name in outputs.experts:  # a network may have fewer experts than there are targets
        target = targets.maps[name]
        parts = [TASKS[name].loss(group[name], target, targets.valid) for group in groups]
        if entropy and name == "segmentation":
            parts += [entropy * cross_entropy(g[name], target, targets.valid) for g in groups]
        losses[name] = sum(parts[1:], parts[0])
    return TaskLosses(losses)
