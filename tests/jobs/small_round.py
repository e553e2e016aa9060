"""A project folder as far as jobs need it: two labelled tiles, one unlabelled, a validation one."""

from __future__ import annotations

import json

import numpy as np

from napari_semimoe.core.settings import ModelSettings, PredictSettings, RoundSettings
from napari_semimoe.core.values import USUAL_CLASSES
from napari_semimoe.project.arrays import write_array

ROLES = {"a": "labelled", "b": "labelled", "free": "unlabelled", "check": "validation"}
NETWORK = ModelSettings(width=4, um_per_px=1.0)


def make_project(folder):
    """Write one image of 40 x 160 px, of which each tile is a part, and the masks."""
    for part in ("images", "annotations", "rounds/1"):
        (folder / part).mkdir(parents=True)
    random = np.random.default_rng(0)
    write_array(folder / "images/1.zarr", random.integers(0, 255, (40, 160, 3), dtype=np.uint8))
    tiles = [_tile(folder, random, number, name) for number, name in enumerate(ROLES)]
    (folder / "rounds/1/manifest.json").write_text(json.dumps({"format": 1, "tiles": tiles}))
    (folder / "rounds/1/network.json").write_text("{}")
    return folder


def _tile(folder, random, number, name):
    mask = np.kron(random.integers(0, 2, (5, 5)), np.ones((8, 8))).astype(np.uint16)
    write_array(folder / f"annotations/{name}.zarr", mask)
    box = [0, 40 * number, 40, 40 * number + 40]
    image = {"array": str(folder / "images/1.zarr"), "box": box, "um_per_px": 1.0, "name": name}
    labels = {"array": str(folder / f"annotations/{name}.zarr")}
    tile = {"name": name, "image": image, "labels": labels, "classes": {"1": 1}}
    return {**tile, "role": ROLES[name]}


def round_payload(folder, **settings):
    """Return the payload of the project's round."""
    usual = {"max_steps": 3, "crop_px": 32, "labelled_batch": 2, "unlabelled_batch": 1}
    usual |= {"pseudo_views": 1, "device": "cpu", "threads": 1, "validate_every": 1}
    return {
        "manifest": str(folder / "rounds/1/manifest.json"),
        "out_dir": str(folder / "rounds/1"),
        "settings": RoundSettings.parse(usual | settings).model_dump(mode="json"),
        "model": NETWORK.model_dump(mode="json"),
        "base": None,
    }


def tile_payload(folder, weights):
    """Return the payload of a prediction of the unlabelled tile."""
    tiles = json.loads((folder / "rounds/1/manifest.json").read_text())["tiles"]
    return {
        "weights": str(weights),
        "image": tiles[2]["image"],
        "out": str(folder / "predictions-1"),
        "settings": PredictSettings(device="cpu").model_dump(mode="json"),
        "classes": list(USUAL_CLASSES),
    }
