import shutil

import numpy as np
import pytest
from zarr.storage import _local

from napari_semimoe.core.errors import ProjectError, ProjectFormatError
from napari_semimoe.core.values import Box
from napari_semimoe.project.arrays import (
    read_array,
    read_prediction,
    write_array,
    write_prediction,
)
from napari_semimoe.project.predictions import NewPrediction
from napari_semimoe.project.project import Project
from tests.project.making import add_prediction, mask, prediction


@pytest.mark.parametrize("shape", [(1, 1), (7, 513), (522, 775)])
def test_a_prediction_comes_back_as_it_was_written(tmp_path, shape):
    made = prediction(shape)
    write_prediction(tmp_path / "p.zarr", made)
    read = read_prediction(tmp_path / "p.zarr")
    for name in made.experts:
        assert read.experts[name].dtype == np.float32
        np.testing.assert_allclose(read.experts[name], made.experts[name], atol=3e-4)
        np.testing.assert_allclose(read.gated[name], made.gated[name], atol=3e-4)
    np.testing.assert_allclose(read.class_probabilities, made.class_probabilities, atol=3e-4)
    np.testing.assert_allclose(read.disagreement, made.disagreement, atol=3e-4)
    np.testing.assert_array_equal(read.instances, made.instances)
    np.testing.assert_allclose(read.gates, made.gates)
    assert read.classes == made.classes
    assert read.expert_names == made.expert_names


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.uint16, np.float32])
def test_an_array_comes_back_whole_and_in_part(tmp_path, dtype):
    wanted = np.random.default_rng(0).integers(0, 2, (700, 2100)).astype(dtype)
    write_array(tmp_path / "a.zarr", wanted)
    np.testing.assert_array_equal(read_array(tmp_path / "a.zarr"), wanted)
    box = Box(510, 2040, 515, 2100)
    np.testing.assert_array_equal(read_array(tmp_path / "a.zarr", box), wanted[box.slices])


def test_an_array_that_could_not_be_finished_leaves_nothing(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("napari_semimoe.core.disk.os.fsync", refuse)
    with pytest.raises(OSError, match="No space left"):
        write_array(tmp_path / "a.zarr", np.zeros((4, 4), np.uint8))
    assert list(tmp_path.iterdir()) == []


def test_no_file_of_a_prediction_is_replaced_for_windows_may_refuse_it(tmp_path, monkeypatch):
    do, written = _local._put, []

    def put(path, *rest, **options):
        written.append(path)
        return do(path, *rest, **options)

    monkeypatch.setattr(_local, "_put", put)
    write_prediction(tmp_path / "a.zarr", prediction((7, 9)))
    assert len(written) > 3
    assert len(set(written)) == len(written)


def test_a_missing_array_is_told_in_words(tmp_path):
    with pytest.raises(ProjectFormatError, match=r"a\.zarr is missing or damaged"):
        read_array(tmp_path / "a.zarr")


def test_what_may_not_be_read_is_told_and_a_prediction_is_made_again(
    project, tile_id, tmp_path, monkeypatch
):
    add_prediction(project, tile_id)

    def refuse(*_):
        raise PermissionError(13, "Permission denied", "c/0/0")

    monkeypatch.setattr("napari_semimoe.project.arrays._open", refuse)
    with pytest.raises(ProjectFormatError, match="you have no rights to c/0/0"):
        read_array(tmp_path / "a.zarr")
    assert project.read_prediction(tile_id) is None


def test_a_tile_has_its_latest_prediction_and_no_other(project, tile_id):
    assert project.read_prediction(tile_id) is None
    assert project.prediction(tile_id) is None
    add_prediction(project, tile_id, seed=1, model="round 1")
    made = add_prediction(project, tile_id, seed=2, model="round 2")
    np.testing.assert_array_equal(project.read_prediction(tile_id).instances, made.instances)
    record = project.prediction(tile_id)
    assert (record.model, record.disagreement, record.foreground) == ("round 2", 0.25, 0.5)
    assert record.expert_names == made.expert_names
    assert np.shape(record.gates) == (3, 3)
    tile = project.tile(tile_id)
    assert (tile.prediction_id, tile.disagreement) == (record.id, 0.25)
    assert len(list((project.path / "predictions").iterdir())) == 1


def test_a_prediction_never_touches_a_curated_mask(project, tile_id):
    project.accept(tile_id, mask(1))
    add_prediction(project, tile_id)
    np.testing.assert_array_equal(project.read_labels(tile_id), mask(1))
    assert len(project.annotations(tile_id)) == 1


def test_a_damaged_prediction_is_as_good_as_none(project, tile_id):
    add_prediction(project, tile_id)
    shutil.rmtree(project.path / project.prediction(tile_id).path / "maps" / "c")
    assert project.read_prediction(tile_id) is None


def test_a_prediction_written_but_never_added_is_swept(project):
    path = project.new_prediction_path()
    write_prediction(path, prediction((8, 8)))
    project.close()
    with Project.open(project.path) as again:
        assert again.swept == [path.name]
    assert not path.exists()


def test_a_prediction_outside_the_project_is_refused_in_words(project, tile_id, tmp_path):
    write_prediction(tmp_path / "p.zarr", prediction((40, 56)))
    for wrong in (tmp_path / "p.zarr", project.new_prediction_path()):
        new = NewPrediction(wrong, "m", 0, 0, [[1.0]], ["segmentation"])
        with pytest.raises(ProjectError, match="must be a folder inside"):
            project.add_prediction(tile_id, new)


def test_a_prediction_that_is_replaced_while_it_is_read_gives_the_newer(
    project, tile_id, monkeypatch
):
    add_prediction(project, tile_id, seed=1)
    newer = []

    def read(path):
        if not newer:
            newer.append(add_prediction(project, tile_id, seed=2))
        return read_prediction(path)

    monkeypatch.setattr("napari_semimoe.project.predictions.read_prediction", read)
    found = project.read_prediction(tile_id)
    np.testing.assert_array_equal(found.instances, newer[0].instances)
    assert project.prediction(tile_id) is not None
