"""Pixel scores: Dice and Jaccard, pooled over all pixels or of one image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from skimage.transform import resize

from napari_semimoe.core.errors import ShapeError
from napari_semimoe.core.values import IGNORE

#: Side of the square that the reference protocol squashes every image to.
REFERENCE_SIDE_PX = 256
#: Thresholds that the reference protocol tries: 0, 0.02 .. 0.88.
REFERENCE_THRESHOLDS = tuple(round(0.02 * step, 2) for step in range(45))


@dataclass(frozen=True, slots=True)
class PixelCounts:
    """Agreement of two foregrounds, in pixels. Counts of several images add up.

    Attributes
    ----------
    both
        Pixels that are foreground in the prediction and in the truth.
    predicted, true
        Pixels that are foreground in the prediction, and in the truth.
    """

    both: int = 0
    predicted: int = 0
    true: int = 0

    def __add__(self, other: PixelCounts) -> PixelCounts:
        return PixelCounts(
            self.both + other.both, self.predicted + other.predicted, self.true + other.true
        )

    @property
    def dice(self) -> float:
        """Dice coefficient in [0, 1]; 1 where neither has any foreground."""
        total = self.predicted + self.true
        return 2 * self.both / total if total else 1.0

    @property
    def jaccard(self) -> float:
        """Jaccard index in [0, 1]; 1 where neither has any foreground."""
        union = self.predicted + self.true - self.both
        return self.both / union if union else 1.0


@dataclass(frozen=True, slots=True)
class ReferenceScores:
    """Scores of the released evaluation protocol. They are optimistic by construction.

    The threshold was chosen on the very images that are scored.
    """

    dice: float
    jaccard: float
    threshold: float
    images: int
    optimistic: bool = True


def count_pixels(prediction: ArrayLike, truth: ArrayLike) -> PixelCounts:
    """Count the agreement of one image.

    Parameters
    ----------
    prediction
        ``(H, W)`` bool or instance ids; everything above 0 is foreground.
    truth
        The same; pixels that hold `IGNORE` are left out of every count.

    Raises
    ------
    ShapeError
        If the two differ in size or are not two-dimensional.
    """
    prediction, truth = checked_pair(prediction, truth)
    counted = truth != IGNORE
    predicted = (prediction > 0) & counted
    true = (truth > 0) & counted
    return PixelCounts(
        both=int(np.count_nonzero(predicted & true)),
        predicted=int(np.count_nonzero(predicted)),
        true=int(np.count_nonzero(true)),
    )


def checked_pair(prediction: ArrayLike, truth: ArrayLike) -> tuple[NDArray, NDArray]:
    """Return both as two-dimensional arrays of one size, or refuse in words."""
    prediction, truth = np.asarray(prediction), np.asarray(truth)
    if prediction.ndim != 2 or prediction.shape != truth.shape:
        raise ShapeError(
            "A prediction and its truth must be two-dimensional and of one size, got "
            f"{prediction.shape} and {truth.shape}. Export both at the image's own resolution."
        )
    return prediction, truth


def reference_scores(
    probabilities: Sequence[NDArray[np.floating]], truths: Sequence[ArrayLike]
) -> ReferenceScores:
    """Score as the method's released evaluation does (docs/method.md section 6).

    Every image is squashed to 256 x 256 (masks by nearest neighbour), pixels are pooled over all
    images, and the threshold with the highest Dice among 0, 0.02 .. 0.88 is taken.
    Differs: the probability map is squashed, not the image before the network.

    Parameters
    ----------
    probabilities
        Foreground probabilities in [0, 1], ``(H, W)`` each.
    truths
        Instance ids or bool, same sizes; `IGNORE` pixels are left out.
    """
    values, labels = [], []
    for probability, truth in zip(probabilities, truths, strict=True):
        probability, truth = checked_pair(probability, truth)
        small = _squash_nearest(truth)
        counted = small != IGNORE
        values.append(_squash_smooth(probability)[counted])
        labels.append(small[counted] > 0)
    if not values:
        raise ShapeError("The reference protocol needs at least one image, got none.")
    return _best_threshold(np.concatenate(values), np.concatenate(labels), len(values))


def _best_threshold(
    values: NDArray[np.floating], labels: NDArray[np.bool_], images: int
) -> ReferenceScores:
    """Return the scores at the threshold with the highest Dice; the lowest one of equals."""
    true = int(np.count_nonzero(labels))
    inside, every = np.sort(values[labels]), np.sort(values)
    best = ReferenceScores(-1.0, -1.0, 0.0, images)
    for threshold in REFERENCE_THRESHOLDS:
        both = inside.size - int(np.searchsorted(inside, threshold, side="right"))
        predicted = every.size - int(np.searchsorted(every, threshold, side="right"))
        counts = PixelCounts(both, predicted, true)
        if counts.dice > best.dice:
            best = ReferenceScores(counts.dice, counts.jaccard, threshold, images)
    return best


def _squash_nearest(labels: NDArray) -> NDArray:
    side = REFERENCE_SIDE_PX
    rows = np.minimum((np.arange(side) + 0.5) * labels.shape[0] / side, labels.shape[0] - 1)
    columns = np.minimum((np.arange(side) + 0.5) * labels.shape[1] / side, labels.shape[1] - 1)
    return labels[np.ix_(rows.astype(int), columns.astype(int))]


def _squash_smooth(probability: NDArray[np.floating]) -> NDArray[np.float32]:
    side = REFERENCE_SIDE_PX
    # float64 in: skimage works in the input's precision and sums in float32 would drift
    squashed = resize(probability.astype(np.float64), (side, side), order=1, anti_aliasing=False)
    return squashed.astype(np.float32)
