"""Another tissue by one command: brown nuclei at 40x, drawn by code, learned from nothing.

    python -m benchmarks.second_task --out FOLDER [--steps 150]

Ten drawn tiles teach or check, `semimoe train --images` makes the project and trains on them, and
eight tiles that were drawn from another seed are predicted and scored by `semimoe evaluate`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter

UM_PER_PX = 0.25
SIDE_PX = 320
SMALLEST_UM2 = 20
#: Smallest and largest radius of a nucleus.
RADII_PX = (8.0, 15.0)
BROWN, BLUE = np.array([0.27, 0.57, 0.78]), np.array([0.65, 0.70, 0.29])  # optical density


def main() -> None:
    """Draw, train, predict, score, and print the scores."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="a new folder")
    parser.add_argument("--steps", type=int, default=150)
    options = parser.parse_args()
    for name, count, seed in (("teach", 10, 1), ("test", 8, 2)):
        draw_tiles(options.out / name, count, seed)
    project, scale = options.out / "project", ("--um-per-px", str(UM_PER_PX))
    network = ("--network", "um_per_px=0.5", "--network", "width=16")
    values = ("crop_px=128", "learning_rate=0.002", f"min_object_um2={SMALLEST_UM2}")
    few = ("--steps", str(options.steps), *(word for each in values for word in ("--set", each)))
    trained = semimoe("train", project, "--images", options.out / "teach", *scale, *network, *few)
    weights = project / trained["weights"]
    images = sorted((options.out / "test").glob("nuclei_*[0-9].png"))
    found = options.out / "found"
    semimoe(
        "predict",
        *images,
        "--weights",
        weights,
        "--out",
        found,
        *scale,
        "--min-object",
        SMALLEST_UM2,
    )
    scores = semimoe("evaluate", "--pred", found, "--truth", options.out / "test")
    print(json.dumps({"seconds": trained["report"]["seconds"], **scores["pooled"]}, indent=1))


def semimoe(*arguments: object) -> dict:
    """Run one command and return its result."""
    command = [sys.executable, "-m", "napari_semimoe.cli", *map(str, arguments), "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)


def draw_tiles(folder: Path, count: int, seed: int) -> None:
    """Write ``nuclei_N.png`` and ``nuclei_N_anno.png``."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(seed)
    for number in range(1, count + 1):
        labels = draw_nuclei(random)
        Image.fromarray(stain(labels, random)).save(folder / f"nuclei_{number}.png")
        Image.fromarray(labels).save(folder / f"nuclei_{number}_anno.png")


def draw_nuclei(random: np.random.Generator) -> NDArray[np.uint16]:
    """Return ``(H, W)`` ids of ellipses, some of which touch."""
    labels = np.zeros((SIDE_PX, SIDE_PX), np.uint16)
    rows, columns = np.mgrid[:SIDE_PX, :SIDE_PX]
    for number in range(1, int(random.integers(25, 45))):
        y, x = random.uniform(0, SIDE_PX, 2)
        a, b = random.uniform(*RADII_PX, 2)
        turn = random.uniform(0, np.pi)
        along = (rows - y) * np.sin(turn) + (columns - x) * np.cos(turn)
        across = (rows - y) * np.cos(turn) - (columns - x) * np.sin(turn)
        inside = (along / a) ** 2 + (across / b) ** 2 <= 1
        if (labels[inside] > 0).mean() < 0.1:
            labels[inside & (labels == 0)] = number
    return labels


def stain(labels: NDArray[np.uint16], random: np.random.Generator) -> NDArray[np.uint8]:
    """Return ``(H, W, 3)`` RGB: brown nuclei of uneven strength on pale blue stroma."""
    strength = random.uniform(0.5, 1.1, int(labels.max()) + 1)
    strength[0] = 0
    grain = gaussian_filter(random.normal(0, 1, labels.shape), 2)
    nuclei = gaussian_filter(strength[labels], 1) * (1 + 0.5 * grain)
    stroma = 0.25 + 0.3 * gaussian_filter(random.normal(0, 1, labels.shape), 6)
    density = nuclei[..., None] * BROWN + np.clip(stroma, 0, None)[..., None] * BLUE
    noise = random.normal(0, 0.02, density.shape)
    return (255 * np.clip(np.exp(-density) + noise, 0, 1)).astype(np.uint8)


if __name__ == "__main__":
    main()
