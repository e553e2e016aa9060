"""Instance masks as polygons with holes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Ring = NDArray[np.float64]  # (N, 2) x, y; the last point repeats the first


def instance_polygons(labels: NDArray[np.uint16]) -> Iterator[tuple[int, list[list[Ring]]]]:
    """Outline every instance.

    Coordinates are in pixels from the top left corner of the image, the centre of the first
    pixel being at (0.5, 0.5). A pixel belongs to an instance exactly when its centre lies
    inside the polygon.

    Yields
    ------
    tuple
        Instance id, and its polygons: each a list of the outer ring and the rings of its holes.
    """
    from scipy.ndimage import find_objects

    for number, where in enumerate(find_objects(labels), start=1):
        if where is not None:
            corner = np.array([where[1].start, where[0].start], float)
            polygons = mask_polygons(labels[where] == number)
            yield number, [[ring + corner for ring in rings] for rings in polygons]


def mask_polygons(mask: NDArray[np.bool_]) -> list[list[Ring]]:
    """Outline a mask: for each part the outer ring, then its holes."""
    from skimage.measure import find_contours

    rings = [_ring(contour) for contour in find_contours(np.pad(mask, 1).astype(float), 0.5)]
    areas = [_signed_area(ring) for ring in rings]
    # parts and holes wind in opposite directions; the largest ring is never a hole
    sign = np.sign(areas[int(np.argmax(np.abs(areas)))]) if rings else 1.0
    outers = [(abs(a), ring) for a, ring in zip(areas, rings, strict=True) if a * sign > 0]
    outers.sort(key=lambda pair: pair[0])
    polygons = [[ring] for _, ring in outers]
    for area, ring in zip(areas, rings, strict=True):
        if area * sign < 0:
            polygons[_around(ring, polygons)].append(ring)
    return polygons


def _around(hole: Ring, polygons: list[list[Ring]]) -> int:
    """Return the smallest outer ring that a hole lies in; polygons are sorted by area."""
    from skimage.measure import points_in_poly

    for number, polygon in enumerate(polygons):
        if points_in_poly(hole[:1], polygon[0])[0]:
            return number
    return len(polygons) - 1


def _ring(contour: NDArray[np.float64]) -> Ring:
    """Turn a contour of the padded mask into x, y without points along a straight line."""
    points = contour[:-1, ::-1] - 0.5  # minus the padding, plus half a pixel
    before = points - np.roll(points, 1, axis=0)
    after = np.roll(points, -1, axis=0) - points
    bends = before[:, 0] * after[:, 1] != before[:, 1] * after[:, 0]
    kept = points[bends]
    return np.concatenate([kept, kept[:1]])


def _signed_area(ring: Ring) -> float:
    x, y = ring[:, 0], ring[:, 1]
    return float(np.sum(x[:-1] * y[1:] - x[1:] * y[:-1]) / 2)
