"""A stand-in for the person, for a demo that walks through the loop by itself."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, gaussian_filter, label
from skimage.color import rgb2hed
from skimage.filters import threshold_otsu

from napari_semimoe.core.values import Prediction
from napari_semimoe.project.masks import read_mask
from napari_semimoe.session.demo import find_glas


@dataclass(frozen=True, slots=True)
class Stroke:
    """One stroke of the brush through pixels ``(y, x)``; it adds to a gland or erases."""

    path: list[tuple[float, float]]
    adds: bool


def stand_in(name: str, image: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return where a person would see gland in a tile of the demo, roughly.

    GlaS: its own mask. Immunohistochemistry: what is brown, at the scale of a gland.
    """
    glas = find_glas()
    masks = [] if glas is None else list(glas.glob(f"{name}_anno.*"))
    if masks:
        return read_mask(masks[0], image.shape[:2]) > 0
    brown = gaussian_filter(rgb2hed(image)[..., 2], 4)
    return brown > threshold_otsu(brown)


def correction(prediction: Prediction, seen: NDArray[np.bool_]) -> Stroke:
    """Return a short stroke into the largest error of a prediction.

    What was left out is painted from the nearest gland on, so that the gland grows; what is
    too much is erased.
    """
    found = prediction.instances > 0
    depth = distance_transform_edt(np.pad(found != seen, 1))[1:-1, 1:-1]
    worst = np.array(np.unravel_index(int(depth.argmax()), depth.shape))
    adds = bool(seen[tuple(worst)])
    corners = [worst, _along(depth, worst)]
    if adds and found.any():
        corners.insert(0, _nearest(found, worst))
    legs = [np.linspace(a, b, 8) for a, b in itertools.pairwise(corners)]
    return Stroke([(float(y), float(x)) for leg in legs for y, x in leg], adds)


def _along(depth: NDArray[np.floating], worst: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return the far end of the error that a brush can reach from its widest place."""
    parts, _ = label(depth > 0.6 * depth.max())
    reached = np.argwhere(parts == parts[tuple(worst)])
    return reached[((reached - worst) ** 2).sum(axis=1).argmax()]


def _nearest(found: NDArray[np.bool_], place: NDArray[np.intp]) -> NDArray[np.intp]:
    pixels = np.argwhere(found)
    return pixels[((pixels - place) ** 2).sum(axis=1).argmin()]
