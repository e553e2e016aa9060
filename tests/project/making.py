"""Small deterministic files and masks for the tests of the project."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

from napari_semimoe.core.values import Prediction
from napari_semimoe.project.predictions import NewPrediction
from napari_semimoe.project.project import Project

UM = 0.5


def pixels(seed=0, shape=(40, 56)):
    return np.random.default_rng(seed).integers(0, 256, (*shape, 3), dtype=np.uint8)


def mask(seed=0, shape=(40, 56)):
    """Two to four rectangles with their own ids."""
    rng = np.random.default_rng(1000 + seed)
    labels = np.zeros(shape, np.uint16)
    for number in range(1, 3 + seed % 3):
        y, x = (int(rng.integers(0, max(1, size - 8))) for size in shape)
        labels[y : y + 8, x : x + 8] = number
    labels[-1, -1] = 7
    return labels


def save(path: Path, array) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)
    return path


def png_16_bit_colour(path, values):
    """Write ``(H, W, 3)`` in 16 bits a colour, which Pillow cannot."""

    def part(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    height, width = values.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    head = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    body = part(b"IHDR", head) + part(b"IDAT", zlib.compress(rows)) + part(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    return path


def image_folder(folder: Path, count: int, *, masks=False, first=0, shape=(40, 56)) -> Path:
    """``image_N.png``, with ``image_N_mask.png`` beside if asked."""
    for seed in range(first, first + count):
        save(folder / f"image_{seed}.png", pixels(seed, shape))
        if masks:
            save(folder / f"image_{seed}_mask.png", mask(seed, shape))
    return folder


def add_images(project: Project, folder: Path, count: int, **kinds):
    return project.add_folder(image_folder(folder, count, **kinds), um_per_px=UM)


def prediction(shape, seed=0) -> Prediction:
    rng = np.random.default_rng(seed)
    names = ("segmentation", "distance", "boundary")

    def plane():
        return rng.random(shape, dtype=np.float32)

    return Prediction(
        experts={name: plane() for name in names},
        gated={name: plane() for name in names},
        class_probabilities=np.stack([plane(), plane()]),
        instances=rng.integers(0, 4, shape).astype(np.uint16),
        classes={1: 1, 2: 1, 3: 1},
        disagreement=plane(),
        gates=np.full((3, 3), 1 / 3, np.float32),
        expert_names=names,
    )


def add_prediction(project: Project, tile_id: int, seed=0, model="round 1"):
    from napari_semimoe.project.arrays import write_prediction

    made = prediction(project.tile(tile_id).box.shape, seed)
    path = project.new_prediction_path()
    write_prediction(path, made)
    new = NewPrediction(path, model, 0.25, 0.5, made.gates.tolist(), made.expert_names)
    project.add_prediction(tile_id, new)
    return made


def snapshot(project: Project) -> dict:
    """Everything that a person would miss if it were gone."""
    tiles = project.tiles()
    return {
        "about": (project.name, project.classes, project.author),
        "images": project.images(),
        "tiles": tiles,
        "pixels": {tile.id: project.read_image(tile.id).tobytes() for tile in tiles},
        "versions": {tile.id: project.annotations(tile.id) for tile in tiles},
        "masks": {
            record.id: project.read_annotation(record.id).tobytes()
            for tile in tiles
            for record in project.annotations(tile.id)
        },
        "changed": {
            record.id: project.read_changed(record.id).tobytes()
            for tile in tiles
            for record in project.annotations(tile.id)
        },
        "predictions": {tile.id: project.prediction(tile.id) for tile in tiles},
        "rounds": project.rounds(),
        "audit": project.audit(),
    }
