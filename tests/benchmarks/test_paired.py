import json
import subprocess
import sys

import numpy as np
import pytest

from benchmarks.paired import interval, pairs_of, tile_differences


def run_of(name, split, seed, tiles):
    scores = {"dice": float(np.mean(list(tiles.values()))), "object_f1": 0.5}
    return {
        "name": name,
        "split": split,
        "seed": seed,
        "honest": scores,
        "honest_unadapted": scores,
        "honest_flips": scores,
        "tile_dice": tiles,
    }


@pytest.fixture
def runs():
    return [
        run_of("ours", "heldout-17-0", 0, {"a": 0.9, "b": 0.7}),
        run_of("ours", "heldout-17-1", 0, {"a": 0.8, "b": 0.8}),
        run_of("plain", "heldout-17-0", 0, {"b": 0.6, "a": 0.9}),
        run_of("plain", "heldout-17-1", 0, {"a": 0.6, "b": 0.8}),
        run_of("plain", "heldout-17-2", 0, {"a": 0.1, "b": 0.1}),  # has no partner
        run_of("ours", "heldout-17-2", 1, {"a": 1.0, "b": 1.0}),
    ]


def test_runs_of_the_same_split_and_seed_are_paired(runs):
    pairs = pairs_of(runs, "ours", "plain")
    assert [(a["split"], b["split"]) for a, b in pairs] == [
        ("heldout-17-0", "heldout-17-0"),
        ("heldout-17-1", "heldout-17-1"),
    ]
    assert pairs_of(runs, "ours", "another") == []


def test_a_tile_counts_once_whatever_the_number_of_draws(runs):
    differences = tile_differences(pairs_of(runs, "ours", "plain"))
    np.testing.assert_allclose(differences, [0.1, 0.05])


def test_the_interval_holds_the_mean_and_narrows_with_more_tiles():
    rng = np.random.default_rng(1)
    few, many = rng.normal(0.02, 0.05, 10), rng.normal(0.02, 0.05, 1000)
    low, high = interval(few)
    assert low < few.mean() < high
    assert interval(many)[1] - interval(many)[0] < 0.2 * (high - low)
    assert interval(np.full(5, 0.3)) == pytest.approx((0.3, 0.3))


def test_the_command_prints_each_pair_and_names_what_there_is(runs, tmp_path):
    path = tmp_path / "runs.json"
    path.write_text(json.dumps(runs))

    def call(*names):
        command = [sys.executable, "-m", "benchmarks.paired", str(path), *names]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    done = call("ours", "plain")
    assert done.returncode == 0
    assert "| heldout-17-0 | 0 | +0.050 | +0.050 | +0.050 | +0.000 |" in done.stdout
    assert "| mean |  | +0.075 |" in done.stdout
    assert "2 tiles: +0.0750" in done.stdout
    assert "2 tiles: +0.1000" in call("ours", "plain", "--splits", "heldout-17-1").stdout
    refused = call("ours", "mine")
    assert refused.returncode == 2
    assert "the files have ours, plain" in refused.stderr


def test_tiles_that_were_not_seen_alike_are_not_compared(runs):
    for run, adapt in zip(runs, (True, True, False, False, False, True), strict=True):
        tiles = run.pop("tile_dice")
        run |= {"settings": {"adapt": adapt}, "report": {"validation": {"per_tile_dice": tiles}}}
    with pytest.raises(SystemExit, match=r"ours and plain must be seen alike.*rescore"):
        tile_differences(pairs_of(runs, "ours", "plain"))
    assert tile_differences(pairs_of(runs, "ours", "ours")).tolist() == [0.0, 0.0]
