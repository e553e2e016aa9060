"""Other ways to learn from unlabelled tiles, on the same network, batches and augmentation.

Each is a `Learner` that differs in what unlabelled crops are taught. All pass through the same
heads and losses, and weigh alike. There is no CutMix, and no two views differ in shape. Differs
from FixMatch's paper: Dice is a ratio within a crop and the cross-entropy a mean over the weight,
so that a few sure pixels teach as much as many do.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from napari_semimoe.core.settings import RoundSettings
from napari_semimoe.data.augment import change_colours
from napari_semimoe.data.prepare import PreparedTile
from napari_semimoe.data.sampling import stable_seed
from napari_semimoe.data.targets import TARGETS, Targets
from napari_semimoe.model.semi_moe import MoEOutputs, SemiMoE
from napari_semimoe.model.tasks import TASKS
from napari_semimoe.training.device import autocast, place
from napari_semimoe.training.learner import Learner, make_optimiser
from napari_semimoe.training.pseudo import targets_from_outputs
from napari_semimoe.training.step import TaskLosses, head_losses

#: FixMatch teaches where the weak view is at least so sure.
SURE = 0.95


def settled(learner: Learner, network: SemiMoE, image: Tensor) -> MoEOutputs:
    """Run a network in evaluation mode and without gradient, and leave it in its own mode."""
    was_training = network.training
    with torch.no_grad(), autocast(learner.device, learner.settings.mixed_precision):
        outputs = network.eval()(image)
    network.train(was_training)
    return outputs


class _Peer(Learner):
    """What unlabelled crops teach weighs the same in all steps, as ours does; no ramp."""

    def _unlabelled_weight(self, step: int, steps: int) -> float:
        return self.settings.unlabelled_weight


class _TwoViews(_Peer):
    """What a network says of the weak view of a crop teaches the strong one.

    Both views are flipped, turned and zoomed alike; only the strong one changes its colours.
    """

    def _unlabelled_batch(
        self, tiles: Sequence[PreparedTile], step: int
    ) -> tuple[Tensor, Targets | None]:
        crops, generator = self._crops(tiles, self.settings.unlabelled_batch, step, "unlabelled")
        targets = self._targets(self._said(crops.image))
        return change_colours(crops.image, self.settings.strong, generator), targets

    def _said(self, image: Tensor) -> dict[str, Tensor]:
        """Return the gated activated maps of the network that teaches, in evaluation mode."""
        gated = settled(self, self._teacher(), image).gated
        return {name: TASKS[name].activate(logits.float()) for name, logits in gated.items()}

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

    Differs: per pixel; the other tasks teach where the segmentation is sure, too.
    """

    def _teacher(self) -> SemiMoE:
        return self.model

    def _targets(self, said: dict[str, Tensor]) -> Targets:
        sure = said["segmentation"].amax(1, keepdim=True) >= SURE
        hard = {name: TARGETS[name].of_maps(each) for name, each in said.items()}
        return Targets(hard, sure.float())


class CrossPseudo(_Peer):
    """Two networks of different beginnings teach each other (Chen et al. 2021, CPS).

    The first one predicts in the end, as in the paper. Both see every crop, so a step costs two.
    As in the paper, both begin with a pretrained encoder's weights, if there is one.
    """

    def __init__(self, model: SemiMoE, settings: RoundSettings, device: torch.device) -> None:
        super().__init__(model, settings, device)
        torch.manual_seed(stable_seed(settings.seed, "second network"))
        second = SemiMoE(model.settings)
        if model.settings.encoder is not None:
            known = model.get_submodule("backbone.encoder").state_dict()
            second.get_submodule("backbone.encoder").load_state_dict(known)
        self.second = place(second, device)
        self.optimisers["second"] = make_optimiser(self.settings, self.second)

    def modules(self) -> dict[str, nn.Module]:
        """Return what must be saved to go on later."""
        return super().modules() | {"second": self.second}

    def _set_rate(self, step: int, steps: int) -> float:
        rate = super()._set_rate(step, steps)
        for group in self.optimisers["second"].param_groups:
            group["lr"] = rate
        return rate

    def _alone(self, taught: tuple[Tensor, Targets]) -> tuple[list[TaskLosses], MoEOutputs]:
        mine, other = self._each(taught[0])
        return [_sum(self._supervised(mine, taught[1]), self._supervised(other, taught[1]))], mine

    def _both(
        self, taught: tuple[Tensor, Targets], untaught: tuple[Tensor, Targets | None]
    ) -> tuple[list[TaskLosses], MoEOutputs]:
        old, new = slice(len(taught[0])), slice(len(taught[0]), None)
        mine, other = self._each(torch.cat([taught[0], untaught[0]]))
        supervised = _sum(
            self._supervised(mine.sliced(old), taught[1]),
            self._supervised(other.sliced(old), taught[1]),
        )
        crossed = _sum(
            self._learns_from(mine.sliced(new), other.sliced(new)),
            self._learns_from(other.sliced(new), mine.sliced(new)),
        )
        return [supervised, crossed], mine.sliced(old)

    def _each(self, image: Tensor) -> list[MoEOutputs]:
        self.second.train()
        with autocast(self.device, self.settings.mixed_precision):
            return [network(image) for network in (self.model, self.second)]

    def _learns_from(self, pupil: MoEOutputs, teacher: MoEOutputs) -> TaskLosses:
        targets = targets_from_outputs(self.model, teacher, confidence=False)
        return head_losses(pupil, targets, self.settings, gated=True)


def _sum(one: TaskLosses, other: TaskLosses) -> TaskLosses:
    return TaskLosses({task: loss + other.by_task[task] for task, loss in one.by_task.items()})
