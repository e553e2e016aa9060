"""How right pseudo-labels are that a checkpoint would make, by views and by weight.

    python -m benchmarks.pseudo_labels WEIGHTS... --split all-17-0 [--no-adapt] [--out FILE.json]

On the unlabelled tiles of the split, whose masks the network has never seen, at working resolution:
the Dice of the labels, and for each weight of their pixels how much of the weight lies on wrong
ones (``wrong``) and how much there is of it (``weight``, the mean over all pixels).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from benchmarks.scoring import compare
from napari_semimoe.core.values import Patch
from napari_semimoe.data.resample import resample_labels
from napari_semimoe.training.metrics import count_pixels
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
    pairs = [_probabilities(predictor, tile) for tile in tiles]
    foreground, truth = (np.concatenate(each) for each in zip(*pairs, strict=True))
    labels = foreground > 0.5
    numbers = {"dice": round(count_pixels(labels[None], truth[None]).dice, 4)}
    for name, weight in _weights(np.abs(2 * foreground - 1)).items():
        numbers[f"wrong, {name}"] = round(float(weight[labels != truth].sum() / weight.sum()), 4)
        numbers[f"weight, {name}"] = round(float(weight.mean()), 4)
    return numbers


def _probabilities(
    predictor: Predictor, tile: Patch
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return the foreground's probability and the truth of every working pixel of a tile."""
    place = map_slices(predictor.model)["gated", "segmentation"]
    maps = predictor.working_maps(tile.image, tile.um_per_px)[place]
    assert tile.labels is not None, "the masks of unlabelled tiles are known here"
    truth = resample_labels(tile.labels, (maps.shape[1], maps.shape[2])) > 0
    return 1 - maps[0].numpy().ravel(), truth.ravel()


def _weights(confidence: NDArray[np.float32]) -> Mapping[str, NDArray[np.float32]]:
    return {
        "all alike": np.ones_like(confidence),
        "confidence": confidence,
        "confidence squared": confidence**2,
        "confidence above 0.9": (confidence > 0.9).astype(np.float32),
    }


if __name__ == "__main__":
    compare(
        __doc__.splitlines()[0],
        {way: {"views": views} for way, views in VIEWS.items()},
        role="unlabelled",
        measure=measure,
    )
