"""Other ways to learn from unlabelled tiles, on the same network, batches and augmentation.

Each is a `Learner` that differs in what unlabelled crops are taught. All pass through the same
heads and losses, so what differs is the idea alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

import torch
from torch import Tensor, nn

from napari_semimoe.core.settings import RoundSettings
from napari_semimoe.data.augment import change_colours
from napari_semimoe.data.prepare import PreparedTile
from napari_semimoe.data.sampling import stable_seed
from napari_semimoe.data.targets import Targets, boundary_of, one_hot
from napari_semimoe.model.semi_moe import MoEOutputs, SemiMoE
from napari_semimoe.model.tasks import TASKS, harden
from napari_semimoe.training.device import autocast
from napari_semimoe.training.learner import Learner, StepNumbers, make_optimiser
from napari_semimoe.training.pseudo import targets_from_outputs
from napari_semimoe.training.step import TaskLosses, head_losses

#: FixMatch teaches where the weak view is at least so sure.
SURE = 0.95


class _TwoViews(Learner):
    """What a network says of the weak view of a crop teaches the strong one."""

    def _unlabelled_batch(
        self, tiles: Sequence[PreparedTile], step: int
    ) -> tuple[Tensor, Targets | None]:
        crops, generator = self._crops(tiles, self.settings.unlabelled_batch, step, "unlabelled")
        weak = change_colours(crops.image, self.settings.weak, generator)
        targets = self._targets(self._said(weak))
        return change_colours(crops.image, self.settings.strong, generator), targets

    def _said(self, image: Tensor) -> dict[str, Tensor]:
        """Return the gated activated maps of the network that teaches, in evaluation mode."""
        teacher = self._teacher()
        was_training = teacher.training
        with torch.no_grad(), autocast(self.device, self.settings.mixed_precision):
            outputs = teacher.eval()(image.contiguous(memory_format=torch.channels_last))
        teacher.train(was_training)
        return {name: TASKS[name].activate(outputs.gated[name].float()) for name in teacher.names}

    def _teacher(self) -> SemiMoE:
        raise NotImplementedError

    def _targets(self, said: dict[str, Tensor]) -> Targets:
        raise NotImplementedError


class MeanTeacher(_TwoViews):
    """The moving average of the weights teaches consistency (Tarvainen and Valpola 2017).

    Differs: its soft answers are targets of our losses for all three tasks, where the paper has
    the squared error of class probabilities.
    """

    def _teacher(self) -> SemiMoE:
        assert self.average is not None, "mean teacher needs ema_decay above 0"
        return self.average

    def _targets(self, said: dict[str, Tensor]) -> Targets:
        return Targets(said, torch.ones_like(said["segmentation"][:, :1]))


class FixMatch(_TwoViews):
    """Hard labels of the weak view teach where they are sure (Sohn et al. 2020).

    Differs: per pixel; distances, which have no class, teach where the segmentation is sure.
    """

    def _teacher(self) -> SemiMoE:
        return self.model

    def _targets(self, said: dict[str, Tensor]) -> Targets:
        sure = said["segmentation"].amax(1, keepdim=True) >= SURE
        hard = {name: each if name == "distance" else harden(each) for name, each in said.items()}
        return Targets(hard, sure.float())


class CrossPseudo(Learner):
    """Two networks of different beginnings teach each other (Chen et al. 2021, CPS).

    The first one predicts in the end, as in the paper. Both see every crop, so a step costs two.
    """

    def __init__(self, model: SemiMoE, settings: RoundSettings, device: torch.device) -> None:
        super().__init__(model, settings, device)
        torch.manual_seed(stable_seed(settings.seed, "second network"))
        self.second = SemiMoE(model.settings).to(device, memory_format=torch.channels_last)
        self.optimisers["second"] = make_optimiser(settings, self.second)

    def modules(self) -> dict[str, nn.Module]:
        """Return what must be saved to go on later."""
        return super().modules() | {"second": self.second}

    def _set_rate(self, step: int, steps: int) -> float:
        rate = super()._set_rate(step, steps)
        for group in self.optimisers["second"].param_groups:
            group["lr"] = rate
        return rate

    def _both(
        self, taught: tuple[Tensor, Targets], untaught: tuple[Tensor, Targets | None]
    ) -> tuple[list[TaskLosses], MoEOutputs]:
        count, image = len(taught[0]), torch.cat([taught[0], untaught[0]])
        image = image.contiguous(memory_format=torch.channels_last)
        with autocast(self.device, self.settings.mixed_precision):
            said = [self.model(image), self.second(image)]
        mine, other = (
            (each.sliced(slice(count)), each.sliced(slice(count, None))) for each in said
        )
        supervised = _sum(
            self._supervised(mine[0], taught[1]), self._supervised(other[0], taught[1])
        )
        crossed = _sum(self._learns_from(mine[1], other[1]), self._learns_from(other[1], mine[1]))
        return [supervised, crossed], mine[0]

    def _learns_from(self, pupil: MoEOutputs, teacher: MoEOutputs) -> TaskLosses:
        targets = targets_from_outputs(self.model, teacher, confidence=False)
        return head_losses(pupil, targets, gated=True, entropy=self.settings.cross_entropy)


class Released(Learner):
    """The released training with its defects (method section 8), each of which can be left out.

    Attributes
    ----------
    quirks
        ``mean distance`` (1): comparing (B, 1, H, W) with (B, H, W) regresses every crop to the
        mean target of the batch. ``binary boundary`` (3): touching objects have none between
        them. ``dropped labels`` (4): labelled tiles beyond the number of unlabelled ones never
        teach. ``idle epoch`` (7): the first epoch's learning rate is 0.
    """

    QUIRKS: ClassVar = frozenset(
        {"mean distance", "binary boundary", "dropped labels", "idle epoch"}
    )
    quirks: ClassVar[frozenset[str]] = QUIRKS
    _epoch = 0

    def step(
        self,
        labelled: Sequence[PreparedTile],
        unlabelled: Sequence[PreparedTile],
        step: int,
        steps: int,
        stage: int,
    ) -> StepNumbers:
        """Learn from one batch of each pool."""
        if "dropped labels" in self.quirks and unlabelled:
            labelled = labelled[: len(unlabelled)]
        self._epoch = max(1, len(unlabelled) // max(1, self.settings.unlabelled_batch))
        return super().step(labelled, unlabelled, step, steps, stage)

    def _set_rate(self, step: int, steps: int) -> float:
        idle = "idle epoch" in self.quirks and step < self._epoch
        rate = 0.0 if idle else super()._set_rate(step, steps)
        for group in self.optimisers["model"].param_groups if idle else ():
            group["lr"] = rate
        return rate

    def _labelled_batch(self, tiles: Sequence[PreparedTile], step: int) -> tuple[Tensor, Targets]:
        image, targets = super()._labelled_batch(tiles, step)
        if "binary boundary" in self.quirks:
            tissue = 1 - targets.maps["segmentation"][:, 0]
            boundary = one_hot(boundary_of(tissue.long()).long(), 2)
            targets = replace(targets, maps=targets.maps | {"boundary": boundary})
        if "mean distance" in self.quirks:
            targets = mean_distance(targets)
        return image, targets


def mean_distance(targets: Targets) -> Targets:
    """Give every crop the batch's mean distance: the same gradient as the broadcast error has."""
    distance = targets.maps["distance"]
    mean = distance.mean(0, keepdim=True).expand_as(distance)
    return replace(targets, maps=targets.maps | {"distance": mean})


def released_with(quirks: frozenset[str]) -> type[Released]:
    """Return the released training with some of its defects."""
    unknown = quirks - Released.QUIRKS
    if unknown:
        raise ValueError(f"quirks are some of {sorted(Released.QUIRKS)}, got {sorted(unknown)}.")
    return type("Released", (Released,), {"quirks": quirks})


def _sum(one: TaskLosses, other: TaskLosses) -> TaskLosses:
    return TaskLosses({task: loss + other.by_task[task] for task, loss in one.by_task.items()})
