"""Checkpoints: whole or not at all, in words, and never a pickle."""

import json
import os

import pytest
import torch
from safetensors.torch import load_file, save_file

from napari_semimoe.core.checkpoint_info import METADATA_KEY, read_info
from napari_semimoe.core.errors import CheckpointError, StorageError
from napari_semimoe.core.settings import ModelSettings
from napari_semimoe.model.checkpoint import copy_of, describe, load_checkpoint, save_checkpoint
from napari_semimoe.model.semi_moe import SemiMoE

SETTINGS = ModelSettings(width=4, classes=("background", "gland", "vessel"), um_per_px=2.0)


@pytest.fixture
def model():
    torch.manual_seed(0)
    return SemiMoE(SETTINGS).eval()


@pytest.fixture
def saved(model, tmp_path):
    path = tmp_path / "w.safetensors"
    save_checkpoint(path, model, describe(model, step=7, data_hash="abc", note="n"))
    return path


def test_weights_and_words_come_back_as_they_were(model, saved):
    loaded, info = load_checkpoint(saved)
    assert (info.model, info.step, info.data_hash) == (SETTINGS, 7, "abc")
    assert read_info(saved) == info
    ours, theirs = model.state_dict(), loaded.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)
    assert not loaded.training
    image = torch.rand(1, 3, 32, 32)
    assert torch.equal(model(image).gated["segmentation"], loaded(image).gated["segmentation"])


def test_half_precision_is_half_the_size_and_close(model, saved, tmp_path):
    half = tmp_path / "half.safetensors"
    save_checkpoint(half, model, describe(model), half=True)
    assert half.stat().st_size < 0.65 * saved.stat().st_size
    loaded, _ = load_checkpoint(half)
    assert next(loaded.parameters()).dtype == torch.float32
    image = torch.rand(1, 3, 32, 32)
    one, two = (m(image).gated["segmentation"].softmax(1) for m in (model, loaded))
    assert 0 < float((one - two).abs().max().detach()) < 0.02


def test_the_words_lie_beside_the_file_for_people(saved):
    words = json.loads(saved.with_suffix(".json").read_text(encoding="utf-8"))
    assert words["model"]["classes"] == ["background", "gland", "vessel"]
    assert words["step"] == 7


def test_a_pickle_is_refused(model, tmp_path):
    path = tmp_path / "w.safetensors"
    torch.save(model.state_dict(), path)
    with pytest.raises(CheckpointError, match="pickled torch file, which can run code"):
        load_checkpoint(path)


@pytest.mark.parametrize("length", [640, 896, 1152, 1408])  # in bytes as a pickle begins
def test_a_header_whose_length_looks_like_a_pickle_is_read(tmp_path, length):
    path = tmp_path / "w.safetensors"
    save_file({"a": torch.zeros(1)}, path)
    content = path.read_bytes()
    before = int.from_bytes(content[:8], "little")
    header = content[8 : 8 + before].ljust(length)
    path.write_bytes(length.to_bytes(8, "little") + header + content[8 + before :])
    with pytest.raises(CheckpointError) as refused:
        load_checkpoint(path)
    assert "pickled" not in str(refused.value)


def test_a_missing_file_is_said(tmp_path):
    with pytest.raises(CheckpointError, match="does not exist"):
        load_checkpoint(tmp_path / "none.safetensors")


def test_a_file_without_rights_is_said(saved, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.open", refuse)
    with pytest.raises(CheckpointError, match="You have no rights to read"):
        load_checkpoint(saved)


@pytest.mark.parametrize("left", [0, 4, 100, -1])
def test_a_truncated_file_is_refused(saved, left):
    content = saved.read_bytes()
    saved.write_bytes(content[:left])
    with pytest.raises(CheckpointError, match="damaged or cut short"):
        load_checkpoint(saved)


def test_a_file_of_rubbish_is_refused(tmp_path):
    path = tmp_path / "w.safetensors"
    path.write_bytes(bytes(range(256)) * 20)
    with pytest.raises(CheckpointError, match="is no weights file"):
        load_checkpoint(path)


def test_weights_without_our_words_are_refused(model, tmp_path):
    path = tmp_path / "w.safetensors"
    save_file(model.state_dict(), path)
    with pytest.raises(CheckpointError, match="holds weights but not what they are for"):
        load_checkpoint(path)


def test_words_that_this_version_cannot_read_are_refused(model, saved):
    words = json.loads(saved.with_suffix(".json").read_text()) | {"from_the_future": 1}
    save_file(model.state_dict(), saved, metadata={METADATA_KEY: json.dumps(words)})
    with pytest.raises(CheckpointError, match=r"cannot read .*from_the_future.*update"):
        load_checkpoint(saved)


def test_weights_of_another_network_than_the_words_say_are_refused(saved, model):
    other = SemiMoE(ModelSettings(width=8)).state_dict()
    save_file(other, saved, metadata={METADATA_KEY: describe(model).model_dump_json()})
    with pytest.raises(CheckpointError, match="do not fit the network that it names"):
        load_checkpoint(saved)


def test_a_disk_that_takes_no_more_is_said_and_the_old_file_stays_whole(saved, model, tmp_path):
    resource = pytest.importorskip("resource", reason="limits of file size are a Unix thing")
    before = saved.read_bytes()
    with torch.no_grad():
        next(model.parameters()).add_(1)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        with pytest.raises(StorageError, match="could not be written"):
            save_checkpoint(saved, model, describe(model))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert saved.read_bytes() == before
    assert load_checkpoint(saved)[1].step == 7
    assert not list(tmp_path.glob("*.tmp-*"))


def test_a_disk_that_refuses_at_the_flush_leaves_the_old_file_whole(saved, model, monkeypatch):
    def refuse(file):
        raise OSError(28, "No space left on device")

    before = saved.read_bytes()
    monkeypatch.setattr("os.fsync", refuse)
    with pytest.raises(StorageError, match="No space left"):
        save_checkpoint(saved, model, describe(model))
    assert saved.read_bytes() == before
    assert sorted(os.listdir(saved.parent)) == ["w.json", "w.safetensors"]


def test_a_copy_shares_no_memory(model):
    twin = copy_of(model)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.add_(1)
    assert all(torch.equal(model.state_dict()[key], before[key]) for key in before)


def test_half_files_hold_counters_as_they_were(model, tmp_path):
    save_checkpoint(tmp_path / "h.safetensors", model, describe(model), half=True)
    kinds = {value.dtype for value in load_file(tmp_path / "h.safetensors").values()}
    assert kinds == {torch.float16, torch.int64}


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_neither_stored_nor_loaded(model, saved, tmp_path, value):
    state = load_file(saved)
    name = "expert_heads.boundary.bias"
    state[name][0] = value
    save_file(
        state, tmp_path / "none.safetensors", {METADATA_KEY: describe(model).model_dump_json()}
    )
    with pytest.raises(CheckpointError, match=r"none\.safetensors must be numbers"):
        load_checkpoint(tmp_path / "none.safetensors")
    model.load_state_dict(state)
    with pytest.raises(CheckpointError, match="weights learned must be numbers"):
        save_checkpoint(saved, model, describe(model))
    load_checkpoint(saved)


def test_weights_that_half_precision_cannot_hold_are_not_stored_in_it(model, tmp_path):
    model.expert_heads["boundary"].bias.data.fill_(1e5)
    save_checkpoint(tmp_path / "whole.safetensors", model, describe(model))
    with pytest.raises(CheckpointError, match="must be numbers"):
        save_checkpoint(tmp_path / "half.safetensors", model, describe(model), half=True)


def test_weights_of_another_size_say_which(saved, tmp_path):
    state = load_file(saved)
    state["expert_heads.boundary.bias"] = torch.zeros(5)
    words = read_info(saved).model_dump_json()
    save_file(state, tmp_path / "other.safetensors", {METADATA_KEY: words})
    with pytest.raises(CheckpointError, match="size mismatch for expert_heads"):
        load_checkpoint(tmp_path / "other.safetensors")


@pytest.mark.parametrize("text", ["null", "[" * 100_000, "[" + "9" * 5000 + "]", "{", "3"])
def test_words_that_are_none_of_ours_are_refused_in_words(saved, tmp_path, text):
    save_file(load_file(saved), tmp_path / "other.safetensors", {METADATA_KEY: text})
    with pytest.raises(CheckpointError, match="damaged or was written by a version"):
        read_info(tmp_path / "other.safetensors")
