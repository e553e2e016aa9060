"""What one round adds on patients that the model does not know: the loop of a person, measured.

    python -m benchmarks.one_round WEIGHTS --steps 60 [--masks 6] [--draws 3] [--stain brown]

The validation tiles of a split stand for a project: the masks of a few, drawn anew each time,
teach; the others teach without theirs and are scored before and after. All is as in the window's
default round, but the number of steps is given: no hour of the machine changes the figures.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from benchmarks.glas_data import held_out_tiles
from benchmarks.scoring import score_weights
from benchmarks.stains import STAINS
from napari_semimoe.core.checkpoint_info import read_info
from napari_semimoe.core.reports import SilentObserver
from napari_semimoe.core.settings import PredictSettings, RoundSettings
from napari_semimoe.core.values import Patch
from napari_semimoe.training.round import run_round
from napari_semimoe.training.source import MemorySource


def one_round(weights: Path, tiles: list[Patch], masks: int, settings: RoundSettings) -> dict:
    """Teach with the masks of a few tiles and score the others before and after.

    Returns
    -------
    dict
        ``taught``: names; ``before``, ``after``: scores as of `score_weights`; ``seconds`` of the
        round.
    """
    order = np.random.default_rng(settings.seed).permutation(len(tiles))
    taught, others = [[tiles[i] for i in part] for part in (order[:masks], order[masks:])]
    source = MemorySource(
        {tile.name: tile for tile in tiles},
        labelled=[tile.name for tile in taught],
        unlabelled=[tile.name for tile in others],
    )
    how = PredictSettings(device=settings.device)
    with tempfile.TemporaryDirectory() as folder:
        report = run_round(
            source,
            settings,
            model=read_info(weights).model,
            base=weights,
            out_dir=Path(folder),
            observer=SilentObserver(),
        )
        after = score_weights(Path(report.weights), how, others)
    return {
        "taught": [tile.name for tile in taught],
        "before": score_weights(weights, how, others),
        "after": after,
        "seconds": report.seconds,
    }


def main() -> None:
    """Run the rounds and print one line for each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("weights", type=Path)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--masks", type=int, default=6)
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--split", default="heldout-all")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--stain", choices=STAINS, default="own", help="recolour all tiles")
    parser.add_argument("--set", type=json.loads, default={}, help="settings of the round")
    parser.add_argument("--out", type=Path, help="a JSON file for the figures")
    options = parser.parse_args()
    given, recolour = held_out_tiles(options.data, options.split), STAINS[options.stain]
    tiles = [replace(tile, image=recolour(tile.image)) for tile in given]
    runs: list[dict[str, Any]] = []
    for draw in range(options.draws):
        settings = RoundSettings.parse({**options.set, "max_steps": options.steps, "seed": draw})
        runs.append(one_round(options.weights, tiles, options.masks, settings))
        print(line(str(draw), runs[-1:]), flush=True)
    print(line("mean", runs))
    if options.out:
        found = {"settings": settings.model_dump(mode="json"), "runs": runs}
        options.out.write_text(json.dumps(found, indent=1) + "\n")


def line(name: str, runs: list[dict[str, Any]]) -> str:
    """Return the mean scores of rounds in words."""
    parts = []
    for way in ("honest", "honest_flips"):
        for score in ("dice", "object_f1"):
            before, after = (fmean(r[w][way][score] for r in runs) for w in ("before", "after"))
            parts.append(f"{way} {score} {before:.3f} -> {after:.3f}")
    return f"{name}: {', '.join(parts)}, {fmean(r['seconds'] for r in runs):.0f} s"


if __name__ == "__main__":
    main()
