"""Scores of a set of images by the honest protocol, and of its parts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_semimoe.core.errors import ShapeError
from napari_semimoe.core.values import IGNORE
from napari_semimoe.training.metrics import PixelCounts, count_pixels
from napari_semimoe.training.object_metrics import ObjectCounts, count_objects


@dataclass(frozen=True, slots=True)
class ImageScores:
    """Scores of one image at native size."""

    name: str
    dice: float
    jaccard: float
    object_f1: float
    object_dice: float
    object_hausdorff_px: float
    predicted_objects: int
    true_objects: int


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Scores of a set of images (docs/method.md section 6, honest protocol).

    Attributes
    ----------
    pooled
        Pixel scores from the pixels of all images together, object scores over the union of all
        objects, as the GlaS challenge defines them.
    mean
        Mean of each score over the images.
    images
        Scores of each image.
    """

    pooled: Mapping[str, float]
    mean: Mapping[str, float]
    images: tuple[ImageScores, ...]

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "pooled": dict(self.pooled),
            "mean": dict(self.mean),
            "images": [asdict(image) for image in self.images],
        }


def evaluate(pairs: Iterable[tuple[str, ArrayLike, ArrayLike]]) -> Evaluation:
    """Score instance masks against the truth at native size.

    Parameters
    ----------
    pairs
        Name, prediction and truth of each image; instance ids, `IGNORE` in the truth left out.

    Raises
    ------
    ShapeError
        If there is no image, or two masks differ in size.
    """
    images, pixels, objects = [], [], []
    for name, prediction, truth in pairs:
        pixels.append(_pixels(name, prediction, truth))
        objects.append(count_objects(prediction, truth))
        images.append(_image_scores(name, pixels[-1], objects[-1]))
    if not images:
        raise ShapeError("An evaluation needs at least one image with a known truth, got none.")
    return Evaluation(
        pooled=_scores(sum(pixels, PixelCounts()), sum(objects, ObjectCounts())),
        mean=_mean([_scores(p, o) for p, o in zip(pixels, objects, strict=True)]),
        images=tuple(images),
    )


def of_class(
    labels: NDArray[np.integer], classes: Mapping[int, int], kind: int
) -> NDArray[np.integer]:
    """Return instance ids without objects of other classes; what is ignored stays so."""
    ids = np.setdiff1d(labels, (0, IGNORE))
    others = [each for each in ids if classes.get(int(each), 1) != kind]
    return np.where(np.isin(labels, others), 0, labels) if others else labels


def _pixels(name: str, prediction: ArrayLike, truth: ArrayLike) -> PixelCounts:
    try:
        return count_pixels(prediction, truth)
    except ShapeError as error:
        raise ShapeError(f"{name}: {error}") from error


def _scores(pixels: PixelCounts, objects: ObjectCounts) -> dict[str, float]:
    return {
        "dice": pixels.dice,
        "jaccard": pixels.jaccard,
        "object_f1": objects.f1,
        "object_dice": objects.dice,
        "object_hausdorff_px": objects.hausdorff,
    }


def _mean(rows: list[dict[str, float]]) -> dict[str, float]:
    return {name: fmean(row[name] for row in rows) for name in rows[0]}


def _image_scores(name: str, pixels: PixelCounts, objects: ObjectCounts) -> ImageScores:
    return ImageScores(
        name=name,
        **_scores(pixels, objects),
        predicted_objects=objects.found + objects.wrong,
        true_objects=objects.found + objects.missed,
    )
