"""Object scores as the GlaS challenge defines them: F1, object Dice, object Hausdorff.

Source: K. Sirinukunwattana et al., Gland segmentation in colon histology images: the GlaS
challenge contest, Medical Image Analysis 35 (2017), section 4.
"""

from __future__ import annotations

import math
from dataclasses import astuple, dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import distance_transform_edt, find_objects
from scipy.spatial import cKDTree

from napari_semimoe.core.values import IGNORE
from napari_semimoe.training.metrics import checked_pair

#: A predicted object counts as found if it covers at least this share of its true object.
COVERED = 0.5

Slices = tuple[slice, slice]


@dataclass(frozen=True, slots=True)
class ObjectCounts:
    """What the objects of one image, or of several together, add to the scores.

    Sums are weighted by object area, so that counts of several images simply add up to the
    challenge's scores over the union of all their objects.

    Attributes
    ----------
    found
        Predicted objects that cover half of the true object they overlap most.
    wrong
        Predicted objects that do not.
    missed
        True objects that no predicted object found.
    predicted_area, true_area
        Pixels in objects.
    predicted_dice, true_dice
        Sum of area times Dice, of each predicted object with its best true object and back.
    predicted_hausdorff, true_hausdorff
        Sum of area times Hausdorff distance (pixels), likewise.
    """

    found: int = 0
    wrong: int = 0
    missed: int = 0
    predicted_area: float = 0.0
    true_area: float = 0.0
    predicted_dice: float = 0.0
    true_dice: float = 0.0
    predicted_hausdorff: float = 0.0
    true_hausdorff: float = 0.0

    def __add__(self, other: ObjectCounts) -> ObjectCounts:
        return ObjectCounts(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall in [0, 1]; 1 where both sides are empty."""
        return _ratio(2 * self.found, 2 * self.found + self.wrong + self.missed, 1.0)

    @property
    def dice(self) -> float:
        """Object Dice in [0, 1]: both directions, each weighted by area, averaged."""
        if self.predicted_area == self.true_area == 0:
            return 1.0
        forth = _ratio(self.predicted_dice, self.predicted_area, 0.0)
        return (forth + _ratio(self.true_dice, self.true_area, 0.0)) / 2

    @property
    def hausdorff(self) -> float:
        """Object Hausdorff distance in pixels, 0 is best: both directions averaged.

        A direction without a single object (all was missed, or all was invented) takes the
        value of the other one, which is then the image's diagonal.
        """
        forth = _ratio(self.predicted_hausdorff, self.predicted_area, math.nan)
        back = _ratio(self.true_hausdorff, self.true_area, math.nan)
        known = [value for value in (forth, back) if not math.isnan(value)]
        return sum(known) / len(known) if known else 0.0


def count_objects(prediction: ArrayLike, truth: ArrayLike) -> ObjectCounts:
    """Compare the objects of one image.

    Parameters
    ----------
    prediction, truth
        ``(H, W)`` instance ids, 0 background. Pixels where the truth is `IGNORE` are background
        on both sides.

    Notes
    -----
    Differs: the challenge leaves the Hausdorff distance open where one side has no object at
    all; it is the image's diagonal here, so one such image cannot make the mean infinite.
    """
    prediction, truth = checked_pair(prediction, truth)
    counted = truth != IGNORE
    return _Comparison(_Objects(np.where(counted, prediction, 0)), _Objects(truth * counted)).counts


def hausdorff(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    """Return the Hausdorff distance in pixels between two sets of pixels, neither empty."""
    if not (a & b).any():  # may lie far apart in a large, empty window
        pixels_a, pixels_b = np.argwhere(a), np.argwhere(b)
        from_a = cKDTree(pixels_a).query(pixels_b)[0].max()
        return float(max(from_a, cKDTree(pixels_b).query(pixels_a)[0].max()))
    from_a = distance_transform_edt(~a)[b].max()
    return float(max(from_a, distance_transform_edt(~b)[a].max()))


def _ratio(part: float, whole: float, otherwise: float) -> float:
    return part / whole if whole else otherwise


class _Objects:
    """The objects of one mask, numbered 1..n without gaps."""

    def __init__(self, labels: NDArray) -> None:
        ids = np.unique(labels)
        ids = ids[ids != 0]
        self.labels = np.where(labels == 0, 0, np.searchsorted(ids, labels) + 1).astype(np.int32)
        self.n = len(ids)
        self.areas = np.bincount(self.labels.ravel(), minlength=self.n + 1)[1:]
        self.slices: list[Slices] = find_objects(self.labels, self.n)

    @cached_property
    def edges(self) -> NDArray[np.int_]:
        """First and one-past-last row and column of each object: ``(n, 4)``."""
        rows = [(y.start, y.stop, x.start, x.stop) for y, x in self.slices]
        return np.array(rows, dtype=np.int_).reshape(-1, 4)


def _best_partners(
    own: NDArray[np.int64], other: NDArray[np.int64], overlaps: NDArray[np.int64], count: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return of each object the partner it overlaps most, the first of equals, and the pixels.

    An object that overlaps none has the partner 0 and no pixel.
    """
    partners, pixels = np.zeros(count, np.int64), np.zeros(count, np.int64)
    order = np.lexsort((other, -overlaps, own))
    objects, first = np.unique(own[order], return_index=True)
    partners[objects], pixels[objects] = other[order][first], overlaps[order][first]
    return partners, pixels


class _Comparison:
    """Two masks side by side."""

    def __init__(self, predicted: _Objects, true: _Objects) -> None:
        self.predicted, self.true = predicted, true
        inside = (predicted.labels > 0) & (true.labels > 0)
        codes = (predicted.labels[inside] - 1).astype(np.int64) * true.n + true.labels[inside] - 1
        pairs, overlaps = np.unique(codes, return_counts=True)
        rows, columns = np.divmod(pairs, max(1, true.n))
        self.forth = _best_partners(rows, columns, overlaps, predicted.n)
        self.back = _best_partners(columns, rows, overlaps, true.n)
        self.diagonal = math.hypot(*predicted.labels.shape)
        self._distances: dict[tuple[int, int], float] = {}

    @property
    def counts(self) -> ObjectCounts:
        """Everything that the scores are made of."""
        forth, back = self._directed(forth=True), self._directed(forth=False)
        found = self._found()
        return ObjectCounts(
            found=found,
            wrong=self.predicted.n - found,
            missed=self.true.n - found,
            predicted_area=float(self.predicted.areas.sum()),
            true_area=float(self.true.areas.sum()),
            predicted_dice=forth[0],
            true_dice=back[0],
            predicted_hausdorff=forth[1],
            true_hausdorff=back[1],
        )

    def _found(self) -> int:
        """Return how many true objects were found; two exact halves find one object once."""
        best, overlap = self.forth
        some = overlap > 0
        best, overlap = best[some], overlap[some]
        return len(np.unique(best[overlap >= COVERED * self.true.areas[best]]))

    def _directed(self, *, forth: bool) -> tuple[float, float]:
        """Sum area x Dice and area x Hausdorff of each object with its best partner."""
        partners, overlaps = self.forth if forth else self.back
        own, other = (self.predicted, self.true) if forth else (self.true, self.predicted)
        dice = distance = 0.0
        for index, area in enumerate(own.areas):
            if other.n == 0:
                distance += area * self.diagonal
                continue
            partner, overlap = int(partners[index]), int(overlaps[index])
            dice += area * 2 * overlap / (area + other.areas[partner])
            if overlap:
                distance += area * self._distance(index, partner, forth=forth)
            else:
                distance += area * self._nearest(index, forth=forth)
        return float(dice), float(distance)

    def _nearest(self, index: int, *, forth: bool) -> float:
        """Return the smallest Hausdorff distance to any object of the other side.

        Two sets whose bounding boxes differ by d on one side are at least d apart, which spares
        nearly all the exact distances.
        """
        own, other = (self.predicted, self.true) if forth else (self.true, self.predicted)
        bounds = np.abs(other.edges - own.edges[index]).max(axis=1)
        best = math.inf
        for candidate in np.argsort(bounds):
            if bounds[candidate] >= best:
                break
            best = min(best, self._distance(index, int(candidate), forth=forth))
        return best

    def _distance(self, own: int, other: int, *, forth: bool) -> float:
        pair = (own, other) if forth else (other, own)
        if pair not in self._distances:
            self._distances[pair] = self._exact_distance(*pair)
        return self._distances[pair]

    def _exact_distance(self, predicted: int, true: int) -> float:
        a, b = self.predicted.edges[predicted], self.true.edges[true]
        window = (
            slice(min(a[0], b[0]), max(a[1], b[1])),
            slice(min(a[2], b[2]), max(a[3], b[3])),
        )
        return hausdorff(
            self.predicted.labels[window] == predicted + 1, self.true.labels[window] == true + 1
        )
