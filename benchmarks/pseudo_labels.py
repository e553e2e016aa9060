"""How right pseudo-labels are that a checkpoint would make, by views and by weight.

    python -m benchmarks.pseudo_labels WEIGHTS... --split all-17-0 [--no-adapt] [--out FILE.json]

On the unlabelled tiles of the split, whose masks the network has never seen, at working resolution:
the Dice of the labels, for each weight of their pixels how much of the weight lies on wrong
ones (``wrong``) and how much there is of it (``weight``, the mean over all pixels), and the mean
squared error of the distance that crops would teach: as the gated head says it, that stretched to
-1 and 1, and as it is measured in the objects that the heads mark together.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from benchmarks.scoring import compare
from napari_semimoe.core.settings import RoundSettings
from napari_semimoe.core.values import Patch
from napari_semimoe.data.resample import resample_labels
from napari_semimoe.data.targets import signed_distance
from napari_semimoe.training.instances import to_instances
from napari_semimoe.training.metrics import PixelCounts, count_pixels
from napari_semimoe.training.predict import Predictor
from napari_semimoe.training.views import PLAIN, Views, first_views, map_slices

Map = NDArray[np.float32]
Distances = tuple[Map, Map, Map]

#: Side of the crops in which distances are compared, in pixels at working resolution.
CROP_PX = 144

VIEWS: dict[str, Views] = {
    "one view": PLAIN,
    "four flips and turns": {1.0: range(4)},
    "eight flips and turns": {1.0: range(8)},
    "four, one at each scale": first_views(4),
    "eight, two at each scale": first_views(8),
}


def measure(predictor: Predictor, tiles: Sequence[Patch]) -> dict[str, float]:
    """Return the Dice of the labels, and the wrong share and the mean of each weight."""
    counts, pixels = PixelCounts(), 0
    wrong, whole, errors = Counter[str](), Counter[str](), defaultdict[str, list[float]](list)
    for tile in tiles:
        foreground, agreed, truth, distances = _answers(predictor, tile)
        for name, error in _distance_errors(*distances):
            errors[name].append(error)
        counts += count_pixels(foreground > 0.5, truth)
        pixels += truth.size
        missed = (foreground > 0.5) != truth
        for name, weight in _weights(foreground, agreed).items():
            wrong[name] += float(weight[missed].sum())
            whole[name] += float(weight.sum())
    numbers = {"dice": round(counts.dice, 4)}
    for name, weight in whole.items():
        numbers[f"wrong, {name}"] = round(wrong[name] / weight, 4)
        numbers[f"weight, {name}"] = round(weight / pixels, 4)
    return numbers | {f"distance, {name}": round(fmean(each), 4) for name, each in errors.items()}


def _answers(
    predictor: Predictor, tile: Patch
) -> tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.bool_], Distances]:
    """Return a tile's foreground probability, where its experts agree with that, and the truth.

    All are ``(h, w)`` at working resolution. The distances are those that the gated head says,
    that of the objects, and the true one.
    """
    places = map_slices(predictor.model)
    maps = predictor.working_maps(tile.image, tile.um_per_px).numpy()
    foreground = 1 - maps[places["gated", "segmentation"]][0]
    marked = foreground > 0.5
    agreed = (maps[places["experts", "segmentation"]][0] < 0.5) == marked
    agreed &= (maps[places["experts", "distance"]][0] > 0) == marked
    assert tile.labels is not None, "the masks of unlabelled tiles are known here"
    truth = resample_labels(tile.labels, foreground.shape)
    said = maps[places["gated", "distance"]][0]
    objects = to_instances(
        foreground,
        said,
        maps[places["gated", "boundary"]][1],
        min_object_px=RoundSettings().min_object_um2 / predictor.model.settings.um_per_px**2,
    )
    distances = said, signed_distance(objects), signed_distance(truth)
    return foreground, agreed, truth > 0, distances


def _distance_errors(said: Map, of_objects: Map, true: Map) -> Iterator[tuple[str, float]]:
    """Yield the mean squared error of each way to teach the distance, crop by crop."""
    for top in range(0, true.shape[0] - CROP_PX + 1, CROP_PX):
        for left in range(0, true.shape[1] - CROP_PX + 1, CROP_PX):
            crop = np.s_[top : top + CROP_PX, left : left + CROP_PX]
            truth = _stretched(true[crop], 1)
            ways = {
                "as said": said[crop],
                "stretched": _stretched(said[crop], 0.1),
                "of the objects": _stretched(of_objects[crop], 1),
            }
            for name, taught in ways.items():
                yield name, float(((taught - truth) ** 2).mean())


def _stretched(distance: Map, floor: float) -> Map:
    """Divide each sign by its maximum in the crop, or by ``floor`` if that is more."""
    return distance / np.where(
        distance > 0, max(distance.max(), floor), max(-distance.min(), floor)
    )


def _weights(
    foreground: NDArray[np.float32], agreed: NDArray[np.bool_]
) -> Mapping[str, NDArray[np.float32]]:
    confidence = np.abs(2 * foreground - 1)
    squared = confidence**2
    sure = _parts_with_a_core(foreground > 0.5, confidence > 0.9)
    sure &= _parts_with_a_core(foreground <= 0.5, confidence > 0.9)
    return {
        "all alike": np.ones_like(confidence),
        "confidence": confidence,
        "confidence squared": squared,
        "confidence above 0.9": (confidence > 0.9).astype(np.float32),
        "squared, where experts agree": squared * agreed,
        "squared, objects and holes with a core": squared * sure,
    }


def _parts_with_a_core(part: NDArray[np.bool_], core: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the connected parts that hold a pixel of ``core``, and all that is in no part.

    The others are what another threshold would make vanish: their topology is in doubt.
    """
    numbers, count = ndimage.label(part)
    kept = np.ones(count + 1, bool)
    kept[1:] = ndimage.maximum(core, numbers, np.arange(1, count + 1)) if count else True
    return kept[numbers]


if __name__ == "__main__":
    compare(
        __doc__.splitlines()[0],
        {way: {"views": views} for way, views in VIEWS.items()},
        role="unlabelled",
        measure=measure,
    )
