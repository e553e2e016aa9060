"""The scores by which two models are compared on validation tiles."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

Measure = Literal["dice", "object_f1", "object_dice", "object_hausdorff_px"]


@dataclass(frozen=True, slots=True)
class MeasureWords:
    """How a score is called and read.

    Attributes
    ----------
    name
        As in a sentence.
    unit
        Behind a number, with its space; empty for shares in [0, 1].
    lower_is_better
        Whether 0 is perfect.
    noise
        A change smaller than this is not worth a person's look.
    """

    name: str
    unit: str = ""
    lower_is_better: bool = False
    noise: float = 0.001

    def is_better(self, one: float, other: float) -> bool:
        """Whether ``one`` is strictly better than ``other``."""
        return one < other if self.lower_is_better else one > other

    def is_worse(self, change: float) -> bool:
        """Whether a score that changed so much got worse, as a person reads it, by its noise."""
        return round(change if self.lower_is_better else -change, self._digits) >= self.noise

    def text(self, value: float) -> str:
        """Return the number as a person reads it."""
        return f"{value:.{self._digits}f}{self.unit}"

    def signed(self, change: float) -> str:
        """Return a change as a person reads it."""
        return f"{change:+z.{self._digits}f}"

    @property
    def _digits(self) -> int:
        return 1 if self.unit else 3


#: Object scores as the GlaS challenge defines them.
WORDS: Mapping[Measure, MeasureWords] = {
    "dice": MeasureWords("Dice"),
    "object_f1": MeasureWords("object F1"),
    "object_dice": MeasureWords("object Dice"),
    "object_hausdorff_px": MeasureWords("object Hausdorff", " px", True, 0.5),
}
MEASURES: tuple[Measure, ...] = get_args(Measure)


def tile_scores(scores: Mapping[str, Any], measure: Measure) -> Mapping[str, float]:
    """Return one score of every tile from a report; empty where it was not measured.

    Reports of earlier versions hold only ``per_tile_dice``.
    """
    if measure == "dice":
        return scores.get("per_tile_dice") or {}
    tiles = scores.get("per_tile_objects") or {}
    return {name: values[measure] for name, values in tiles.items()}
