"""Scores on the tiles that taught without their masks: other images of the patients that taught.

    python -m benchmarks.same_patients WEIGHTS... --split all-17-0 [--out FILE.json]

More tiles than the held-out patients have, and nearer to the official test images: GlaS is of 16
patients, 15 of whom are in its training part. The network has seen the pixels of these tiles, never
their masks.
Prints the scores by the honest protocol, fitted to each tile and not.
"""

from __future__ import annotations

from benchmarks.scoring import compare
from napari_semimoe.training.adapt import SHARE

if __name__ == "__main__":
    compare(
        __doc__.splitlines()[0],
        {"not fitted": {"share": 0.0}, "fitted": {"share": SHARE}},
        role="unlabelled",
    )
