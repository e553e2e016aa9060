"""GlaS and CRAG on disk: tiles, masks, and the committed splits.

The folder is given by ``--data`` or the environment variable ``SEMIMOE_DATA``, which may also
hold both side by side as ``glas/`` and ``CRAG/``. Nothing of it is part of this project.

GlaS holds ``train/`` with ``train_N.png`` (or bmp, jpg), ``train_N_anno.png`` and ``Grade.csv``,
and for predicting ``test_images/``. CRAG (Graham et al. 2019, MILD-Net) holds
``train/Images/train_N.png`` and ``train/Annotation/train_N.png``, and for predicting
``valid/Images/test_N.png``: 173 and 40 images of about 1512 x 1516 px at 20x.
"""

from __future__ import annotations

import csv
import json
import os
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from napari_semimoe.core.values import Patch
from napari_semimoe.training.source import MemorySource


@dataclass(frozen=True, slots=True)
class Dataset:
    """Where a data set keeps its things, below its folder.

    Attributes
    ----------
    um_per_px
        Microns per pixel of all images.
    known_by
        What tells its folder from others.
    images, masks, test_images
        Folders of the training images, their instance masks, and the official test images.
    mask_ending
        What a mask's name has after its image's.
    """

    name: str
    um_per_px: float
    known_by: str
    images: str
    masks: str
    mask_ending: str
    test_images: str

    @property
    def splits(self) -> Path:
        """The file of committed splits: image names by role."""
        return Path(__file__).parent / "splits" / f"{self.name.lower()}.json"

    def folder(self, given: Path | None) -> Path:
        """Return the folder that holds the images, or stop with a sentence."""
        root = given or Path(os.environ.get("SEMIMOE_DATA", ""))
        for folder in (root, root / self.name.lower(), root / self.name):
            if (folder / self.known_by).exists():
                return folder
        sys.exit(
            f"{self.name} was not found. Set SEMIMOE_DATA or --data to a folder that holds "
            f"'{self.known_by}'."
        )

    def roles(self, split: str) -> dict[str, list[str]]:
        """Return the image names of a committed split by role, or stop with a sentence."""
        splits = json.loads(self.splits.read_text())
        if split not in splits:
            sys.exit(f"--split must be one of {', '.join(splits)}; got {split}.")
        return splits[split]

    def read(self, folder: Path, name: str) -> Patch:
        """Read one training image with its instance mask."""
        image = self._open(folder / self.images, name)
        mask = self._find(folder / self.masks, f"{name}{self.mask_ending}")
        return Patch(image, np.asarray(Image.open(mask)).astype(np.uint16), self.um_per_px, name)

    def tests(self, folder: Path) -> list[tuple[str, np.ndarray]]:
        """Return the official test images by name, without masks."""
        place = folder / self.test_images
        return [
            (name, self._open(place, name)) for name in sorted({p.stem for p in place.iterdir()})
        ]

    def _open(self, folder: Path, name: str) -> np.ndarray:
        return np.asarray(Image.open(self._find(folder, name)).convert("RGB"))

    def _find(self, folder: Path, stem: str) -> Path:
        for ending in (".png", ".bmp", ".jpg"):
            if (folder / f"{stem}{ending}").is_file():
                return folder / f"{stem}{ending}"
        sys.exit(f"{folder / stem} is missing (png, bmp or jpg). Check the copy of {self.name}.")


GLAS = Dataset("GlaS", 0.62, "train/Grade.csv", "train", "train", "_anno", "test_images")
#: 0.5 um per pixel is what 20x usually is; the files of the release do not say theirs.
CRAG = Dataset(
    "CRAG", 0.5, "train/Annotation", "train/Images", "train/Annotation", "", "valid/Images"
)
DATASETS = {"glas": GLAS, "crag": CRAG}


def dataset_of(split: str) -> Dataset:
    """Return the data set that a split is of: CRAG's begin with ``crag-``."""
    return CRAG if split.startswith("crag-") else GLAS


def load_source(given: Path | None, split: str) -> MemorySource:
    """Return the tiles of a committed split, such as ``heldout-17-0`` or ``crag-all-35-2``.

    Unlabelled ones have no masks. In a ``waiting`` split they are the validation tiles too, which
    are then left to be scored afterwards, with `held_out_tiles`.

    Parameters
    ----------
    given
        Folder of the data; ``None`` takes that of ``SEMIMOE_DATA``.
    """
    dataset = dataset_of(split)
    folder, roles = dataset.folder(given), dataset.roles(split)
    waiting = set(roles["unlabelled"])
    roles["validation"] = [name for name in roles["validation"] if name not in waiting]
    patches = {name: dataset.read(folder, name) for role in roles for name in roles[role]}
    for name in waiting:
        patches[name] = replace(patches[name], labels=None)
    return MemorySource(patches, **roles)


def held_out_tiles(given: Path | None, split: str, role: str = "validation") -> list[Patch]:
    """Return with masks those tiles of a committed split whose masks never teach, or others."""
    dataset = dataset_of(split)
    folder = dataset.folder(given)
    return [dataset.read(folder, name) for name in dataset.roles(split)[role]]


def patients(folder: Path) -> dict[str, str]:
    """Return the patient of each training image of GlaS."""
    with (folder / "train" / "Grade.csv").open(newline="") as file:
        rows = [row for row in csv.reader(file) if row and row[0].startswith("train_")]
    return {row[0].strip(): row[1].strip() for row in rows}
