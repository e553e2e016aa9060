"""A GlaS folder of tiny drawn images, and a round of two steps on it."""

import json

import numpy as np
from PIL import Image

from benchmarks.glas_data import SPLITS

TINY = (
    *("--steps", "2", "--threads", "1", "--device", "cpu", "--model", '{"width": 4}'),
    *("--set", '{"crop_px": 32, "labelled_batch": 2, "mixed_precision": false}'),
)


def glas_folder(folder):
    """Return a folder with every training image of GlaS, each 20 x 24 px with one gland."""
    roles = json.loads(SPLITS.read_text())["all-all"]
    (folder / "train").mkdir(parents=True)
    (folder / "train" / "Grade.csv").touch()
    for seed, name in enumerate(roles["labelled"]):
        draw(folder / "train" / f"{name}.png", folder / "train" / f"{name}_anno.png", seed)
    return folder


def draw(image, mask, seed):
    """Write an image of noise and its mask: an object of 10 x 10 px."""
    colours = np.random.default_rng(seed).integers(0, 256, (20, 24, 3)).astype(np.uint8)
    labels = np.zeros((20, 24), np.uint8)
    labels[5:15, 5:15] = 1
    Image.fromarray(colours).save(image)
    Image.fromarray(labels).save(mask)
