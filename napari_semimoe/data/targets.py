"""Targets of the tasks, from an instance mask or from predicted maps.

Any mask is ordinary: empty, full, 1 px.

Source: docs/method.md section 3. Differs from the released code (section 8: 2, 3, 5):
instance-aware, so that touching objects have a distance of 0 and a boundary between them; no
division by zero; any instance ids; pixels that must not teach are marked in ``valid``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt
from skimage.segmentation import find_boundaries
from torch import Tensor

from napari_semimoe.core.errors import ShapeError
from napari_semimoe.core.values import IGNORE

#: Width of a boundary in pixels at the working resolution.
BOUNDARY_PX = 2
#: Smallest furthest predicted distance in a crop that is stretched to 1 again. Distances that are
#: nearer to the truth taught no better (docs/choices.md, "Truer distances").
_FLOOR = 0.1
#: Offsets of a disk of that radius.
_DISK = [(y, x) for y in range(-2, 3) for x in range(-2, 3) if 0 < y * y + x * x <= BOUNDARY_PX**2]


@dataclass(frozen=True, slots=True)
class Targets:
    """What the network should say about a batch of crops.

    Attributes
    ----------
    maps
        By task: ``segmentation (B, C, H, W)`` one-hot; ``distance (B, 1, H, W)`` in [-1, 1];
        ``boundary (B, 2, H, W)`` one-hot, channel 1 is the boundary.
    valid
        ``(B, 1, H, W)`` float in [0, 1], 0 where a pixel must not teach.
    """

    maps: dict[str, Tensor]
    valid: Tensor


def signed_distance(labels: NDArray[np.integer]) -> NDArray[np.float32]:
    """Distance in pixels to the objects' inner boundary: positive inside, negative outside.

    Parameters
    ----------
    labels
        ``(H, W)`` instance ids; `IGNORE` counts as whatever lies nearest to it, so that no edge
        is taught where nobody knows of one.

    Returns
    -------
    ndarray
        ``(H, W)`` float32; 0 on the inner boundary of every instance. All 1 in a mask without
        any boundary that is all object, all -1 in an empty one.
    """
    if labels.ndim != 2:
        raise ShapeError(f"A mask must be (H, W), got {labels.shape}. Drop the extra axes.")
    objects = _without_ignored(labels)
    inside = objects > 0
    if not inside.any():
        return np.full(labels.shape, -1, np.float32)
    inner = find_boundaries(objects, mode="inner") & inside
    core = inside & ~inner
    if core.all():
        return np.ones(labels.shape, np.float32)
    distance = distance_transform_edt(core).astype(np.float32)
    if not inside.all():
        distance -= np.where(inside, 0, distance_transform_edt(~inside)).astype(np.float32)
    return distance


def _without_ignored(labels: NDArray[np.integer]) -> NDArray[np.integer]:
    known = labels != IGNORE
    if known.all() or not known.any():
        return np.where(known, labels, 0)
    rows, columns = distance_transform_edt(~known, return_distances=False, return_indices=True)
    return labels[rows, columns]


def normalise_distance(distance: Tensor, floor: float = 1.0) -> Tensor:
    """Divide each sign of ``(B, 1, H, W)`` distances by its own maximum in the crop: [-1, 1].

    A maximum below ``floor`` counts as ``floor``: one pixel for distances in pixels.
    """
    furthest_in = distance.amax((2, 3), keepdim=True).clamp_min(floor)
    furthest_out = (-distance).amax((2, 3), keepdim=True).clamp_min(floor)
    return torch.where(distance > 0, distance / furthest_in, distance / furthest_out)


def boundary_of(labels: Tensor) -> Tensor:
    """Mark pixels within 2 px of another object's pixel.

    That is the ring which dilating each object with a disk of radius 2 adds, and between two
    touching objects a band on both sides of their seam.

    Parameters
    ----------
    labels
        ``(B, H, W)`` integer instance ids, 0 background.

    Returns
    -------
    Tensor
        ``(B, H, W)`` bool.
    """
    height, width = labels.shape[1:]
    padded = torch.nn.functional.pad(labels, (2, 2, 2, 2))
    found = torch.zeros_like(labels, dtype=torch.bool)
    for dy, dx in _DISK:
        neighbour = padded[:, 2 + dy : 2 + dy + height, 2 + dx : 2 + dx + width]
        found |= (neighbour != 0) & (neighbour != labels)
    return found


@dataclass(frozen=True, slots=True)
class MaskCrops:
    """What is known of the masks in a batch of crops.

    Attributes
    ----------
    objects
        ``(B, H, W)`` integer instance ids, 0 background.
    distance
        ``(B, 1, H, W)`` float, signed pixels (`signed_distance`); 0 where a pixel must not teach.
    classes
        ``(B, H, W)`` integer class index of each pixel.
    n_classes
        Number of classes, background included.
    """

    objects: Tensor
    distance: Tensor
    classes: Tensor
    n_classes: int


@dataclass(frozen=True, slots=True)
class Target:
    """How a task is taught: by a mask, and by what a network says of an unlabelled crop.

    Attributes
    ----------
    of_masks
        Masks to ``(B, C, H, W)``.
    of_maps
        Activated maps ``(B, C, H, W)``, which may be averaged over views, to the same.
    """

    of_masks: Callable[[MaskCrops], Tensor]
    of_maps: Callable[[Tensor], Tensor]


def make_targets(labels: Tensor, distance: Tensor, classes: Tensor, n_classes: int) -> Targets:
    """Build the targets of a batch of crops.

    Parameters
    ----------
    labels
        ``(B, H, W)`` integer instance ids with `IGNORE`.
    distance, classes, n_classes
        As in `MaskCrops`.
    """
    if labels.ndim != 3 or distance.shape != (labels.shape[0], 1, *labels.shape[1:]):
        raise ShapeError(
            f"Targets need labels (B, H, W) and distance (B, 1, H, W), got {tuple(labels.shape)} "
            f"and {tuple(distance.shape)}."
        )
    valid = (labels != IGNORE).unsqueeze(1)
    objects = torch.where(labels == IGNORE, 0, labels)
    known = torch.where(valid, distance, 0)  # what is not known must not scale what is
    masks = MaskCrops(objects, known, classes, n_classes)
    return Targets({name: each.of_masks(masks) for name, each in TARGETS.items()}, valid.float())


def one_hot(index: Tensor, count: int) -> Tensor:
    """Turn ``(B, H, W)`` indices into ``(B, count, H, W)`` float."""
    return torch.nn.functional.one_hot(index.long(), count).permute(0, 3, 1, 2).float()


def harden(probabilities: Tensor) -> Tensor:
    """Turn ``(B, C, H, W)`` probabilities into a one-hot target of the most likely class."""
    index = probabilities.argmax(dim=1, keepdim=True)
    return torch.zeros_like(probabilities).scatter_(1, index, 1.0)


#: By task, as in `napari_semimoe.model.tasks.TASKS`.
TARGETS: dict[str, Target] = {
    "segmentation": Target(lambda masks: one_hot(masks.classes, masks.n_classes), harden),
    "distance": Target(
        lambda masks: normalise_distance(masks.distance),
        lambda maps: normalise_distance(maps, _FLOOR),
    ),
    "boundary": Target(lambda masks: one_hot(boundary_of(masks.objects).long(), 2), harden),
}


def class_map(labels: NDArray[np.integer], classes: Mapping[int, int]) -> NDArray[np.uint8]:
    """Class index of each pixel: 0 background and ignored, ``classes[id]`` or 1 for an object."""
    table = np.ones(IGNORE + 1, np.uint8)
    table[0] = table[IGNORE] = 0
    for label, index in classes.items():
        table[int(label)] = index
    return table[labels]


def targets_from_mask(
    labels: NDArray[np.uint16], classes: Mapping[int, int] | None = None, n_classes: int = 2
) -> Targets:
    """Build the targets of one whole mask ``(H, W)``, as a batch of one."""
    as_tensor = torch.from_numpy(labels.astype(np.int32))[None]
    distance = torch.from_numpy(signed_distance(labels))[None, None]
    kinds = torch.from_numpy(class_map(labels, classes or {}))[None]
    return make_targets(as_tensor, distance, kinds, n_classes)
