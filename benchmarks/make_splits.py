"""Make the committed splits: ``python -m benchmarks.make_splits``, with GlaS at hand.

Three draws of a fifth and of a tenth of the labels, and all labels; ``heldout`` splits keep a part
of the training images apart, on which every choice is made, ``all`` splits keep none. ``waiting``
splits are ``heldout`` ones whose kept images are among the unlabelled too: there they wait for a
mask, as the tiles of a project do, and teach without one.

GlaS keeps 17 images of 4 patients apart, 9 benign and 8 malignant. No patients are published for
CRAG, so a random fifth of its images is kept apart; images of one patient may lie on both sides,
and its held-out scores may be too good.
"""

from __future__ import annotations

import json
from collections.abc import Collection

import numpy as np

from benchmarks.glas_data import CRAG, GLAS, patients

HELD_OUT_PATIENTS = ("3", "5", "7", "15")
CRAG_IMAGES, CRAG_HELD_OUT = 173, 35

Splits = dict[str, dict[str, list[str]]]


def main() -> None:
    """Write the splits of both data sets."""
    for dataset, splits in ((GLAS, glas_splits()), (CRAG, crag_splits())):
        dataset.splits.write_text(json.dumps(splits, indent=1) + "\n")


def glas_splits() -> Splits:
    """Return three draws of 17 and of 9 labelled images; needs ``Grade.csv``."""
    patient = patients(GLAS.folder(None))
    held_out = [name for name in patient if patient[name] in HELD_OUT_PATIENTS]
    return splits_of(patient, held_out, (17, 9))


def crag_splits() -> Splits:
    """Return three draws of 35 and of 17 labelled images, by number; needs no data."""
    names = sorted(f"train_{number}" for number in range(1, CRAG_IMAGES + 1))
    held_out = np.random.default_rng(0).permutation(names)[:CRAG_HELD_OUT].tolist()
    splits = splits_of(names, held_out, (35, 17))
    return {f"crag-{split}": roles for split, roles in splits.items()}


def splits_of(names: Collection[str], held_out: Collection[str], counts: tuple[int, ...]) -> Splits:
    """Return the splits of a set of images: so many labelled ones in each draw, and all."""
    everything, validation = sorted(names), sorted(held_out)
    rest = sorted(set(everything) - set(validation))
    splits: Splits = {
        "heldout-all": {"labelled": rest, "unlabelled": [], "validation": validation},
        "all-all": {"labelled": everything, "unlabelled": [], "validation": []},
    }
    for draw in range(3):
        order = np.random.default_rng(draw)
        for kind, pool, apart in (("heldout", rest, validation), ("all", everything, [])):
            shuffled = order.permutation(pool).tolist()
            for count in counts:
                splits[f"{kind}-{count}-{draw}"] = {
                    "labelled": sorted(shuffled[:count]),
                    "unlabelled": sorted(shuffled[count:]),
                    "validation": apart,
                }
        for count in counts:
            known = splits[f"heldout-{count}-{draw}"]
            waiting = sorted([*known["unlabelled"], *validation])
            splits[f"waiting-{count}-{draw}"] = known | {"unlabelled": waiting}
    return splits


if __name__ == "__main__":
    main()
