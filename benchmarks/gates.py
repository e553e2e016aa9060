"""What the gates are worth: the gated mask against its experts, on the held-out GlaS images.

    python -m benchmarks.gates WEIGHTS... [--split heldout-17-0] [--out FILE.json]

Pooled Dice at native size, threshold 0.5, of the gated segmentation; of the same head with every
gate at one third; of the mean of the gated and the expert's probability; of the segmentation
expert alone; of the distance expert alone (above 0). Beside them the mean gates, and their
entropy as a share of that of equal gates: 1 mixes all experts alike, 0 hears one alone.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.glas_data import held_out_tiles
from benchmarks.scoring import load_plain, parser_for_weights, settings_of
from napari_semimoe.core.values import Patch, Prediction
from napari_semimoe.training.metrics import PixelCounts, count_pixels
from napari_semimoe.training.predict import Predictor

#: What is foreground where at least one half.
WAYS: dict[str, Callable[[Prediction], NDArray[np.floating]]] = {
    "gated": lambda found: found.gated["segmentation"],
    "mean of gated and expert": lambda found: (
        (found.gated["segmentation"] + found.experts["segmentation"]) / 2
    ),
    "segmentation expert": lambda found: found.experts["segmentation"],
    "distance expert": lambda found: (found.experts["distance"] + 1) / 2,
}


def main() -> None:
    """Score every checkpoint and print a table."""
    parser = parser_for_weights(__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=0)
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    tiles = held_out_tiles(options.data, options.split, options.role)
    settings = settings_of(options)
    found = {}
    for path in options.weights:
        found[path.parent.name] = measure(load_plain(path, settings), tiles)
        print(path.parent.name, json.dumps(found[path.parent.name], indent=1), flush=True)
    if options.out:
        options.out.write_text(json.dumps(found, indent=1) + "\n")


def measure(predictor: Predictor, tiles: Sequence[Patch]) -> dict[str, Any]:
    """Return the Dice of each way, the mean gates and their entropy."""
    counts = dict.fromkeys((*WAYS, "equal gates"), PixelCounts())
    tables = []
    for patch in tiles:
        assert patch.labels is not None, "these tiles have masks"
        found = predictor.predict(patch.image, patch.um_per_px)
        tables.append(found.gates)
        for way, read in WAYS.items():
            counts[way] += count_pixels(read(found) >= 0.5, patch.labels)
    equal = _with_equal_gates(predictor)
    for patch in tiles:
        assert patch.labels is not None, "these tiles have masks"
        found = equal.predict(patch.image, patch.um_per_px)
        counts["equal gates"] += count_pixels(found.gated["segmentation"] >= 0.5, patch.labels)
    return {
        "dice": {way: round(count.dice, 4) for way, count in counts.items()},
        **_gate_numbers(np.stack(tables), predictor.model.names),
    }


def _gate_numbers(tables: NDArray[np.floating], names: tuple[str, ...]) -> Mapping[str, Any]:
    """Return means and entropies from ``(tiles, task, expert)``."""
    safe = np.clip(tables, 1e-12, 1)
    entropy = -(safe * np.log(safe)).sum(-1).mean(0) / np.log(len(names))
    means = tables.mean(0)
    return {
        "gates": {
            task: dict(zip(names, row.round(2).tolist(), strict=True))
            for task, row in zip(names, means, strict=True)
        },
        "entropy": dict(zip(names, entropy.round(2).tolist(), strict=True)),
    }


class _Equal(torch.nn.Module):
    """A gate that hears every expert alike."""

    def __init__(self, experts: int) -> None:
        super().__init__()
        self.experts = experts

    def forward(self, pooled: Tensor) -> Tensor:
        """Return ``(B, experts)`` equal weights."""
        return pooled.new_full((len(pooled), self.experts), 1 / self.experts)


def _with_equal_gates(predictor: Predictor) -> Predictor:
    for name in predictor.model.names:
        predictor.model.gates[name] = _Equal(len(predictor.model.names))
    return predictor


if __name__ == "__main__":
    main()
