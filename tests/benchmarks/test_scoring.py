"""Both protocols on held-out tiles, by hand and through the command."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks.scoring import score
from napari_semimoe.core.values import Patch
from tests.benchmarks.making import TINY, glas_folder


class Says:
    """Predicts what it is told for each tile, by the red of its first pixel; counts its calls."""

    def __init__(self, *probabilities):
        self.probabilities, self.calls = probabilities, 0

    def predict(self, image, um_per_px):
        self.calls += 1
        probability = self.probabilities[image[0, 0, 0]]
        instances = (probability >= 0.5).astype(np.uint16)
        return SimpleNamespace(gated={"segmentation": probability}, instances=instances)


def tile(number, true):
    """Return a tile of 256 x 256 px whose first rows, so many, are gland."""
    labels = np.zeros((256, 256), np.uint16)
    labels[:true] = 7
    image = np.full((256, 256, 3), number, np.uint8)
    return Patch(image, labels, 0.62, f"tile {number}")


def rows(*counts_and_values):
    """Return probabilities ``(256, 256)`` made of bands of rows."""
    values = [np.full((count, 256), value, np.float32) for count, value in counts_and_values]
    return np.concatenate(values)


def test_reference_pools_pixels_and_takes_the_lowest_of_equal_thresholds():
    # from 0.3 on: 128 rows found, all right, of 64 + 128 true ones, so 2 * 128 / (128 + 192);
    # below, another 192 wrong ones; from 0.4 on, none
    says = Says(rows((64, 0.39), (192, 0.29)), rows((64, 0.39), (192, 0.0)))
    found = score(says, [tile(0, 64), tile(1, 128)])
    assert found["reference"] == {"dice": 0.8, "jaccard": 0.66667, "threshold": 0.3}
    assert found["honest"]["dice"] == 0  # nothing reaches one half
    assert says.calls == 2


def test_honest_threshold_stays_where_the_reference_moves():
    found = score(Says(rows((128, 0.9), (128, 0.61))), [tile(0, 128)])
    assert found["reference"] == {"dice": 1.0, "jaccard": 1.0, "threshold": 0.62}
    assert found["honest"]["dice"] == 0.66667  # 2 * 128 / (256 + 128)


def test_without_any_gland_the_reference_finds_the_lowest_threshold_that_is_silent():
    found = score(Says(rows((256, 0.11))), [tile(0, 0)])
    assert found["reference"] == {"dice": 1.0, "jaccard": 1.0, "threshold": 0.12}


def test_without_any_gland_and_never_silent_the_lowest_threshold_stays():
    found = score(Says(rows((256, 0.95))), [tile(0, 0)])
    assert found["reference"] == {"dice": 0.0, "jaccard": 0.0, "threshold": 0.0}


def test_no_tile_held_out_has_no_scores():
    assert score(Says(), []) == {"honest": {}, "tile_dice": {}, "reference": {}}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return glas_folder(tmp_path_factory.mktemp("glas"))


def test_run_scores_by_both_protocols_and_rescore_finds_the_same(tmp_path, call, data):
    call("run", "--method", "labelled-only", "--split", "heldout-17-0", *TINY, "--data", data,
         "--predict", '{"min_object_um2": 9}', "--out", tmp_path)  # fmt: skip
    file = tmp_path / "labelled-only-heldout-17-0-0" / "result.json"
    first = json.loads(file.read_text())
    ways = ("", "_flips", "_unadapted")
    assert {
        each + way for each in ("honest", "tile_dice", "reference") for way in ways
    } <= first.keys()
    assert (
        set(first["reference"])
        == set(first["reference_flips"])
        == {*("dice", "jaccard", "threshold")}
    )
    older = {key: value for key, value in first.items() if not key.startswith("reference")}
    file.write_text(json.dumps(older | {"honest": {"dice": 0.5}}))
    call("rescore", "--out", tmp_path, "--data", data, "--device", "cpu")
    assert json.loads(file.read_text()) == first


def test_rescore_leaves_a_run_without_weights_and_says_when_none_has_any(tmp_path, call):
    folder = tmp_path / "ours-heldout-17-0-0"
    folder.mkdir()
    (folder / "result.json").write_text("{}")
    with pytest.raises(SystemExit, match=r"holds no run with result.json and model.safetensors"):
        call("rescore", "--out", tmp_path)
    assert (folder / "result.json").read_text() == "{}"
