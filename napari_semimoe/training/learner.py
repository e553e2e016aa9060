"""The network while it learns: optimiser, moving average, and one step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Generator, Tensor, nn

from napari_semimoe.core.settings import RoundSettings
from napari_semimoe.data.augment import Crops, change_colours, crop_batch, with_glass
from napari_semimoe.data.prepare import PreparedTile
from napari_semimoe.data.sampling import draw, generator_for, stable_seed
from napari_semimoe.data.targets import Targets, make_targets
from napari_semimoe.model.checkpoint import copy_of
from napari_semimoe.model.semi_moe import MoEOutputs, SemiMoE
from napari_semimoe.model.weighting import AdaptiveLoss
from napari_semimoe.training.device import autocast, place
from napari_semimoe.training.pseudo import targets_from_maps, targets_from_outputs
from napari_semimoe.training.schedule import ramp, rate_factor
from napari_semimoe.training.step import TaskLosses, head_losses
from napari_semimoe.training.team import Team

#: Learning rate of the adaptive loss's log-scales (released: Adam 0.05).
_SCALE_RATE = 0.05


@dataclass(frozen=True, slots=True)
class StepNumbers:
    """Plain numbers of one step; names as in `StepReport`."""

    total: float
    losses: dict[str, float]
    weights: dict[str, float]
    gates: dict[str, float]
    learning_rate: float


class Learner:
    """A network, its optimiser and the moving average of its weights."""

    def __init__(self, model: SemiMoE, settings: RoundSettings, device: torch.device) -> None:
        self.settings = settings.with_learning_rate(learns_on=False)  # a round has chosen already
        self.device = device
        self.model = place(model, device)
        self.average = copy_of(self.model) if settings.ema_decay else None
        self.adaptive = AdaptiveLoss(model.names).to(device)
        self.optimisers = {
            "model": make_optimiser(self.settings, self.model),
            "adaptive": torch.optim.Adam(self.adaptive.parameters(), lr=_SCALE_RATE),
        }
        self.last_losses: dict[str, float] = {}
        self._team: tuple[Team, nn.Module] | None = None

    def join(self, team: Team) -> None:
        """Share every step with other processes from now on."""
        self._team = team, team.adopt(self.model)

    def leave(self) -> None:
        """Learn alone again."""
        self._team = None

    def modules(self) -> dict[str, nn.Module]:
        """Return what must be saved to go on later."""
        found: dict[str, nn.Module] = {"model": self.model, "adaptive": self.adaptive}
        return found | ({"average": self.average} if self.average is not None else {})

    def teacher(self) -> SemiMoE:
        """Return the network to predict with: the moving average if there is one, in eval mode."""
        return (self.model if self.average is None else self.average).eval()

    def step(
        self,
        labelled: Sequence[PreparedTile],
        unlabelled: Sequence[PreparedTile],
        step: int,
        steps: int,
        stage: int,
    ) -> StepNumbers:
        """Learn from one batch of each pool; ``stage`` -1 uses labelled tiles only.

        A step that is left half-way, for instance because the person cancels, never was: only
        its end changes weights, and the statistics of the batch are taken back.
        """
        with _taken_back_if_left(*self.modules().values()):
            torch.manual_seed(stable_seed(self.settings.seed, "dropout", step))
            rate = self._set_rate(step, steps)
            taught = self._labelled_batch(labelled, step)
            self.model.train()
            if stage < 0 or not unlabelled or not self.settings.unlabelled_batch:
                losses, outputs = self._alone(taught)
            else:
                losses, outputs = self._both(taught, self._unlabelled_batch(unlabelled, step))
            self._learn(losses, step, self._unlabelled_weight(step, steps))
            return self._numbers(losses, outputs, rate)

    def _alone(self, taught: tuple[Tensor, Targets]) -> tuple[list[TaskLosses], MoEOutputs]:
        outputs = self._forward(taught[0])
        return [self._supervised(outputs, taught[1])], outputs

    def _both(
        self, taught: tuple[Tensor, Targets], untaught: tuple[Tensor, Targets | None]
    ) -> tuple[list[TaskLosses], MoEOutputs]:
        count = len(taught[0])
        if self.settings.joint_forward:
            outputs = self._forward(torch.cat([taught[0], untaught[0]]))
            first, second = outputs.sliced(slice(count)), outputs.sliced(slice(count, None))
        else:
            first, second = self._forward(taught[0]), self._forward(untaught[0])
        targets = untaught[1] or targets_from_outputs(
            self.model, second, confidence=self.settings.confidence
        )
        unsupervised = head_losses(second, targets, self.settings, gated=self.settings.teach_gates)
        return [self._supervised(first, taught[1]), unsupervised], first

    def _supervised(self, outputs: MoEOutputs, targets: Targets) -> TaskLosses:
        return head_losses(outputs, targets, self.settings, gated=True)

    def _forward(self, image: Tensor) -> MoEOutputs:
        with autocast(self.device, self.settings.mixed_precision):
            if self._team is None:
                return self.model(image)
            team, network = self._team
            return team.run(network, image)

    def _learn(self, losses: list[TaskLosses], step: int, weight: float) -> None:
        total = losses[0].combined(self.adaptive)
        if len(losses) > 1:
            total = total + weight * losses[1].combined(self.adaptive)
        for optimiser in self.optimisers.values():
            optimiser.zero_grad(set_to_none=True)
        total.backward()
        for optimiser in self.optimisers.values():
            optimiser.step()
        self._average(step)

    def _numbers(self, losses: list[TaskLosses], outputs: MoEOutputs, rate: float) -> StepNumbers:
        numbers = losses[0].numbers("labelled")
        if len(losses) > 1:
            numbers |= losses[1].numbers("unlabelled")
        self.last_losses = numbers
        return StepNumbers(
            sum(numbers.values()), numbers, self.adaptive.weights(), _gate_means(outputs), rate
        )

    def _unlabelled_weight(self, step: int, steps: int) -> float:
        return ramp(self.settings, step, steps)

    def _set_rate(self, step: int, steps: int) -> float:
        rate = self.settings.learning_rate * rate_factor(self.settings, step, steps)
        for group in self.optimisers["model"].param_groups:
            group["lr"] = rate
        return rate

    @torch.no_grad()
    def _average(self, step: int) -> None:
        if self.average is None:
            return
        decay = min(self.settings.ema_decay, (1 + step) / (10 + step))  # forget the start soon
        for mean, value in zip(self.average.parameters(), self.model.parameters(), strict=True):
            mean.lerp_(value, 1 - decay)
        for kept, present in zip(self.average.buffers(), self.model.buffers(), strict=True):
            if kept.is_floating_point():
                kept.lerp_(present, 1 - decay)
            else:
                kept.copy_(present)

    def _labelled_batch(self, tiles: Sequence[PreparedTile], step: int) -> tuple[Tensor, Targets]:
        crops, generator = self._crops(tiles, self.settings.labelled_batch, step, "labelled")
        crops = with_glass(crops, self.settings.glass, generator)
        assert crops.index is not None  # tiles of this pool carry masks
        assert crops.maps is not None
        classes = self.model.settings.n_classes
        targets = make_targets(crops.index[:, 0], crops.maps, crops.index[:, 1], classes)
        return change_colours(crops.image, self.settings.weak, generator), targets

    def _unlabelled_batch(
        self, tiles: Sequence[PreparedTile], step: int
    ) -> tuple[Tensor, Targets | None]:
        crops, generator = self._crops(tiles, self.settings.unlabelled_batch, step, "unlabelled")
        targets = None
        if crops.maps is not None:
            targets = targets_from_maps(
                self.model,
                crops.maps,
                confidence=self.settings.confidence,
                agreement=self.settings.agreement,
            )
        return change_colours(crops.image, self.settings.strong, generator), targets

    def _crops(
        self, tiles: Sequence[PreparedTile], batch: int, step: int, pool: str
    ) -> tuple[Crops, Generator]:
        generator = generator_for(self.settings.seed, "augment", pool, step)
        chosen = [tiles[i] for i in draw(len(tiles), batch, step, self.settings.seed, pool)]
        settings = self.settings.weak if pool == "labelled" else self.settings.strong
        return crop_batch(chosen, self.settings.crop_px, settings, generator), generator


@contextmanager
def _taken_back_if_left(*networks: nn.Module) -> Iterator[None]:
    """Restore the statistics of the batch if what is inside does not reach its end."""
    buffers = [buffer for network in networks for buffer in network.buffers()]
    statistics = [buffer.clone() for buffer in buffers]
    try:
        yield
    except BaseException:
        for buffer, before in zip(buffers, statistics, strict=True):
            buffer.copy_(before)
        raise


def make_optimiser(settings: RoundSettings, model: SemiMoE) -> torch.optim.Optimizer:
    """Return the optimiser that the settings name, over all weights of a network that learn."""
    learning = [weight for weight in model.parameters() if weight.requires_grad]
    if settings.optimiser == "sgd":
        return torch.optim.SGD(
            learning,
            lr=settings.learning_rate,
            momentum=0.9,
            weight_decay=settings.weight_decay,
        )
    return torch.optim.AdamW(
        learning, lr=settings.learning_rate, weight_decay=settings.weight_decay
    )


def _gate_means(outputs: MoEOutputs) -> dict[str, float]:
    names = list(outputs.experts)
    table = outputs.gates.detach().float().mean(0).cpu().tolist()
    return {
        f"{task}<-{expert}": table[t][e]
        for t, task in enumerate(names)
        for e, expert in enumerate(names)
    }
