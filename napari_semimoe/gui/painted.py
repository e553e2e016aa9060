"""The mask under the brush as it stands, and the way back from starting it over."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from napari_semimoe.gui.tile_view import Start
from napari_semimoe.project.drafts import Draft


@dataclass(frozen=True, slots=True)
class Painted:
    """A mask under the brush.

    Attributes
    ----------
    labels
        ``(H, W)`` uint16.
    classes
        Class of each instance id.
    begun
        What work on it began with.
    """

    labels: NDArray[np.uint16]
    classes: dict[int, int]
    begun: Start

    def is_same(self, other: Painted) -> bool:
        """Whether a person would see no difference."""
        return self.classes == other.classes and np.array_equal(self.labels, other.labels)

    def as_draft(self, seconds: float) -> Draft:
        """Return what is stored of it before it is accepted; ``seconds`` were spent on it."""
        begun = self.begun
        return Draft(self.labels, begun.labels, self.classes, seconds, begun.model, begun.classes)


class StartOver:
    """What was under the brush before and after a person started over.

    napari undoes and redoes pixels only; by them this tells which classes belong to them, and
    which suggestion the work began with.
    """

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Another mask is under the brush; there is no way back to that of before."""
        self._masks: tuple[Painted, ...] = ()
        self._own_classes: dict[int, int] | None = None

    def begin(self, before: Painted, suggested: Start) -> Painted:
        """Return what is under the brush now.

        Where no pixel changes there is nothing to undo: the classes change, and starting over
        once more gives the person's own ones back.
        """
        after = Painted(suggested.labels, dict(suggested.classes), suggested)
        if not np.array_equal(before.labels, after.labels):
            self._masks = (before, after)
            return after
        if before.classes == after.classes and self._own_classes is not None:
            after = replace(after, classes=self._own_classes)
        self._own_classes = before.classes
        self._masks = (*self._masks[:-1], after)
        return after

    def of_pixels(self, labels: NDArray[np.uint16] | None) -> Painted | None:
        """Return the one of the two masks that has these pixels."""
        if labels is None:
            return None
        return next((mask for mask in self._masks if np.array_equal(mask.labels, labels)), None)
