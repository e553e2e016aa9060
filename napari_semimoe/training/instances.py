"""Object instances from the three experts' maps. numpy and scikit-image only."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.measure import label
from skimage.morphology import remove_small_holes, remove_small_objects
from skimage.segmentation import watershed

from napari_semimoe.core.errors import ShapeError
from napari_semimoe.core.values import MAX_INSTANCE

#: A seed is where the distance exceeds this share of its maximum in the object
#: (measured: `benchmarks/instances.py`) ...
SEED_DEPTH = 0.1
#: ... and the boundary expert sees no boundary.
SEED_BOUNDARY = 0.5
#: A seed must have this share of the pixels of the largest seed in its part of the mask.
SEED_SHARE = 0.1
#: A part of another class is an object where it has this share of the pixels of the largest part
#: that it touches, directly or through others ...
CLASS_SHARE = 0.25
#: ... or where the network is so sure of its class, as a share of how sure it is on the tile.
CLASS_CONFIDENCE = 0.5


def to_instances(
    foreground: NDArray[np.floating],
    distance: NDArray[np.floating] | None,
    boundary: NDArray[np.floating] | None,
    *,
    classes: NDArray[np.floating] | None = None,
    threshold: float = 0.5,
    min_object_px: float = 0.0,
    split_touching: bool = True,
    seed_depth: float = SEED_DEPTH,
) -> NDArray[np.uint16]:
    """Cut a foreground map into objects.

    Objects that touch are split by a watershed on the distance map, from seeds that lie deep
    inside and away from any predicted boundary. A seed smaller than ``min_object_px``, or
    much smaller than another one in the same part, splits nothing: noise shatters no object.
    Parts of different classes are different objects; only one that is too small, or small and
    not sure of its class, takes the class around it.

    Parameters
    ----------
    foreground
        ``(H, W)`` probability in [0, 1].
    distance
        ``(H, W)`` signed distance in [-1, 1], positive inside; ``None`` to not use it.
    boundary
        ``(H, W)`` boundary probability in [0, 1]; ``None`` to not use it.
    classes
        ``(K, H, W)`` probability of each class besides the background; ``None`` for one class.
    threshold
        Foreground is at or above this.
    min_object_px
        Smaller objects and holes, in pixels, are removed.
    split_touching
        Whether to split objects of one class.
    seed_depth
        Share of an object's largest distance, in [0, 1), above which a pixel belongs to a seed;
        higher splits more.

    Returns
    -------
    ndarray
        ``(H, W)`` uint16 ids 1..N without gaps, 0 background.
    """
    _check_shapes(foreground, distance, boundary, *(() if classes is None else classes))
    mask = _clean(foreground >= threshold, min_object_px)
    depth = distance if split_touching else None
    objects = np.zeros(mask.shape, np.int32)
    for part in [mask] if classes is None else _by_class(mask, classes, min_object_px):
        cut = _cut(part, depth, boundary, min_object_px, seed_depth)
        objects[part] = cut[part] + objects.max()
    objects = _drop_small(objects, min_object_px)
    if objects.max() > MAX_INSTANCE:
        raise ShapeError(
            f"A tile may hold {MAX_INSTANCE} objects, got {objects.max()}. Raise the smallest "
            "object size."
        )
    return objects.astype(np.uint16)


def drop_unsure(
    objects: NDArray[np.integer],
    foreground: NDArray[np.floating],
    *,
    threshold: float,
    min_confidence: float,
) -> NDArray[np.uint16]:
    """Remove objects of which the network is much less sure than of the tile's others.

    An object's confidence is the mean probability of what is marked in it, less the threshold. It
    is compared with the tile's, for a network that has learned little is sure of nothing
    (`benchmarks/instances.py`).

    Parameters
    ----------
    objects
        ``(H, W)`` ids, 0 background.
    foreground
        ``(H, W)`` probability in [0, 1].
    threshold
        That of the objects.
    min_confidence
        Least confidence, as a share in [0, 1) of that of all marked pixels.

    Returns
    -------
    ndarray
        ``(H, W)`` uint16 ids 1..N without gaps.
    """
    marked = np.where(foreground >= threshold, objects, 0).ravel()  # not holes that were filled
    count = int(objects.max()) + 1
    sizes = np.bincount(marked, minlength=count)
    sums = np.bincount(marked, foreground.ravel() - threshold, minlength=count)
    usual = sums[1:].sum() / max(1, sizes[1:].sum())
    return _renumbered(objects, sums >= min_confidence * usual * sizes).astype(np.uint16)


def _cut(
    mask: NDArray[np.bool_],
    distance: NDArray[np.floating] | None,
    boundary: NDArray[np.floating] | None,
    min_px: float,
    seed_depth: float,
) -> NDArray[np.int32]:
    """Cut a mask between seeds; without distances its connected parts are the objects."""
    if distance is None or not mask.any():
        return label(mask, connectivity=1)
    seeds = _seeds(mask, distance, boundary, min_px, seed_depth)
    objects = watershed(-ndimage.gaussian_filter(distance, 1.0), seeds, mask=mask)
    return _with_unseeded(objects, mask)


def _clean(mask: NDArray[np.bool_], min_px: float) -> NDArray[np.bool_]:
    size = math.ceil(min_px) - 1  # the largest that is still too small
    if size < 1:
        return mask
    mask = remove_small_holes(mask, max_size=size)
    return remove_small_objects(mask, max_size=size)


def _seeds(
    mask: NDArray[np.bool_],
    distance: NDArray[np.floating],
    boundary: NDArray[np.floating] | None,
    min_seed_px: float,
    seed_depth: float,
) -> NDArray[np.int32]:
    inside = mask if boundary is None else mask & (boundary < SEED_BOUNDARY)
    parts = label(inside, connectivity=1)
    depth = np.zeros(parts.max() + 1)
    np.maximum.at(depth, parts.ravel(), distance.ravel())
    deep = inside & (distance > seed_depth * depth[parts])
    seeds = _drop_small(label(deep, connectivity=1), min_seed_px)
    return _drop_minor(seeds, label(mask, connectivity=1))


def _drop_minor(seeds: NDArray[np.int32], parts: NDArray[np.integer]) -> NDArray[np.int32]:
    """Remove seeds that are much smaller than the largest one in their part of the mask."""
    sizes, _, largest = _beside_the_largest(seeds, parts)
    return _renumbered(seeds, sizes >= SEED_SHARE * largest)


def _beside_the_largest(
    parts: NDArray[np.integer], wholes: NDArray[np.integer]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return, by part: its pixels, the whole it lies in, the pixels of that one's largest part."""
    sizes = np.bincount(parts.ravel())
    whole_of = np.zeros(len(sizes), np.int64)
    whole_of[parts.ravel()] = wholes.ravel()
    largest = np.zeros(wholes.max() + 1, np.int64)
    np.maximum.at(largest, whole_of[1:], sizes[1:])
    return sizes, whole_of, largest[whole_of]


def _with_unseeded(objects: NDArray[np.int32], mask: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Keep parts of the mask that no seed reached as objects of their own."""
    rest = label(mask & (objects == 0), connectivity=1)
    return np.where(rest > 0, rest + objects.max(), objects)


def _by_class(
    mask: NDArray[np.bool_], classes: NDArray[np.floating], min_px: float
) -> list[NDArray[np.bool_]]:
    """Return where each class is; parts that are no objects go to what is nearest of the others."""
    kinds = np.where(mask, 1 + classes.argmax(0), 0)
    parts = label(kinds, connectivity=1)
    sizes, whole_of, largest = _beside_the_largest(parts, label(mask, connectivity=1))
    sure = np.bincount(parts.ravel(), _lead(classes).ravel())
    usual = sure[1:].sum() / max(1, sizes[1:].sum())
    keep = (sizes >= CLASS_SHARE * largest) | (sure >= CLASS_CONFIDENCE * usual * sizes)
    keep &= sizes >= max(1.0, min_px)
    by_size = np.argsort(sizes[1:], kind="stable") + 1
    last = np.zeros(len(sizes), np.int64)
    last[whole_of[by_size]] = by_size
    keep[last] = True  # the largest of each whole always stays
    keep[0] = False
    nearest = watershed(np.zeros(mask.shape), np.where(keep[parts], parts, 0), mask=mask)
    kind_of = np.zeros(len(sizes), kinds.dtype)
    kind_of[parts.ravel()] = kinds.ravel()
    found = kind_of[nearest]
    return [found == kind for kind in np.unique(found[mask])]


def _lead(classes: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return by how much the most likely class is ahead of the next, ``(H, W)``."""
    second, first = np.partition(classes, -2, axis=0)[-2:]
    return first - second


def _drop_small(objects: NDArray[np.integer], min_px: float) -> NDArray[np.int32]:
    """Remove objects below ``min_px`` pixels and number the rest 1..N."""
    return _renumbered(objects, np.bincount(objects.ravel()) >= max(1.0, min_px))


def _renumbered(objects: NDArray[np.integer], keep: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Remove the ids that ``keep`` (by id) does not name, and number the rest 1..N."""
    keep[0] = False
    numbers = np.zeros(len(keep), np.int32)
    numbers[keep] = np.arange(1, keep.sum() + 1)
    return numbers[objects]


def _check_shapes(*maps: NDArray[Any] | None) -> None:
    shapes = {m.shape for m in maps if m is not None}
    if len(shapes) != 1 or len(next(iter(shapes))) != 2:
        raise ShapeError(f"All maps must have one (H, W) shape, got {sorted(shapes)}.")
