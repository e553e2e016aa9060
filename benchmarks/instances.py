"""How predicted masks are best cut into objects, on the held-out GlaS images.

    python -m benchmarks.instances WEIGHTS... [--split heldout-17-0] [--flips] [--out FILE.json]

Object scores of no splitting, of seeds of several depths and of several least confidences
(`training.instances`), averaged over the given checkpoints, none of which may have learned from
the masks of these images: those held out, or with ``--role unlabelled`` those of the pool.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

import numpy as np
from numpy.typing import NDArray

from benchmarks.glas_data import held_out_tiles
from benchmarks.scoring import load_plain, parser_for_weights, settings_of
from napari_semimoe.core.settings import PredictSettings
from napari_semimoe.core.values import Patch, Prediction
from napari_semimoe.training.evaluation import evaluate
from napari_semimoe.training.instances import drop_unsure, to_instances

#: Depth of the seeds (None: touching objects stay one), and the least confidence of an object.
WAYS = {
    "no splitting": (None, 0.0),
    "seeds deeper than 0.35": (0.35, 0.0),
    "seeds deeper than 0.2": (0.2, 0.0),
    "seeds deeper than 0.1": (0.1, 0.0),
    "the same, confidence 0.3 of the tile's": (0.1, 0.3),
    "0.4": (0.1, 0.4),
    "0.5": (0.1, 0.5),
    "0.6": (0.1, 0.6),
    "0.7": (0.1, 0.7),
}
SCORES = ("dice", "object_f1", "object_dice", "object_hausdorff_px")


def main() -> None:
    """Score every way with every checkpoint and print the means."""
    options = parser_for_weights(__doc__.splitlines()[0]).parse_args()
    tiles = held_out_tiles(options.data, options.split, options.role)
    settings = settings_of(options)
    found = {p.parent.name: measure(p, settings, tiles) for p in options.weights}
    print("| objects |", " | ".join(SCORES), "|")
    print("|---|---|---|---|---|")
    for way in WAYS:
        means = [fmean(each[way][name] for each in found.values()) for name in SCORES]
        print(f"| {way} |", " | ".join(f"{mean:.3f}" for mean in means), "|")
    if options.out:
        options.out.write_text(json.dumps(found, indent=1) + "\n")


def measure(
    weights: Path, settings: PredictSettings, tiles: Sequence[Patch]
) -> dict[str, dict[str, float]]:
    """Return the scores of each way."""
    predictor = load_plain(weights, settings)
    predicted = [predictor.predict(tile.image, tile.um_per_px) for tile in tiles]
    smallest = [settings.min_object_um2 / tile.um_per_px**2 for tile in tiles]
    cuts = {
        depth: [_cut(*each, depth) for each in zip(predicted, smallest, strict=True)]
        for depth in {depth for depth, _ in WAYS.values()}
    }
    found = {}
    for way, (depth, confidence) in WAYS.items():
        pairs = []
        for tile, maps, objects in zip(tiles, predicted, cuts[depth], strict=True):
            sure = drop_unsure(
                objects,
                maps.gated["segmentation"],
                threshold=settings.threshold,
                min_confidence=confidence,
            )
            pairs.append((tile.name, sure, tile.labels))
        pooled = evaluate(pairs).pooled
        found[way] = {name: round(pooled[name], 4) for name in SCORES}
    print(weights.parent.name, json.dumps(found), flush=True)
    return found


def _cut(found: Prediction, min_object_px: float, depth: float | None) -> NDArray[np.uint16]:
    return to_instances(
        found.gated["segmentation"],
        found.gated["distance"],
        found.gated["boundary"],
        min_object_px=min_object_px,
        split_touching=depth is not None,
        seed_depth=depth or 0.0,
    )


if __name__ == "__main__":
    main()
