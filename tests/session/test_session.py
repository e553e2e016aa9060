from __future__ import annotations

import numpy as np
import pytest
from psygnal import EmitLoopError

from napari_semimoe.core.errors import ProjectError, ProjectFormatError, StorageError
from napari_semimoe.core.states import Pool
from napari_semimoe.project.project import Project
from napari_semimoe.session import Session
from napari_semimoe.session.queue import is_open

from .conftest import write_image
from .fake_engine import FakeEngine
from .test_predictions import heard, ids, select


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


def mask(value=1):
    labels = np.zeros((40, 56), np.uint16)
    labels[2:9, 2:9] = value
    return labels


def names(session):
    return [tile.name for tile in session.tiles()]


def name_of(session, tile_id):
    return session.project.tile(tile_id).name


def test_tiles_are_counted_like_a_person_counts(filled):
    assert names(filled) == [f"tile_{n}" for n in range(1, 11)]


def test_next_tile_skips_those_with_a_mask_and_goes_round(no_starter, filled):
    assert name_of(filled, filled.next_tile()) == "tile_3"
    select(filled, "tile_10")
    assert name_of(filled, filled.next_tile()) == "tile_3"


def test_next_tile_is_none_when_everything_has_a_mask(no_starter, filled):
    for number in range(3, 10):
        filled.accept(ids(filled)[f"tile_{number}"], mask())
    select(filled, "tile_10")
    assert filled.next_tile() is None
    filled.accept(filled.current_tile, mask())
    assert filled.next_tile() is None


def test_excluded_tile_is_not_offered(no_starter, filled):
    filled.exclude(ids(filled)["tile_3"])
    assert name_of(filled, filled.next_tile()) == "tile_4"


def test_previous_tile_walks_back_the_way_one_came(no_starter, filled):
    for name in ("tile_5", "tile_9", "tile_4"):
        select(filled, name)
    walked = []
    for _ in range(2):
        filled.select(filled.previous_tile())
        walked.append(name_of(filled, filled.current_tile))
    assert walked == ["tile_9", "tile_5"]
    assert name_of(filled, filled.previous_tile()) == "tile_4"  # the one before in the queue


def test_disagreement_order_brings_the_hardest_open_tile_first(starter, filled, engine):
    select(filled, "tile_3")
    for job, value in zip(engine.of_kind("predict"), (0.1, 0.3, 0.2, 0.4), strict=True):
        engine.predict(job, disagreement=value)
    filled.process()
    filled.queue_order = "disagreement"
    assert names(filled)[:5] == ["tile_6", "tile_4", "tile_5", "tile_3", "tile_7"]
    assert names(filled)[-2:] == ["tile_1", "tile_2"]
    filled.accept(ids(filled)["tile_6"], mask())
    filled.select(ids(filled)["tile_6"])
    assert name_of(filled, filled.next_tile()) == "tile_4"


def test_unknown_tile_cannot_be_selected(no_starter, filled):
    with pytest.raises(ProjectError):
        filled.select(999)
    assert filled.current_tile is None


def test_accept_stores_who_when_from_what_and_how_long(starter, filled, engine, monkeypatch):
    clock = Clock()
    monkeypatch.setattr("napari_semimoe.session.queue.time.monotonic", clock)
    changed = heard(filled.tiles_changed)
    select(filled, "tile_3")
    engine.predict_everything()
    filled.process()
    clock.now += 42.0
    baseline = np.ones((40, 56), np.uint16)
    record = filled.accept(filled.current_tile, mask(), baseline)
    assert record.author == "Dr Test"
    assert record.seconds == 42.0
    assert record.model == filled.model_name
    assert record.changed_px == 40 * 56 - 7 * 7
    assert filled.project.tile(record.tile_id).pool is Pool.CURATED
    assert len(changed) == 1


def test_second_version_remembers_the_model_of_the_first(starter, filled, engine):
    select(filled, "tile_3")
    engine.predict_everything()
    filled.process()
    tile = filled.current_tile
    first = filled.accept(tile, mask(), mask(2))
    second = filled.accept(tile, mask(3), mask())
    assert (first.version, second.version) == (1, 2)
    assert second.model == first.model


def test_disk_full_while_accepting_loses_nothing_and_is_said(no_starter, filled, monkeypatch):
    tile = ids(filled)["tile_3"]
    filled.accept(tile, mask(1))

    def full(*args, **values):
        raise StorageError("The disk is full.")

    changed = heard(filled.tiles_changed)
    with monkeypatch.context() as patch:
        patch.setattr("napari_semimoe.project.annotations.write_array", full)
        with pytest.raises(StorageError):
            filled.accept(tile, mask(2))
    assert changed == []
    assert np.array_equal(filled.project.read_labels(tile), mask(1))
    assert filled.accept(tile, mask(2)).version == 2


def test_reopened_project_is_where_it_was_left(starter, filled, engine):
    filled.queue_order = "disagreement"
    select(filled, "tile_5")
    path, tile = filled.project.path, filled.current_tile
    filled.close()
    assert filled.current_tile is None
    other = Session(FakeEngine(path.parent))
    other.open(path)
    assert other.current_tile == tile
    assert other.queue_order == "disagreement"
    other.close()


def test_a_folder_that_cannot_be_opened_leaves_the_open_project(filled, tmp_path):
    project, folder = filled.project, tmp_path / "pictures"
    folder.mkdir()
    with pytest.raises(ProjectFormatError, match="not a Semi-MoE project"):
        filled.open(folder)
    (folder / "a.png").write_bytes(b"1")
    with pytest.raises(ProjectError, match="new or empty folder"):
        filled.new(folder)
    assert filled.project is project
    filled.open(project.path / "project.json")  # the file names its folder


def test_failure_logs_go_to_the_open_project(filled, engine, tmp_path):
    assert engine.failure_dir == filled.project.path / "logs"
    filled.close()
    assert engine.failure_dir == tmp_path / "failures"


def test_opening_another_project_closes_the_first(filled, tmp_path):
    first = filled.project.path
    filled.new(tmp_path / "second")
    other = Session(FakeEngine(tmp_path))
    other.open(first)  # not locked any more
    other.close()


@pytest.mark.parametrize("kind", ["ome-zarr", "png", "geojson"])
def test_export_writes_the_curated_masks(no_starter, filled, tmp_path, kind):
    filled.accept(ids(filled)["tile_3"], mask())
    filled.export(tmp_path / "out", kind)
    assert list((tmp_path / "out").iterdir())


def test_a_second_folder_is_predicted_for_the_order_of_the_queue(starter, filled, engine, tmp_path):
    filled.queue_order = "disagreement"
    filled.select(filled.tiles()[0].id)
    engine.predict_everything()
    filled.process()
    more = tmp_path / "more"
    more.mkdir()
    for number in range(90, 93):
        write_image(more / f"more_{number}.png", number)
    filled.add_folder(more, um_per_px=1.0)
    engine.predict_everything()
    filled.process()
    more = [tile.disagreement for tile in filled.tiles() if "more" in tile.name]
    assert len(more) == 3
    assert None not in more


def test_a_tile_that_is_moved_back_to_review_waits_for_a_person_again(filled):
    tile = next(tile for tile in filled.tiles() if tile.annotation_id)
    assert not is_open(tile)
    filled.set_pool(tile.id, Pool.UNLABELLED)
    assert is_open(filled.project.tile(tile.id))


def test_unknown_kind_of_export_is_refused_in_words(filled, tmp_path):
    with pytest.raises(ValueError, match=r"must be one of ome-zarr, ome-zarr-0\.4, png"):
        filled.export(tmp_path / "out", "jpeg")


def broken(*_):
    raise RuntimeError("a listener's fault")


def test_a_project_that_could_not_be_closed_leaves_the_other_one_free(
    starter, filled, engine, tmp_path
):
    select(filled, "tile_3")
    engine.predict_everything()
    filled.prediction_ready.connect(broken)
    with pytest.raises(EmitLoopError) as error:
        filled.new(tmp_path / "second")
    assert filled.project.path == tmp_path / "project"
    Project.open(tmp_path / "second").close()  # not locked
    assert error


def test_a_project_that_could_not_be_shown_is_closed_again(session, tmp_path):
    session.tiles_changed.connect(broken)
    with pytest.raises(EmitLoopError):
        session.new(tmp_path / "project")
    assert session.project is None
    Project.open(tmp_path / "project").close()  # not locked
