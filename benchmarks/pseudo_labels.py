"""How right pseudo-labels are that a checkpoint would make, by views and by weight.

    python -m benchmarks.pseudo_labels WEIGHTS... --split all-17-0 [--no-adapt] [--out FILE.json]

On the unlabelled tiles of the split, whose masks the network has never seen, at working resolution:
the Dice of the labels, and for each weight of their pixels how much of the weight lies on wrong
ones (``wrong``) and how much there is of it (``weight``, the mean over all pixels).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from benchmarks.scoring import compare
from napari_semimoe.core.values import Patch
from napari_semimoe.data.resample import resample_labels
from napari_semimoe.training.metrics import PixelCounts, count_pixels
from napari_semimoe.training.predict import Predictor
from napari_semimoe.training.views import PLAIN, Views, first_views, map_slices

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
    wrong, whole = Counter[str](), Counter[str]()
    for tile in tiles:
        foreground, agreed, truth = _answers(predictor, tile)
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
    return numbers


def _answers(
    predictor: Predictor, tile: Patch
) -> tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.bool_]]:
    """Return a tile's foreground probability, where its experts agree with that, and the truth.

    All are ``(h, w)`` at working resolution.
    """
    places = map_slices(predictor.model)
    maps = predictor.working_maps(tile.image, tile.um_per_px).numpy()
    foreground = 1 - maps[places["gated", "segmentation"]][0]
    marked = foreground > 0.5
    agreed = (maps[places["experts", "segmentation"]][0] < 0.5) == marked
    agreed &= (maps[places["experts", "distance"]][0] > 0) == marked
    assert tile.labels is not None, "the masks of unlabelled tiles are known here"
    return foreground, agreed, resample_labels(tile.labels, foreground.shape) > 0


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
