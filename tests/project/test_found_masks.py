import numpy as np
import pytest

from napari_semimoe.core.errors import StorageError
from napari_semimoe.project.found_masks import read_found, write_found


def test_masks_come_back_by_tile_whatever_its_name(tmp_path):
    path = tmp_path / "found.npz"
    one, two = np.eye(3, 5, dtype=bool), np.zeros((1, 1), bool)
    write_found(path, {"a/b: ü": one, "names": two})
    np.testing.assert_array_equal(read_found(path, "a/b: ü"), one)
    np.testing.assert_array_equal(read_found(path, "names"), two)
    assert read_found(path, "a/b: ü").dtype == bool
    assert read_found(path, "another") is None


def test_file_that_is_missing_or_damaged_has_no_masks(tmp_path):
    path = tmp_path / "found.npz"
    assert read_found(path, "a") is None
    write_found(path, {"a": np.ones((4, 4), bool)})
    path.write_bytes(path.read_bytes()[:60])
    assert read_found(path, "a") is None
    path.write_bytes(b"")
    assert read_found(path, "a") is None


def test_full_disk_is_said_and_leaves_the_masks_of_before(tmp_path, monkeypatch):
    path = tmp_path / "found.npz"
    write_found(path, {"a": np.ones((2, 2), bool)})

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez_compressed", full)
    with pytest.raises(StorageError, match=r"What the model marks.*the disk is full"):
        write_found(path, {"a": np.zeros((2, 2), bool)})
    assert read_found(path, "a").all()
    assert [each.name for each in tmp_path.iterdir()] == ["found.npz"]
