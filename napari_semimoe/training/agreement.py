"""Where the experts contradict each other, and how far their agreement can be trusted."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.segmentation import find_boundaries

from napari_semimoe.core.values import IGNORE

#: Distance (share of the largest in a tile) at which the distance expert is sure of its side.
_SURE_DISTANCE = 0.15
#: Thresholds at which coverage and precision are told.
THRESHOLDS = tuple(round(0.05 * step, 2) for step in range(20))


class AgreementCurve:
    """Coverage and precision of the pixels on which the experts agree, over many tiles."""

    def __init__(self) -> None:
        self._passing = np.zeros(len(THRESHOLDS), np.int64)
        self._right = np.zeros(len(THRESHOLDS), np.int64)
        self._pixels = 0

    def add(
        self,
        agreement: NDArray[np.floating],
        found: NDArray[np.bool_],
        truth: NDArray[np.integer],
    ) -> None:
        """Count one tile; all ``(H, W)``, agreement in [0, 1]; `IGNORE` counts nowhere."""
        counted = truth != IGNORE
        values, right = agreement[counted], (found == (truth > 0))[counted]
        for index, threshold in enumerate(THRESHOLDS):
            passing = values >= threshold
            self._passing[index] += np.count_nonzero(passing)
            self._right[index] += np.count_nonzero(passing & right)
        self._pixels += values.size

    def points(self) -> list[list[float | None]]:
        """Return threshold, coverage and precision (shares in [0, 1]; None: nothing passes)."""
        return [
            [threshold, passing / max(self._pixels, 1), right / passing if passing else None]
            for threshold, passing, right in zip(
                THRESHOLDS, self._passing.tolist(), self._right.tolist(), strict=True
            )
        ]


def disagreement(
    experts: Mapping[str, NDArray[np.float32]],
    instances: NDArray[np.integer],
    tolerance_px: int,
) -> NDArray[np.float32]:
    """Measure per pixel how far the experts contradict each other.

    Parameters
    ----------
    experts
        Shown maps ``(H, W)`` by task.
    instances
        ``(H, W)`` ids of the objects that the maps were cut into, 0 background.
    tolerance_px
        An outline and a predicted boundary this near to each other agree.

    Returns
    -------
    ndarray
        ``(H, W)`` float32 in [0, 1], the larger of two contradictions. Segmentation and distance
        put a pixel on opposite sides: the product of how sure each of them is. The boundary
        expert sees a boundary far from any outline, or none along an outline.
    """
    foreground = experts["segmentation"]
    result = np.zeros_like(foreground)
    if "distance" in experts:
        side = np.clip(experts["distance"] / _SURE_DISTANCE, -1, 1)
        result = np.maximum(result, -side * (2 * foreground - 1))
    if "boundary" in experts:
        result = np.maximum(result, _misplaced(experts["boundary"], instances, tolerance_px))
    return np.clip(result, 0, 1).astype(np.float32)


def _misplaced(
    boundary: NDArray[np.float32], instances: NDArray[np.integer], tolerance_px: int
) -> NDArray[np.float32]:
    outline = find_boundaries(instances, mode="outer")
    near_outline = ndimage.maximum_filter(outline, 2 * tolerance_px + 1)
    near_boundary = ndimage.maximum_filter(boundary, 2 * tolerance_px + 1)
    drawn = ndimage.maximum_filter(outline, tolerance_px)  # as wide as a boundary, to be seen
    return np.maximum(boundary * ~near_outline, drawn * (1 - near_boundary))
