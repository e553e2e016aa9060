"""What fitting a network to each tile is worth, by the weight of the tile's statistics.

    python -m benchmarks.adapting WEIGHTS... --split heldout-all [--flips] [--out shares.json]

Prints the held-out scores of each weight by the honest protocol.
"""

from __future__ import annotations

from benchmarks.scoring import compare
from napari_semimoe.training.adapt import SHARE

if __name__ == "__main__":
    compare(
        __doc__.splitlines()[0],
        {str(share): {"share": share} for share in (0.0, 0.1, SHARE, 0.5, 0.7)},
    )
