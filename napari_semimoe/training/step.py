"""One supervised and one unsupervised loss. Source: docs/method.md section 4."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from napari_semimoe.core.settings import RoundSettings
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
    outputs: MoEOutputs, targets: Targets, settings: RoundSettings, *, gated: bool
) -> TaskLosses:
    """Return each task's loss: expert head, plus the gated head if ``gated``.

    Parameters
    ----------
    settings
        Weights of the cross-entropy that is added to the segmentation's Dice; 0 is the released
        loss.
    gated
        Labelled steps teach both heads; the released unlabelled step teaches only the experts.
    """
    groups = [outputs.experts, outputs.gated] if gated else [outputs.experts]
    losses = {}
    for name in outputs.experts:  # a network may have fewer experts than there are targets
        target = targets.maps[name]
        parts = [TASKS[name].loss(group[name], target, targets.valid) for group in groups]
        if settings.cross_entropy and name == "segmentation":
            parts += [
                settings.cross_entropy
                * cross_entropy(group[name], target, targets.valid, settings.object_weight)
                for group in groups
            ]
        losses[name] = sum(parts[1:], parts[0])
    return TaskLosses(losses)
