"""The committed splits, and CRAG's layout through the commands."""

import json

import numpy as np
import pytest
from PIL import Image

from benchmarks.glas_data import CRAG, GLAS, held_out_tiles, load_source
from benchmarks.make_splits import crag_splits
from tests.benchmarks.making import TINY, crag_folder

SIZES = [
    *((GLAS, f"heldout-17-{draw}", 17, 51, 17) for draw in range(3)),
    *((GLAS, f"heldout-9-{draw}", 9, 59, 17) for draw in range(3)),
    *((GLAS, f"all-17-{draw}", 17, 68, 0) for draw in range(3)),
    *((GLAS, f"all-9-{draw}", 9, 76, 0) for draw in range(3)),
    *((GLAS, "heldout-all", 68, 0, 17), (GLAS, "all-all", 85, 0, 0)),
    *((CRAG, f"crag-heldout-35-{draw}", 35, 103, 35) for draw in range(3)),
    *((CRAG, f"crag-heldout-17-{draw}", 17, 121, 35) for draw in range(3)),
    *((CRAG, f"crag-all-35-{draw}", 35, 138, 0) for draw in range(3)),
    *((CRAG, f"crag-all-17-{draw}", 17, 156, 0) for draw in range(3)),
    *((CRAG, "crag-heldout-all", 138, 0, 35), (CRAG, "crag-all-all", 173, 0, 0)),
]
WAITING = [
    *((GLAS, f"waiting-{count}-{draw}") for count in (17, 9) for draw in range(3)),
    *((CRAG, f"crag-waiting-{count}-{draw}") for count in (35, 17) for draw in range(3)),
]


@pytest.mark.parametrize(("dataset", "split", "labelled", "unlabelled", "validation"), SIZES)
def test_split_shares_out_every_image_once(dataset, split, labelled, unlabelled, validation):
    roles = dataset.roles(split)
    assert {role: len(names) for role, names in roles.items()} == {
        "labelled": labelled,
        "unlabelled": unlabelled,
        "validation": validation,
    }
    images = 85 if dataset is GLAS else 173
    every = sorted(name for names in roles.values() for name in names)
    assert every == sorted(f"train_{number}" for number in range(1, images + 1))


@pytest.mark.parametrize(("dataset", "split"), WAITING)
def test_tiles_that_wait_for_a_mask_are_those_kept_apart_elsewhere(dataset, split):
    waiting, apart = dataset.roles(split), dataset.roles(split.replace("waiting", "heldout"))
    assert (waiting["labelled"], waiting["validation"]) == (apart["labelled"], apart["validation"])
    assert waiting["unlabelled"] == sorted(apart["unlabelled"] + apart["validation"])


@pytest.mark.parametrize("dataset", [GLAS, CRAG])
def test_no_split_is_left_unchecked_and_one_part_is_always_held_out(dataset):
    splits = json.loads(dataset.splits.read_text())
    assert set(splits) == {split for known, split, *_ in SIZES + WAITING if known is dataset}
    held_out = {tuple(splits[split]["validation"]) for split in splits if "heldout" in split}
    assert len(held_out) == 1


def test_draws_differ():
    draws = {tuple(CRAG.roles(f"crag-heldout-35-{draw}")["labelled"]) for draw in range(3)}
    assert len(draws) == 3


def test_crags_splits_are_those_that_are_made():
    assert json.loads(CRAG.splits.read_text()) == crag_splits()


def test_unknown_split_is_refused_with_those_that_there_are():
    with pytest.raises(SystemExit, match=r"one of crag-heldout-all, .* got crag-heldout-9-0"):
        CRAG.roles("crag-heldout-9-0")


def test_missing_folder_is_named_by_its_data_set(tmp_path):
    with pytest.raises(SystemExit, match=r"CRAG was not found.*'train/Annotation'"):
        held_out_tiles(tmp_path, "crag-heldout-35-0")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Return a folder that holds CRAG as its release unpacks."""
    folder = tmp_path_factory.mktemp("data")
    crag_folder(folder / "CRAG")
    return folder


def test_crags_tiles_have_their_masks_scale_and_roles(data):
    source = load_source(data, "crag-heldout-35-0")
    tile = source.read(source.validation[0])
    assert tile.um_per_px == 0.5
    assert np.count_nonzero(tile.labels) == 100  # the drawn 10 x 10 px
    assert source.read(source.unlabelled[0]).labels is None
    assert [each.name for each in held_out_tiles(data, "crag-heldout-35-0")] == source.validation


def test_tiles_that_taught_without_their_masks_can_be_scored(data):
    source = load_source(data, "crag-all-17-0")
    tiles = held_out_tiles(data, "crag-all-17-0", "unlabelled")
    assert [tile.name for tile in tiles] == source.unlabelled
    assert all(tile.labels is not None for tile in tiles)


def test_tiles_that_wait_for_a_mask_teach_without_theirs_and_are_scored_afterwards(data):
    source = load_source(data, "crag-waiting-17-0")
    scored = held_out_tiles(data, "crag-waiting-17-0")
    assert source.validation == []
    assert {tile.name for tile in scored} < set(source.unlabelled)
    assert all(source.read(tile.name).labels is None for tile in scored)
    assert all(tile.labels is not None for tile in scored)


def test_missing_image_is_named(tmp_path):
    (tmp_path / "train" / "Annotation").mkdir(parents=True)
    with pytest.raises(SystemExit, match=r"Images/train_\d+ is missing.*copy of CRAG"):
        held_out_tiles(tmp_path, "crag-heldout-35-0")


def test_crag_is_trained_scored_scored_anew_and_predicted(data, tmp_path, call):
    call("run", "--method", "labelled-only", "--split", "crag-heldout-17-1", *TINY, "--data", data,
         "--out", tmp_path)  # fmt: skip
    run = tmp_path / "labelled-only-crag-heldout-17-1-0"
    result = json.loads((run / "result.json").read_text())
    assert (result["report"]["labelled"], result["report"]["unlabelled"]) == (17, 121)
    assert {"honest", "reference", "honest_flips", "reference_flips"} <= result.keys()
    call("rescore", "--out", tmp_path, "--data", data, "--device", "cpu")
    assert json.loads((run / "result.json").read_text()) == result
    weights = run / "model.safetensors"
    call("predict", "--dataset", "crag", "--weights", weights, "--data", data,
         "--device", "cpu", "--out", tmp_path / "found")  # fmt: skip
    assert {path.name for path in (tmp_path / "found").glob("*.png")} == {
        *("test_1.png", "test_2.png")
    }
    assert np.asarray(Image.open(tmp_path / "found" / "test_1.png")).shape == (20, 24)
