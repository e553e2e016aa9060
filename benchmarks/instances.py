"""How predicted masks are best cut into objects, on the held-out GlaS images.

    python -m benchmarks.instances WEIGHTS... [--split heldout-17-0] [--flips] [--out FILE.json]

Object scores of no splitting and of seeds of several depths (`training.instances`), averaged over
the given checkpoints, none of which may have learned from the held-out images.
"""

from __future__ import annotations

import json
from pathlib import Path
from statistics import fmean

from benchmarks.glas_data import load_source
from benchmarks.scoring import parser_for_weights
from napari_semimoe.core.settings import PredictSettings
from napari_semimoe.core.values import Prediction
from napari_semimoe.training.evaluation import evaluate
from napari_semimoe.training.instances import to_instances
from napari_semimoe.training.predict import load_predictor
from napari_semimoe.training.source import MemorySource

#: None: touching objects stay one.
DEPTHS = (None, 0.35, 0.2, 0.1)
SCORES = ("object_f1", "object_dice", "object_hausdorff_px")


def main() -> None:
    """Score every depth with every checkpoint and print the means."""
    options = parser_for_weights(__doc__.splitlines()[0]).parse_args()
    source = load_source(options.data, options.split)
    settings = PredictSettings(device=options.device, flips=options.flips, adapt=options.adapt)
    found = {p.parent.name: measure(p, settings, source) for p in options.weights}
    print("| seeds deeper than |", " | ".join(SCORES), "|")
    print("|---|---|---|---|")
    for depth in DEPTHS:
        means = [fmean(each[str(depth)][name] for each in found.values()) for name in SCORES]
        print(f"| {depth or 'no splitting'} |", " | ".join(f"{mean:.3f}" for mean in means), "|")
    if options.out:
        options.out.write_text(json.dumps(found, indent=1) + "\n")


def measure(
    weights: Path, settings: PredictSettings, source: MemorySource
) -> dict[str, dict[str, float]]:
    """Return the object scores of each depth."""
    predictor = load_predictor(weights, settings)
    patches = {name: source.read(name) for name in source.validation}
    predicted = {n: predictor.predict(p.image, p.um_per_px) for n, p in patches.items()}
    smallest = {n: settings.min_object_um2 / p.um_per_px**2 for n, p in patches.items()}
    found = {}
    for depth in DEPTHS:
        pairs = [(n, _cut(predicted[n], smallest[n], depth), p.labels) for n, p in patches.items()]
        pooled = evaluate(pairs).pooled
        found[str(depth)] = {name: round(pooled[name], 4) for name in SCORES}
    print(weights.parent.name, json.dumps(found), flush=True)
    return found


def _cut(found: Prediction, min_object_px: float, depth: float | None) -> object:
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
