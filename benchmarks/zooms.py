"""What averaging over flips, turns and zooms is worth: the same checkpoints, seen in many ways.

    python -m benchmarks.zooms WEIGHTS... --split heldout-all [--out zooms.json]

Prints the held-out scores of each way by the honest protocol; with ``--role unlabelled`` of the
tiles that taught without their masks.
"""

from __future__ import annotations

from benchmarks.scoring import compare
from napari_semimoe.training.predict import FLIPS
from napari_semimoe.training.views import PLAIN, TWICE, Views

_ALL = tuple(range(8))
WAYS: dict[str, Views] = {
    "one view": PLAIN,
    "two, one 1.28 x coarser, the default": TWICE,
    "two, one 1.6 x coarser": {1.0: (0,), 1.6: (1,)},
    "three at 1, 1.28 and 1.6": {1.0: (0,), 1.28: (1,), 1.6: (0,)},
    "eight flips and turns": {1.0: _ALL},
    "eight, 1.28 x coarser": {1.28: _ALL},
    "four each at 1 and 1.28": {1.0: (0, 3, 4, 7), 1.28: (1, 2, 5, 6)},
    "two each at four scales, flips": FLIPS,
}


if __name__ == "__main__":
    compare(__doc__.splitlines()[0], {way: {"views": views} for way, views in WAYS.items()})
