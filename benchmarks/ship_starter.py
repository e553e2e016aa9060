"""Make the network of a finished run the starter model that ships with the package.

    python -m benchmarks.ship_starter benchmarks/runs/starter-all-all-0/model.safetensors

Its weights become 16-bit floats. What it is for is in ``docs/starter-model.md``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import napari_semimoe
from napari_semimoe.model.checkpoint import load_checkpoint, save_checkpoint

STARTER = Path(napari_semimoe.__file__).parent / "weights" / "starter.safetensors"
NOTE = (
    "Starter model: H&E colon glands at about 20x. Trained on the 85 training images of GlaS "
    "(research use only). See docs/starter-model.md."
)


def ship(weights: Path, out: Path) -> None:
    """Write a run's checkpoint in 16-bit floats, with the starter's note, to ``out``."""
    model, info = load_checkpoint(weights)
    save_checkpoint(out, model, info.changed(note=NOTE), half=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("weights", type=Path)
    parser.add_argument("--out", type=Path, default=STARTER)
    options = parser.parse_args()
    ship(options.weights, options.out)
    print(f"{options.out}: {options.out.stat().st_size / 1e6:.1f} MB")
