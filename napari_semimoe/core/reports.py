"""Plain numbers by name, safe to send between processes as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class StepReport:
    """One optimiser step.

    ``losses`` holds ``labelled/<task>`` and ``unlabelled/<task>``; ``weights`` the adaptive
    loss's weight ``exp(-s)`` of each task; ``gates`` the batch mean, ``"task<-expert"``.
    """

    step: int
    steps: int
    stage: int
    total: float
    losses: Mapping[str, float]
    weights: Mapping[str, float]
    gates: Mapping[str, float]
    learning_rate: float
    seconds_left: float
    images_per_second: float

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class ValidationReport:
    """Scores on the frozen validation tiles at native size, threshold fixed at 0.5.

    Object scores are the GlaS challenge's, over the union of all tiles' objects.
    ``per_tile_objects`` holds them for each tile by their names here. ``experts`` is the Dice of
    the experts that mark a region by themselves: segmentation and distance.
    """

    step: int
    tiles: int
    dice: float  # pooled over all pixels, in [0, 1]
    jaccard: float
    object_f1: float
    object_dice: float
    object_hausdorff_px: float
    experts: Mapping[str, float] = field(default_factory=dict)
    per_tile_dice: Mapping[str, float] = field(default_factory=dict)
    per_tile_objects: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    foreground: float | None = None  # share of all pixels that the network marks, in [0, 1]
    true_foreground: float | None = None  # the same share in the masks
    #: Threshold, coverage and precision of the pixels on which the experts agree so much.
    agreement: Sequence[Sequence[float | None]] = ()

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class RoundReport:
    """What a finished or cancelled round did."""

    steps: int
    seconds: float
    labelled: int
    unlabelled: int
    validation: ValidationReport | None
    base_validation: ValidationReport | None  # the model that the round started from
    weights: str  # path of the new checkpoint
    cancelled: bool
    device: str
    data_hash: str
    final_losses: Mapping[str, float] = field(default_factory=dict)
    #: By unlabelled tile: foreground, coverage and weight of its last pseudo-label.
    taught: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> RoundReport:
        """Return what `to_json` made values of; TypeError or KeyError if it did not."""
        scores = {
            name: ValidationReport(**values[name]) if values[name] else None
            for name in ("validation", "base_validation")
        }
        return cls(**{**values, **scores})


class Observer(Protocol):
    """Who hears about running work and may ask it to stop."""

    def report(self, name: str, data: Mapping[str, Any]) -> None:
        """Hear of progress; ``data`` is plain JSON."""
        ...

    def should_stop(self) -> bool:
        """Whether to stop at the next safe point; asked at every step."""
        ...


class SilentObserver:
    """Hears nothing and never stops the work."""

    def report(self, name: str, data: Mapping[str, Any]) -> None:
        """Ignore."""

    def should_stop(self) -> bool:
        """Never stop."""
        return False
