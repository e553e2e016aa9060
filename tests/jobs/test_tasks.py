from __future__ import annotations

import json
import shutil
import subprocess
import sys
import traceback
import weakref
from contextlib import nullcontext
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock

from napari_semimoe.core.errors import ProjectFormatError, StorageError
from napari_semimoe.core.reports import RoundReport
from napari_semimoe.core.settings import ModelSettings, RoundSettings
from napari_semimoe.jobs import tasks
from napari_semimoe.jobs.manifest_source import ManifestSource
from napari_semimoe.jobs.tasks import TASKS
from napari_semimoe.project.arrays import write_array
from napari_semimoe.training import memory


def test_every_kind_of_job_has_a_function():
    assert set(TASKS) == {"predict", "files", "train"}


def test_importing_the_jobs_does_not_import_torch():
    code = (
        "import sys, napari_semimoe.jobs, napari_semimoe.jobs.tasks, napari_semimoe.jobs.worker;"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def entry(name, role, array, labels=None):
    image = {"array": array, "box": [2, 3, 7, 9], "um_per_px": 0.5, "name": name}
    mask = {"array": labels} if labels else None
    return {"name": name, "image": image, "labels": mask, "classes": {"1": 2}, "role": role}


@pytest.fixture
def project(tmp_path):
    """A project folder with one image, one mask and a manifest, as far as a round needs it."""
    folder = tmp_path / "project"
    for part in ("images", "annotations", "rounds/1"):
        (folder / part).mkdir(parents=True)
    image = np.random.default_rng(0).integers(0, 255, (10, 12, 3), dtype=np.uint8)
    write_array(folder / "images" / "1.zarr", image)
    write_array(folder / "annotations" / "a.zarr", np.ones((5, 6), np.uint16))
    image_path, mask_path = str(folder / "images/1.zarr"), str(folder / "annotations/a.zarr")
    tiles = [
        entry("taught", "labelled", image_path, mask_path),
        entry("free", "unlabelled", "images/1.zarr", mask_path),
        entry("check", "validation", image_path, "annotations/a.zarr"),
    ]
    (folder / "rounds/1/manifest.json").write_text(json.dumps({"tiles": tiles}))
    return folder


def test_manifest_gives_tiles_by_role(project):
    source = ManifestSource(project / "rounds/1/manifest.json")
    assert (source.labelled, source.unlabelled, source.validation) == (
        ("taught",),
        ("free",),
        ("check",),
    )


def test_manifest_reads_the_tile_inside_its_box(project):
    patch = ManifestSource(project / "rounds/1/manifest.json").read("taught")
    expected = np.random.default_rng(0).integers(0, 255, (10, 12, 3), dtype=np.uint8)
    assert np.array_equal(patch.image, expected[2:7, 3:9])
    assert patch.labels.shape == (5, 6)
    assert (patch.um_per_px, patch.name, patch.classes) == (0.5, "taught", {1: 2})


def test_manifest_never_hands_out_the_mask_of_an_unlabelled_tile(project):
    assert ManifestSource(project / "rounds/1/manifest.json").read("free").labels is None


def test_manifest_of_a_project_that_came_from_windows_finds_its_arrays(project):
    manifest = project / "rounds/1/manifest.json"
    about = json.loads(manifest.read_text())
    for tile in about["tiles"]:
        for part in (tile["image"], tile["labels"] or {}):
            if "array" in part:
                part["array"] = "C:\\study\\" + "\\".join(Path(part["array"]).parts[-2:])
    manifest.write_text(json.dumps(about))
    patch = ManifestSource(manifest).read("taught")
    assert patch.image.ndim == 3
    assert patch.labels is not None


def test_manifest_of_a_moved_project_finds_its_arrays(project, tmp_path):
    moved = project.rename(tmp_path / "moved")
    source = ManifestSource(moved / "rounds/1/manifest.json")
    for name in ("taught", "free", "check"):
        assert source.read(name).image.shape == (5, 6, 3)


def test_manifest_of_a_copied_project_reads_the_copy(project, tmp_path):
    copy = shutil.copytree(project, tmp_path / "copy")
    for array in (*project.glob("images/*"), *project.glob("annotations/*")):
        shutil.rmtree(array)
    source = ManifestSource(copy / "rounds/1/manifest.json")
    write_array(project / "images" / "1.zarr", np.zeros((10, 12, 3), np.uint8))
    for name in ("taught", "free", "check"):
        assert source.read(name).image.any()


@pytest.mark.parametrize("text", [None, "{", "[]", '{"tiles": [{"name": "a"}]}'])
def test_damaged_manifest_is_said_in_words(project, text):
    path = project / "rounds/1/manifest.json"
    path.unlink() if text is None else path.write_text(text)
    with pytest.raises(ProjectFormatError, match="Start a new round"):
        ManifestSource(path)


def test_manifest_with_an_unknown_role_is_refused(project):
    path = project / "rounds/1/manifest.json"
    path.write_text(path.read_text().replace("unlabelled", "half-labelled"))
    with pytest.raises(ProjectFormatError, match="half-labelled"):
        ManifestSource(path)


def round_of(project):
    folder = project / "rounds/1"
    return {
        "manifest": str(folder / "manifest.json"),
        "out_dir": str(folder),
        "settings": RoundSettings(max_steps=1, device="cpu").model_dump(mode="json"),
        "model": ModelSettings(width=4).model_dump(mode="json"),
    }


def test_a_round_that_another_process_still_trains_is_not_trained_twice(project, monkeypatch):
    monkeypatch.setattr(tasks, "_LOCK_SECONDS", 0.0)
    folder = project / "rounds/1"
    with (
        FileLock(folder / tasks.ROUND_LOCK),
        pytest.raises(StorageError, match="Another process is still training"),
    ):
        tasks.train_round(round_of(project), observer=None)
    assert not (folder / "log.jsonl").exists()


@pytest.mark.parametrize("fails", [False, True])
def test_memory_of_a_round_is_free_when_it_ends_or_fails(project, monkeypatch, fails):
    held, freed = [], []

    class Network:
        pass

    def run(*given, **options):
        network = Network()
        held.append(weakref.ref(network))
        try:
            1 / (not fails)
        except ZeroDivisionError as error:
            raise RuntimeError("CUDA error") from error
        return RoundReport(**{each.name: None for each in fields(RoundReport)})

    monkeypatch.setattr("napari_semimoe.training.round.run_round", run)
    monkeypatch.setattr(memory, "free_memory", lambda: freed.append(held[0]() is None))
    monkeypatch.setattr(RoundReport, "to_json", lambda report: {})
    expected = pytest.raises(RuntimeError, match="CUDA error") if fails else nullcontext()
    with expected as failure:
        tasks.train_round(round_of(project), observer=None)
    assert freed == [True]
    if fails:
        assert "in run" in "".join(traceback.format_exception(failure.value))
