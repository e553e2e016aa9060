"""How much of what a checkpoint marks wrongly is empty glass: the slide beside the tissue.

    python -m benchmarks.empty_glass WEIGHTS... --split all-17-1 --role unlabelled --flips

Glass is what is white wherever a disk of 15 um fits into it; so is the inside of many a gland.
Prints the honest Dice and object F1, the share of the false positives that are glass, the Dice
without these, and the share of the glass inside of true glands that is missed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from benchmarks.scoring import compare
from napari_semimoe.core.values import Patch
from napari_semimoe.training.evaluation import evaluate
from napari_semimoe.training.predict import Predictor

#: Smoothed over 2 um, all three colours of glass are brighter.
_WHITE = 205
_DISK_UM = 15.0


def glass_of(image: NDArray[np.uint8], um_per_px: float) -> NDArray[np.bool_]:
    """Return where an ``(H, W, 3)`` image is white in a disk of 15 um."""
    smooth = ndimage.gaussian_filter(image.min(2).astype(float), 2 / um_per_px)
    white, radius = smooth > _WHITE, _DISK_UM / um_per_px
    if white.all():
        return white
    depth = ndimage.distance_transform_edt(np.pad(white, 1, mode="edge"))[1:-1, 1:-1]
    core = depth > radius
    if not core.any():
        return core
    return white & (ndimage.distance_transform_edt(~core) <= radius)


def measure(predictor: Predictor, tiles: Sequence[Patch]) -> dict[str, float]:
    """Return the figures of the module's first lines."""
    pixels, pairs = Counter[str](), []
    for tile in tiles:
        assert tile.labels is not None, "held-out tiles have masks"
        found = predictor.predict(tile.image, tile.um_per_px).instances
        pairs.append((tile.name, found, tile.labels))
        glass = glass_of(tile.image, tile.um_per_px)
        marked, true = found > 0, tile.labels > 0
        for name, where in {
            "hit": marked & true,
            "false": marked & ~true,
            "missed": true & ~marked,
            "false glass": marked & ~true & glass,
            "true glass": true & glass,
            "missed glass": true & ~marked & glass,
        }.items():
            pixels[name] += int(where.sum())
    scores = evaluate(pairs).pooled
    hits, wrong = pixels["hit"], pixels["false"] + pixels["missed"] - pixels["false glass"]
    figures = {
        "dice": scores["dice"],
        "object_f1": scores["object_f1"],
        "false positives that are glass": pixels["false glass"] / max(1, pixels["false"]),
        "dice without these": 2 * hits / max(1, 2 * hits + wrong),
        "glass in glands that is missed": pixels["missed glass"] / max(1, pixels["true glass"]),
    }
    return {name: round(value, 4) for name, value in figures.items()}


if __name__ == "__main__":
    compare(__doc__.splitlines()[0], {"all": {}}, measure=measure)
