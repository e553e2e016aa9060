"""What travels with a job, what stays at home, and what comes back."""

from __future__ import annotations

import io
import json
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
import torch

from napari_semimoe.core.checkpoint_info import read_info
from napari_semimoe.core.errors import JobError, StorageError
from napari_semimoe.core.reports import SilentObserver
from napari_semimoe.core.settings import ModelSettings
from napari_semimoe.jobs import home_parcel
from napari_semimoe.jobs.far_parcel import missing_weights, pack_answer, unpack_job
from napari_semimoe.jobs.home_parcel import pack_job, round_key, unpack_answer
from napari_semimoe.jobs.manifest_source import ManifestSource
from napari_semimoe.jobs.tasks import TASKS
from napari_semimoe.project.arrays import read_array
from napari_semimoe.training.source import data_hash
from tests.model.encoder_files import resnet

from .small_round import make_project, round_payload, tile_payload


@pytest.fixture
def project(tmp_path):
    return make_project(tmp_path / "project")


@pytest.fixture
def far(tmp_path):
    return tmp_path / "far"


def unpacked(parcel, far):
    return unpack_job(parcel, far / "job", far / "weights")


def names(parcel):
    with ZipFile(io.BytesIO(parcel)) as opened:
        return opened.namelist()


def test_round_learns_from_the_same_data_there_as_here(project, far):
    payload = round_payload(project)
    job = unpacked(pack_job("train", payload), far)
    there, here = ManifestSource(job.payload["manifest"]), ManifestSource(payload["manifest"])
    assert (there.labelled, there.unlabelled) == (("a", "b"), ("free",))
    assert data_hash(there) == data_hash(here)
    assert job.payload["settings"] == payload["settings"]


def test_mask_of_an_unlabelled_tile_stays_at_home(project):
    masks = [name for name in names(pack_job("train", round_payload(project))) if "annot" in name]
    assert len(masks) == 3


def test_only_the_part_of_the_image_that_is_predicted_travels(project, far):
    weights = project / "model.safetensors"
    weights.write_bytes(b"weights")
    payload = tile_payload(project, weights)
    job = unpacked(pack_job("predict", payload, wanted=[_digest(payload)]), far)
    pixels = read_array(Path(job.payload["image"]["array"]))
    assert pixels.shape == (40, 40, 3)
    assert job.payload["image"]["box"] == [0, 0, 40, 40]
    assert np.array_equal(pixels, read_array(project / "images/1.zarr")[:, 80:120])


def _digest(payload):
    return missing_weights(pack_job("predict", payload), Path("nowhere"))[0]


def test_weights_travel_once_and_keep_their_name(project, far):
    weights = project / "round 3.safetensors"
    weights.write_bytes(b"weights")
    payload = tile_payload(project, weights)
    first = pack_job("predict", payload)
    assert not any(name.startswith("weights/") for name in names(first))
    wanted = missing_weights(first, far / "weights")
    job = unpacked(pack_job("predict", payload, wanted), far)
    assert Path(job.payload["weights"]).read_bytes() == b"weights"
    assert Path(job.payload["weights"]).name == "round 3.safetensors"
    assert missing_weights(first, far / "weights") == []


def test_round_begins_there_from_the_encoder_that_travelled_with_it(project, far):
    encoder = project / "resnet.bin"
    torch.save(resnet(), encoder)
    model = ModelSettings.pretrained(width=4, um_per_px=1.0).model_dump(mode="json")
    payload = round_payload(project, max_steps=1) | {"base": str(encoder), "model": model}
    wanted = missing_weights(pack_job("train", payload), far / "weights")
    job = unpacked(pack_job("train", payload, wanted), far)
    encoder.unlink()
    report = TASKS["train"](job.payload, SilentObserver())
    assert report["steps"] == 1
    assert read_info(Path(report["weights"])).base == "resnet.bin"


def test_results_come_home_and_what_ended_there_ends_here(project, far):
    payload = round_payload(project)
    home = Path(payload["out_dir"])
    for name in ("state.safetensors", "log.jsonl"):
        (home / name).write_text("old")
    job = unpacked(pack_job("train", payload), far)
    out = Path(job.payload["out_dir"])
    assert (out / "state.safetensors").read_text() == "old"
    (out / "state.safetensors").unlink()
    (out / "log.jsonl").write_text("new")
    (out / "model.safetensors").write_text("weights")
    said = {"state": "done", "result": {"weights": str(out / "model.safetensors"), "steps": 3}}
    answer = unpack_answer(pack_answer(said, job), payload)
    assert answer["result"] == {"weights": str(home / "model.safetensors"), "steps": 3}
    assert (home / "model.safetensors").read_text() == "weights"
    assert (home / "log.jsonl").read_text() == "new"
    assert sorted(path.name for path in home.iterdir()) == [
        "log.jsonl",
        "manifest.json",
        "model.safetensors",
        "network.json",
    ]
    assert len(json.loads((home / "manifest.json").read_text())["tiles"]) == 4


def test_round_that_was_interrupted_there_keeps_its_later_state(project, far):
    payload = round_payload(project)
    job = unpacked(pack_job("train", payload), far)
    state = Path(job.payload["out_dir"]) / "state.safetensors"
    state.write_text("step 200")
    (Path(payload["out_dir"]) / state.name).write_text("step 100")
    unpacked(pack_job("train", payload), far)
    assert state.read_text() == "step 200"


def test_folder_of_a_round_is_its_own(project, tmp_path):
    payload = round_payload(project)
    assert round_key(payload) == round_key(dict(payload))
    assert round_key(payload) != round_key(round_payload(project, seed=1))
    other = make_project(tmp_path / "other")
    assert round_key(payload) != round_key(round_payload(other))
    assert round_key({"files": []}) is None


def test_sentence_about_a_file_there_names_the_file_here(project, far):
    payload = round_payload(project)
    job = unpacked(pack_job("train", payload), far)
    said = {"state": "failed", "error": f"The file {job.payload['out_dir']}/x is damaged."}
    answer = unpack_answer(pack_answer(said, job), payload)
    assert answer["error"] == f"The file {payload['out_dir']}/x is damaged."


def test_files_of_the_same_name_do_not_meet(tmp_path, far):
    files = [tmp_path / folder / "tile: 1.png" for folder in ("x", "y")]
    for number, file in enumerate(files):
        file.parent.mkdir()
        file.write_bytes(bytes([number]))
    gone = tmp_path / "gone.png"
    payload = {"files": [str(file) for file in [*files, gone]], "out_dir": str(tmp_path / "out")}
    job = unpacked(pack_job("files", payload), far)
    assert [Path(file).read_bytes() for file in job.payload["files"][:2]] == [b"\0", b"\1"]
    assert not Path(job.payload["files"][2]).exists()
    refused = {"refused": [[job.payload["files"][2], "gone.png cannot be read."]]}
    answer = unpack_answer(pack_answer({"state": "done", "result": refused}, job), payload)
    assert answer["result"]["refused"][0][0] == str(gone)


def test_job_of_another_version_is_refused_in_words(far, monkeypatch):
    monkeypatch.setattr(home_parcel, "__version__", "0.0.1")
    with pytest.raises(JobError, match=r"came from 0\.0\.1 and this worker is"):
        unpacked(pack_job("predict", {}), far)


def test_job_without_data_travels_as_it_is(far):
    job = unpacked(pack_job("predict", {"do": "count", "to": 3}), far)
    assert (job.kind, job.payload) == ("predict", {"do": "count", "to": 3})


@pytest.mark.parametrize("name", ["out_dir/../../escaped", "out_dir//etc/escaped"])
def test_answer_never_writes_outside_its_folder(tmp_path, name):
    stream = io.BytesIO()
    with ZipFile(stream, "w") as parcel:
        parcel.writestr("answer.json", "{}")
        parcel.writestr(name, "bad")
    with pytest.raises(JobError, match="own folder"):
        unpack_answer(stream.getvalue(), {"out_dir": str(tmp_path / "out")})
    assert list(tmp_path.rglob("escaped")) == []


def test_answer_that_cannot_be_stored_is_said_in_words(tmp_path):
    (tmp_path / "out").write_text("a file where the folder should be")
    stream = io.BytesIO()
    with ZipFile(stream, "w") as parcel:
        parcel.writestr("answer.json", "{}")
        parcel.writestr("out_dir/log.jsonl", "x")
    with pytest.raises(StorageError, match=r"log\.jsonl could not be stored"):
        unpack_answer(stream.getvalue(), {"out_dir": str(tmp_path / "out")})


def test_job_that_is_too_large_to_travel_is_refused_in_words(project, monkeypatch):
    monkeypatch.setattr(home_parcel, "LIMIT_BYTES", 100)
    with pytest.raises(JobError, match="work on this computer"):
        pack_job("train", round_payload(project))


def test_answer_never_removes_what_is_outside_its_folder(tmp_path):
    (tmp_path / "kept").write_text("of another round")
    stream = io.BytesIO()
    with ZipFile(stream, "w") as parcel:
        parcel.writestr("answer.json", '{"gone": ["../kept"]}')
    with pytest.raises(JobError, match="own folder"):
        unpack_answer(stream.getvalue(), {"out_dir": str(tmp_path / "out")})
    assert (tmp_path / "kept").exists()
