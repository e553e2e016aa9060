"""The released training with its defects, each of which can be left out.

Source: docs/method.md section 8, whose numbers stand in brackets. The package itself has none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

from torch import Tensor

from benchmarks.peers import settled
from napari_semimoe.data.prepare import PreparedTile
from napari_semimoe.data.targets import Targets, boundary_of, one_hot
from napari_semimoe.training.learner import Learner, StepNumbers
from napari_semimoe.training.pseudo import targets_from_outputs

#: Defects of the network: ``wide deviation`` (6) divides the colours by a deviation two to three
#: times that of the images, ``flat gates`` (8) begins with gates of 1/3 that hardly move.
NETWORK_QUIRKS: dict[str, dict[str, Any]] = {
    "wide deviation": {
        "mean": (0.787803, 0.512017, 0.784938),
        "std": (0.428206, 0.507778, 0.426366),
    },
    "flat gates": {"gate_attention": "released"},
}


class Released(Learner):
    """The released training; use with ``RoundSettings.paper``.

    Attributes
    ----------
    quirks
        ``mean distance`` (1): comparing (B, 1, H, W) with (B, H, W) regresses every crop to the
        mean target of the batch. ``binary boundary`` (3): touching objects have none between
        them. ``dropped labels`` (4): labelled tiles beyond the number of unlabelled ones never
        teach. ``idle epoch`` (7): the first epoch's learning rate is 0. ``restless labels`` (7):
        pseudo-labels come from the pass that they teach, with dropout and the statistics of its
        batch; without it, from a pass in evaluation mode. And those of `NETWORK_QUIRKS`.
    """

    QUIRKS: ClassVar = frozenset(
        {"mean distance", "binary boundary", "dropped labels", "idle epoch", "restless labels"}
    ) | frozenset(NETWORK_QUIRKS)
    quirks: ClassVar[frozenset[str]] = QUIRKS
    _epoch = 0

    @classmethod
    def network(cls) -> dict[str, Any]:
        """Return the changes of ``ModelSettings`` that the quirks make."""
        changes = {}
        for name in cls.quirks & NETWORK_QUIRKS.keys():
            changes |= NETWORK_QUIRKS[name]
        return changes

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
        rate = super()._set_rate(step, steps)
        if "idle epoch" not in self.quirks or step >= self._epoch:
            return rate
        for group in self.optimisers["model"].param_groups:
            group["lr"] = 0.0
        return 0.0

    def _labelled_batch(self, tiles: Sequence[PreparedTile], step: int) -> tuple[Tensor, Targets]:
        image, targets = super()._labelled_batch(tiles, step)
        if "binary boundary" in self.quirks:
            targets = binary_boundary(targets)
        if "mean distance" in self.quirks:
            targets = mean_distance(targets)
        return image, targets

    def _unlabelled_batch(
        self, tiles: Sequence[PreparedTile], step: int
    ) -> tuple[Tensor, Targets | None]:
        image, targets = super()._unlabelled_batch(tiles, step)
        if "restless labels" in self.quirks:
            return image, targets
        said = settled(self, self.model, image)
        return image, targets_from_outputs(self.model, said, confidence=self.settings.confidence)


def mean_distance(targets: Targets) -> Targets:
    """Give every crop the batch's mean distance: the same gradient as the broadcast error has."""
    distance = targets.maps["distance"]
    mean = distance.mean(0, keepdim=True).expand_as(distance)
    return replace(targets, maps=targets.maps | {"distance": mean})


def binary_boundary(targets: Targets) -> Targets:
    """Make the boundary from the mask of all objects, which does not tell them apart."""
    tissue = 1 - targets.maps["segmentation"][:, 0]
    boundary = one_hot(boundary_of(tissue.long()).long(), 2)
    return replace(targets, maps=targets.maps | {"boundary": boundary})


def released_with(quirks: frozenset[str]) -> type[Released]:
    """Return the released training with some of its defects."""
    unknown = quirks - Released.QUIRKS
    if unknown:
        raise ValueError(f"quirks are some of {sorted(Released.QUIRKS)}, got {sorted(unknown)}.")
    return type("Released", (Released,), {"quirks": quirks})
