"""Values that travel between layers: frozen, named, and free of torch and Qt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from napari_semimoe.core.errors import ShapeError

#: Label value of pixels that must not teach: they carry exactly zero gradient.
IGNORE = 65535
#: Classes of a project or network of which nothing else is said.
USUAL_CLASSES = ("background", "gland")
#: Highest instance id that a mask may hold.
MAX_INSTANCE = IGNORE - 1


@dataclass(frozen=True, slots=True)
class Box:
    """Half-open rectangle in level-0 pixels."""

    y0: int
    x0: int
    y1: int
    x1: int

    def __post_init__(self) -> None:
        if self.y1 <= self.y0 or self.x1 <= self.x0 or self.y0 < 0 or self.x0 < 0:
            raise ShapeError(
                f"A box must have y0 < y1 and x0 < x1, all >= 0; got {self}. Check the tile grid."
            )

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.y1 - self.y0, self.x1 - self.x0

    @property
    def slices(self) -> tuple[slice, slice]:
        """Index of this box in an array whose first axes are y and x."""
        return slice(self.y0, self.y1), slice(self.x0, self.x1)


@dataclass(frozen=True, slots=True)
class Patch:
    """One tile's pixels and, if known, its mask.

    Attributes
    ----------
    image
        ``(H, W, 3)`` uint8 RGB.
    labels
        ``(H, W)`` uint16 instance ids, 0 background, `IGNORE` for pixels that must not teach;
        ``None`` when unlabelled.
    um_per_px
        Microns per pixel, isotropic, > 0.
    name
        Stable identity of the tile, used for reports and for seeding.
    classes
        Class index of each instance id; an id that is absent is class 1.
    """

    image: NDArray[np.uint8]
    labels: NDArray[np.uint16] | None
    um_per_px: float
    name: str
    classes: Mapping[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.image.ndim != 3 or self.image.shape[2] != 3 or self.image.dtype != np.uint8:
            raise ShapeError(
                f"Tile {self.name} must be (H, W, 3) uint8, got {self.image.shape} "
                f"{self.image.dtype}. Convert it to 8-bit RGB."
            )
        if self.labels is not None and self.labels.shape != self.image.shape[:2]:
            raise ShapeError(
                f"The mask of {self.name} must have the image's size {self.image.shape[:2]}, "
                f"got {self.labels.shape}. Export the mask at the image's resolution."
            )
        if not self.um_per_px > 0:
            raise ShapeError(f"um_per_px of {self.name} must be > 0, got {self.um_per_px}.")


def known_classes(known: Sequence[str], wanted: Sequence[str]) -> list[int | None]:
    """Return which of a network's classes each class of a project is, background first.

    They are told by name, in capitals or not; else by number, as where a class was renamed, unless
    that one of the network has its name elsewhere. None: the network has never heard of it.
    """
    numbers = {name.casefold(): number for number, name in enumerate(known)}
    names = {name.casefold() for name in wanted}
    found: list[int | None] = [0]
    for number, name in enumerate(wanted[1:], start=1):
        is_renamed = number < len(known) and known[number].casefold() not in names
        found.append(numbers.get(name.casefold(), number if is_renamed else None))
    return found


def class_numbers(known: Sequence[str], wanted: Sequence[str]) -> list[int]:
    """Return which of a project's classes each class of a network is; the first where none is."""
    places = known_classes(known, wanted)
    return [places.index(number) if number in places else 1 for number in range(len(known))]


@dataclass(frozen=True, slots=True)
class Prediction:
    """What the network says about one tile, at the tile's native size.

    Attributes
    ----------
    experts, gated
        By task name, ``(H, W)`` float32. ``segmentation``: foreground probability in [0, 1];
        ``distance``: signed distance in [-1, 1], positive inside; ``boundary``: probability of
        the outer ring in [0, 1]. ``experts`` are the experts' own heads, ``gated`` the mixtures.
    class_probabilities
        ``(C, H, W)`` float32 of the gated segmentation.
    instances
        ``(H, W)`` uint16 instance ids, 0 background: the gated pseudo-label.
    classes
        Class index of each instance id.
    disagreement
        ``(H, W)`` float32 in [0, 1], 0 where the experts agree.
    gates
        ``(task, expert)`` float32; rows sum to 1. Order of both: `expert_names`.
    expert_names
        Names in the order of ``gates``.
    """

    experts: Mapping[str, NDArray[np.float32]]
    gated: Mapping[str, NDArray[np.float32]]
    class_probabilities: NDArray[np.float32]
    instances: NDArray[np.uint16]
    classes: Mapping[int, int]
    disagreement: NDArray[np.float32]
    gates: NDArray[np.float32]
    expert_names: tuple[str, ...]
