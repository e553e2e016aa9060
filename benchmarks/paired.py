r"""How far one method is ahead of another on the same splits and seeds, and how sure that is.

    python -m benchmarks.paired benchmarks/results/glas/even.json ours-even labelled-even \
        --splits heldout-17

Prints the differences of each pair of runs and their mean: pooled Dice not fitted, fitted, and with
flips, turns and zooms; object F1 of fitted tiles. The interval is of the fitted Dice of a tile,
drawing tiles anew (bootstrap, Efron 1979): what as many other images would give. The tiles are of
few patients, and other draws of the labelled images are not in it, so it is too narrow for both.
Runs that were scored before they held the Dice of their tiles have that of the round itself, which
may see a tile twice.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.finished import Run, by_split_and_seed

#: What is compared: heading, protocol and score of a run.
SCORES = (
    ("not fitted", "honest_unadapted", "dice"),
    ("fitted", "honest", "dice"),
    ("flips", "honest_flips", "dice"),
    ("object F1", "honest", "object_f1"),
)
_RESAMPLES = 10_000


def pairs_of(runs: Sequence[Run], one: str, other: str) -> list[tuple[Run, Run]]:
    """Return the runs named ``one`` and ``other`` of the same split and seed, side by side."""
    ahead, behind = (
        by_split_and_seed(run for run in runs if run["name"] == name and run["honest"])
        for name in (one, other)
    )
    return [(ahead[key], behind[key]) for key in sorted(ahead.keys() & behind.keys())]


def tile_differences(pairs: Sequence[tuple[Run, Run]]) -> NDArray[np.float64]:
    """Return ``(T,)`` differences of Dice of held-out tiles, each the mean over the pairs."""
    rows = []
    for ahead, behind in pairs:
        one, other = _tile_dice(ahead, behind)
        rows.append([one[tile] - other[tile] for tile in sorted(one)])
    return np.mean(rows, axis=0)


def _tile_dice(one: Run, other: Run) -> tuple[dict[str, float], dict[str, float]]:
    if "tile_dice" in one and "tile_dice" in other:
        return one["tile_dice"], other["tile_dice"]
    if one["settings"]["adapt"] != other["settings"]["adapt"]:
        raise SystemExit(
            f"Tiles of {one['name']} and {other['name']} must be seen alike, and only one of them "
            "was fitted to each tile. Score both anew: python -m benchmarks.glas rescore."
        )
    return tuple(run["report"]["validation"]["per_tile_dice"] for run in (one, other))


def interval(values: NDArray[np.float64], share: float = 0.9, seed: int = 0) -> tuple[float, float]:
    """Return the bounds between which ``share`` of the means of resampled values lie."""
    rng = np.random.default_rng(seed)
    means = values[rng.integers(0, values.size, (_RESAMPLES, values.size))].mean(axis=1)
    low, high = np.quantile(means, [(1 - share) / 2, (1 + share) / 2])
    return float(low), float(high)


def lines_of(pairs: Sequence[tuple[Run, Run]]) -> list[str]:
    """Return what is printed, as markdown."""
    headings = [heading for heading, _, _ in SCORES]
    lines = [f"| split | seed | {' | '.join(headings)} |", "|---" * (len(SCORES) + 2) + "|"]
    rows = [[a[kind][score] - b[kind][score] for _, kind, score in SCORES] for a, b in pairs]
    for (run, _), row in zip(pairs, rows, strict=True):
        lines.append(_line(run["split"], run["seed"], row))
    lines.append(_line("mean", "", np.mean(rows, axis=0)))
    differences = tile_differences(pairs)
    low, high = interval(differences)
    lines.append(
        f"\nDice of a tile, fitted, {differences.size} tiles: {differences.mean():+.4f}, "
        f"90 % of resampled means from {low:+.4f} to {high:+.4f}"
    )
    return lines


def _line(split: str, seed: int | str, row: Sequence[float]) -> str:
    return f"| {split} | {seed} | {' | '.join(f'{value:+.3f}' for value in row)} |"


def main() -> None:
    """Compare two methods of a file of results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path, nargs="+", help="JSON files, each a list of runs")
    parser.add_argument("one")
    parser.add_argument("other")
    parser.add_argument("--splits", default="", help="only splits whose names begin so")
    options = parser.parse_args()
    missing = [str(path) for path in options.results if not path.is_file()]
    if missing:
        parser.error(f"each of the results must be a file, found no {', '.join(missing)}")
    runs = [run for path in options.results for run in json.loads(path.read_text())]
    runs = [run for run in runs if run["split"].startswith(options.splits)]
    pairs = pairs_of(runs, options.one, options.other)
    if not pairs:
        names = ", ".join(sorted({run["name"] for run in runs}))
        parser.error(
            f"there must be runs of {options.one} and {options.other} on the same split with the "
            f"same seed, found none; the files have {names}"
        )
    print("\n".join(lines_of(pairs)))


if __name__ == "__main__":
    main()
