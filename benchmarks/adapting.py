"""What fitting a network to each tile is worth, by the weight of the tile's statistics.

    python -m benchmarks.adapting WEIGHTS... --split heldout-all [--flips] [--out adapting.json]

Prints the held-out scores of each weight by the honest protocol.
"""

from __future__ import annotations

import json

from benchmarks.glas_data import held_out_tiles
from benchmarks.scoring import parser_for_weights, score
from napari_semimoe.core.settings import PredictSettings
from napari_semimoe.training.adapt import SHARE
from napari_semimoe.training.predict import load_predictor

SHARES = (0.0, 0.1, SHARE, 0.5, 0.7)


def main() -> None:
    """Score every checkpoint with every weight."""
    options = parser_for_weights(__doc__.splitlines()[0]).parse_args()
    tiles = held_out_tiles(options.data, options.split)
    found: dict[str, dict[str, dict[str, float]]] = {}
    for path in options.weights:
        settings = PredictSettings(device=options.device, flips=options.flips)
        predictor = load_predictor(path, settings)
        scores = found.setdefault(path.parent.name, {})
        for share in SHARES:
            predictor.share = share
            scores[str(share)] = score(predictor, tiles)["honest"]
            print(path.parent.name, share, json.dumps(scores[str(share)]), flush=True)
    if options.out:
        options.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
