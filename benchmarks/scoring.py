"""Scores of a network on held-out tiles, by both protocols of docs/method.md section 6.

*Honest*: native size, threshold 0.5. *Reference*: squashed to 256 x 256, pixels of all tiles
together, and the best of 45 thresholds, chosen on the very tiles that are scored. That is
optimistic; it is kept only because published tables use it. Differs: the last step is scored, not
the best epoch, and the probabilities are squashed, not the image before the network.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.glas_data import held_out_tiles
from napari_semimoe.core.settings import PredictSettings
from napari_semimoe.core.values import Patch
from napari_semimoe.training.evaluation import evaluate
from napari_semimoe.training.metrics import reference_scores
from napari_semimoe.training.predict import FLIPS, Predictor, load_predictor
from napari_semimoe.training.views import PLAIN

Scores = dict[str, dict[str, float]]


def parser_for_weights(description: str, role: str = "validation") -> argparse.ArgumentParser:
    """Return the command line of a benchmark that measures checkpoints on held-out tiles."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("weights", type=Path, nargs="+")
    parser.add_argument("--split", default="heldout-17-0")
    parser.add_argument(
        "--role", choices=("validation", "unlabelled"), default=role, help="tiles of the split"
    )
    parser.add_argument("--data", type=Path)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--flips", action="store_true")
    parser.add_argument("--no-adapt", dest="adapt", action="store_false")
    parser.add_argument("--out", type=Path, help="a JSON file for the figures")
    return parser


def settings_of(options: argparse.Namespace) -> PredictSettings:
    """Return how the command line of `parser_for_weights` asks to predict."""
    return PredictSettings(device=options.device, flips=options.flips, adapt=options.adapt)


def load_plain(weights: Path, settings: PredictSettings) -> Predictor:
    """Load a checkpoint to be compared with all others: it sees a tile once, unless ``flips``."""
    predictor = load_predictor(weights, settings)
    predictor.views = FLIPS if settings.flips else PLAIN
    return predictor


def score_weights(weights: Path, settings: PredictSettings, tiles: Sequence[Patch]) -> Scores:
    """Return what `score` does, and the same with ``_flips`` and with ``_unadapted``.

    Parameters
    ----------
    weights
        A checkpoint.
    settings
        How to predict: without flips, with flips, and without flips not fitted to each tile. All
        objects count.
    tiles
        Held-out tiles with masks. Without any, each is empty.
    """
    plain = settings.changed(flips=False, min_confidence=0.0)
    ways = {
        "": plain,
        "_flips": plain.changed(flips=True),
        "_unadapted": plain.changed(adapt=False),
    }
    return {
        kind + way: values
        for way, how in ways.items()
        for kind, values in score(load_plain(weights, how), tiles).items()
    }


def honest(predictor: Predictor, tiles: Sequence[Patch]) -> dict[str, float]:
    """Return the scores of the honest protocol."""
    return score(predictor, tiles)["honest"]


def compare(
    description: str,
    ways: Mapping[str, Mapping[str, Any]],
    *,
    role: str = "validation",
    measure: Callable[[Predictor, Sequence[Patch]], dict[str, float]] = honest,
) -> None:
    """Print what is measured of each checkpoint in each way: attributes of `Predictor` to set."""
    parser = parser_for_weights(description, role)
    parser.add_argument("--min-confidence", type=float, default=0.0, help="0: all objects")
    options = parser.parse_args()
    settings = settings_of(options).changed(min_confidence=options.min_confidence)
    tiles = held_out_tiles(options.data, options.split, options.role)
    found: dict[str, dict[str, dict[str, float]]] = {}
    for path in options.weights:
        predictor = load_plain(path, settings)
        scores = found.setdefault(path.parent.name, {})
        for way, attributes in ways.items():
            for name, value in attributes.items():
                setattr(predictor, name, value)
            scores[way] = measure(predictor, tiles)
            print(path.parent.name, way, json.dumps(scores[way]), flush=True)
    if options.out:
        options.out.write_text(json.dumps(found, indent=1) + "\n")


def score(predictor: Predictor, tiles: Sequence[Patch]) -> Scores:
    """Return ``honest`` (pooled scores), its ``tile_dice`` by name, and ``reference``."""
    if not tiles:
        return {"honest": {}, "tile_dice": {}, "reference": {}}
    pairs, probabilities, truths = [], [], []
    for tile in tiles:
        seen = predictor.predict(tile.image, tile.um_per_px)
        assert tile.labels is not None, "held-out tiles have masks"
        pairs.append((tile.name, seen.instances, tile.labels))
        probabilities.append(seen.gated["segmentation"])
        truths.append(tile.labels)
    best = reference_scores(probabilities, truths)
    reference = {"dice": best.dice, "jaccard": best.jaccard, "threshold": best.threshold}
    found = evaluate(pairs)
    return {
        "honest": _rounded(found.pooled),
        "tile_dice": _rounded({image.name: image.dice for image in found.images}),
        "reference": _rounded(reference),
    }


def _rounded(values: Mapping[str, float]) -> dict[str, float]:
    return {key: round(value, 5) for key, value in values.items()}
