"""Folders of tiny drawn images in the layouts of GlaS and CRAG, and a round of two steps."""

import numpy as np
from PIL import Image

from benchmarks.glas_data import GLAS

TINY = (
    *("--steps", "2", "--threads", "1", "--device", "cpu", "--model", '{"width": 4}'),
    *("--set", '{"crop_px": 32, "labelled_batch": 2, "pseudo_views": 1, "mixed_precision": false}'),
)


def glas_folder(folder):
    """Return a folder with every training image of GlaS, each 20 x 24 px with one gland."""
    (folder / "train").mkdir(parents=True)
    (folder / "train" / "Grade.csv").touch()
    for seed, name in enumerate(GLAS.roles("all-all")["labelled"]):
        draw(folder / "train" / f"{name}.png", folder / "train" / f"{name}_anno.png", seed)
    return folder


def crag_folder(folder):
    """Return a folder with every training image of CRAG and two test images, drawn alike."""
    names = [f"train/{{}}/train_{number}.png" for number in range(1, 174)]
    names += [f"valid/{{}}/test_{number}.png" for number in (1, 2)]
    for place in ("train/Images", "train/Annotation", "valid/Images", "valid/Annotation"):
        (folder / place).mkdir(parents=True)
    for seed, name in enumerate(names):
        draw(folder / name.format("Images"), folder / name.format("Annotation"), seed)
    return folder


def draw(image, mask, seed):
    """Write an image of noise and its mask: an object of 10 x 10 px."""
    colours = np.random.default_rng(seed).integers(0, 256, (20, 24, 3)).astype(np.uint8)
    labels = np.zeros((20, 24), np.uint8)
    labels[5:15, 5:15] = 1
    Image.fromarray(colours).save(image)
    Image.fromarray(labels).save(mask)
