"""What averaging over flips, turns and zooms is worth: the same checkpoints, seen in many ways.

    python -m benchmarks.zooms WEIGHTS... --split heldout-all [--out zooms.json]

Prints the held-out scores of each way by the honest protocol.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from benchmarks.glas_data import held_out_tiles
from benchmarks.scoring import parser_for_weights, score
from napari_semimoe.core.settings import PredictSettings
from napari_semimoe.training.predict import FLIPS, PLAIN, load_predictor

_ALL = tuple(range(8))
WAYS: dict[str, Mapping[float, Sequence[int]]] = {
    "one view": PLAIN,
    "eight flips and turns": {1.0: _ALL},
    "eight, 1.28 x coarser": {1.28: _ALL},
    "four each at 1 and 1.28": {1.0: (0, 3, 4, 7), 1.28: (1, 2, 5, 6)},
    "two each at four scales, the default": FLIPS,
}


def main() -> None:
    """Score every checkpoint in every way."""
    options = parser_for_weights(__doc__.splitlines()[0]).parse_args()
    tiles = held_out_tiles(options.data, options.split)
    found: dict[str, dict[str, dict[str, float]]] = {}
    for path in options.weights:
        predictor = load_predictor(
            path, PredictSettings(device=options.device, adapt=options.adapt)
        )
        scores = found.setdefault(path.parent.name, {})
        for way, views in WAYS.items():
            predictor.views = views
            scores[way] = score(predictor, tiles)["honest"]
            print(path.parent.name, way, json.dumps(scores[way]), flush=True)
    if options.out:
        options.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
