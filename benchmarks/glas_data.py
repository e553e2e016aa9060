"""GlaS on disk: tiles, masks, patients, and the committed splits.

The folder is given by ``--data`` or the environment variable ``SEMIMOE_DATA``: it holds
``train/`` with ``train_N.png`` (or bmp, jpg), ``train_N_anno.png`` and ``Grade.csv``, and for
predicting ``test_images/``. Nothing of it is part of this project.
"""

from __future__ import annotations

import csv
import json
import os
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from napari_semimoe.core.values import Patch
from napari_semimoe.training.source import MemorySource

UM_PER_PX = 0.62
SPLITS = Path(__file__).parent / "splits" / "glas.json"
#: 17 images of 4 patients, 9 benign and 8 malignant: every choice is made on these.
HELD_OUT_PATIENTS = ("3", "5", "7", "15")


def data_folder(given: Path | None) -> Path:
    """Return the folder that holds ``train/``, or stop with a sentence."""
    root = given or Path(os.environ.get("SEMIMOE_DATA", ""))
    for folder in (root, root / "glas"):
        if (folder / "train" / "Grade.csv").is_file():
            return folder
    sys.exit("GlaS was not found. Set SEMIMOE_DATA or --data to a folder that holds 'train/'.")


def patients(folder: Path) -> dict[str, str]:
    """Return the patient of each training image."""
    with (folder / "train" / "Grade.csv").open(newline="") as file:
        rows = [row for row in csv.reader(file) if row and row[0].startswith("train_")]
    return {row[0].strip(): row[1].strip() for row in rows}


def read_patch(folder: Path, name: str) -> Patch:
    """Read one training image with its instance mask."""
    image = _open(folder / "train", name)
    labels = np.asarray(Image.open(_find(folder / "train", f"{name}_anno"))).astype(np.uint16)
    return Patch(image, labels, UM_PER_PX, name)


def test_images(folder: Path) -> list[tuple[str, np.ndarray]]:
    """Return the official test images by name; they have no masks."""
    names = sorted({path.stem for path in (folder / "test_images").iterdir()})
    return [(name, _open(folder / "test_images", name)) for name in names]


def load_source(folder: Path, split: str) -> MemorySource:
    """Return the tiles of a committed split, such as ``heldout-17-0`` or ``all-17-0``."""
    roles = json.loads(SPLITS.read_text())[split]
    names = [name for role in ("labelled", "unlabelled", "validation") for name in roles[role]]
    patches = {name: read_patch(folder, name) for name in names}
    for name in roles["unlabelled"]:
        patches[name] = replace(patches[name], labels=None)
    return MemorySource(patches, **roles)


def held_out_tiles(folder: Path, split: str) -> list[Patch]:
    """Return only those tiles of a committed split that never teach."""
    return [
        read_patch(folder, name) for name in json.loads(SPLITS.read_text())[split]["validation"]
    ]


def make_splits(folder: Path) -> dict[str, dict[str, list[str]]]:
    """Make the splits that are committed: three draws of 17 and of 9 labelled images."""
    by_name = patients(folder)
    held_out = sorted(name for name, patient in by_name.items() if patient in HELD_OUT_PATIENTS)
    everything = sorted(by_name)
    rest = sorted(set(everything) - set(held_out))
    splits = {
        "heldout-all": {"labelled": rest, "unlabelled": [], "validation": held_out},
        "all-all": {"labelled": everything, "unlabelled": [], "validation": []},
    }
    for draw in range(3):
        order = np.random.default_rng(draw)
        for kind, names, validation in (("heldout", rest, held_out), ("all", everything, [])):
            shuffled = [str(name) for name in order.permutation(names)]
            for count in (17, 9):
                splits[f"{kind}-{count}-{draw}"] = {
                    "labelled": sorted(shuffled[:count]),
                    "unlabelled": sorted(shuffled[count:]),
                    "validation": validation,
                }
    return splits


def _open(folder: Path, name: str) -> np.ndarray:
    return np.asarray(Image.open(_find(folder, name)).convert("RGB"))


def _find(folder: Path, stem: str) -> Path:
    for ending in (".png", ".bmp", ".jpg"):
        if (folder / f"{stem}{ending}").is_file():
            return folder / f"{stem}{ending}"
    sys.exit(f"{folder / stem} is missing (png, bmp or jpg). Check the copy of GlaS.")


if __name__ == "__main__":
    SPLITS.write_text(json.dumps(make_splits(data_folder(None)), indent=1) + "\n")
