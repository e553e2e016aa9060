"""A disk that is really full, and a disk that says it is."""

import contextlib
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

from napari_semimoe.core.errors import StorageError
from napari_semimoe.project.project import Project
from tests.project.making import UM, mask, pixels, save, snapshot


@pytest.fixture
def small_disk(tmp_path):
    """A real file system of 3 MB."""
    place = tmp_path / "small disk"
    place.mkdir()
    mount = shutil.which("mount")
    if not sys.platform.startswith("linux") or mount is None or os.geteuid() != 0:
        pytest.skip("a small disk can only be mounted on Linux with an administrator's rights")
    done = subprocess.run(
        [mount, "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(place)], capture_output=True
    )
    if done.returncode != 0:
        pytest.skip("this machine does not let a small disk be mounted")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def fill(place):
    """Write until the disk takes no byte more."""
    ballast = place / "holiday.mp4"
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        for block in (65536, 4096, 1):
            with contextlib.suppress(OSError):
                while file.write(bytes(block)) == block:
                    pass
    with pytest.raises(OSError, match="No space left"):
        (place / "one more").write_bytes(bytes(5000))
    return ballast


def accept_all(project, tile_id, masks, accepted):
    for labels in masks:
        project.accept(tile_id, labels)
        accepted.append(labels)


def noise(seed, shape):
    return np.random.default_rng(seed).integers(0, 65000, shape).astype(np.uint16)


def test_a_project_that_a_full_disk_refuses_leaves_an_empty_folder(small_disk):
    path = small_disk / "p"
    path.mkdir()
    ballast = fill(small_disk)
    with pytest.raises(StorageError, match="could not be stored"):
        Project.create(path)
    assert list(path.iterdir()) == []
    ballast.unlink()
    Project.create(path).close()


def test_accepting_on_a_full_disk_says_so_and_loses_nothing(small_disk, tmp_path):
    file = save(tmp_path / "a.png", pixels(0, (256, 256)))
    with Project.create(small_disk / "study") as project:
        (tile_id,) = project.add_files([file], um_per_px=UM).added
        accepted = []
        masks = (noise(seed, (256, 256)) for seed in range(200))
        with pytest.raises(StorageError, match=r"disk is full; free some space.*before is safe"):
            accept_all(project, tile_id, masks, accepted)
        assert len(accepted) > 3
        before = snapshot(project)
        assert len(before["versions"][tile_id]) == len(accepted)
        left = list((small_disk / "study" / "annotations").iterdir())
        assert len(left) == len(accepted)
    with Project.open(small_disk / "study") as project:
        assert snapshot(project) == before
        for labels, record in zip(accepted, project.annotations(tile_id), strict=True):
            np.testing.assert_array_equal(project.read_annotation(record.id), labels)


def test_when_space_is_freed_accepting_goes_on(small_disk, tmp_path):
    file = save(tmp_path / "a.png", pixels(0, (64, 64)))
    with Project.create(small_disk / "study") as project:
        (tile_id,) = project.add_files([file], um_per_px=UM).added
        ballast = fill(small_disk)
        with pytest.raises(StorageError, match="disk is full"):
            project.accept(tile_id, noise(0, (64, 64)))
        assert project.annotations(tile_id) == []
        ballast.unlink()
        project.accept(tile_id, noise(1, (64, 64)))
        np.testing.assert_array_equal(project.read_labels(tile_id), noise(1, (64, 64)))


def test_a_project_on_a_full_disk_can_still_be_opened_for_reading(small_disk, tmp_path):
    file = save(tmp_path / "a.png", pixels(0, (64, 64)))
    with Project.create(small_disk / "study") as project:
        (tile_id,) = project.add_files([file], um_per_px=UM).added
        project.accept(tile_id, mask(0, (64, 64)))
    fill(small_disk)
    with Project.open(small_disk / "study", read_only=True) as project:
        np.testing.assert_array_equal(project.read_labels(tile_id), mask(0, (64, 64)))


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_whichever_step_the_disk_refuses_the_project_is_as_before(
    project, tile_id, monkeypatch, call
):
    project.accept(tile_id, mask(0))
    before = snapshot(project)
    files = set(project.path.rglob("*"))

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(f"napari_semimoe.core.disk.os.{call}", full)
    with pytest.raises(
        StorageError, match=r"mask of image_0 could not be stored: the disk is full"
    ):
        project.accept(tile_id, mask(1))
    monkeypatch.undo()
    assert snapshot(project) == before
    assert set(project.path.rglob("*")) == files
    project.accept(tile_id, mask(1))


def test_a_full_disk_at_the_commit_takes_the_array_back(project, tile_id):
    accepted = [mask(0)]
    project.accept(tile_id, accepted[0])
    connection = project._store.connection
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count = {pages}")  # SQLite itself reports a full disk
    masks = (np.random.default_rng(seed).integers(0, 9, (40, 56)) for seed in range(200))
    with pytest.raises(StorageError, match=r"index .* could not be stored: the disk is full"):
        accept_all(project, tile_id, masks, accepted)
    records = project.annotations(tile_id)
    for labels, record in zip(accepted, records, strict=True):
        np.testing.assert_array_equal(project.read_annotation(record.id), labels)
    assert len(list((project.path / "annotations").iterdir())) == len(records)
