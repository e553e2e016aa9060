"""What a person painted or accepted stays, whatever arrives, fails or goes meanwhile."""

from __future__ import annotations

import errno
import shutil
import sys
import threading

import numpy as np
import pytest
from PIL import Image

from napari_semimoe.core.settings import RoundSettings
from napari_semimoe.core.states import Pool
from napari_semimoe.project.drafts import drafted_tiles
from napari_semimoe.project.project import Project

from .test_desk import open_tile, paint, tile_named


@pytest.fixture
def full_disk(monkeypatch):
    """Return a function that fills the disk for drafts, and one that frees it."""
    store = np.savez_compressed

    def refuse(*arguments, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    def fill(full=True):
        monkeypatch.setattr(np, "savez_compressed", refuse if full else store)

    return fill


def test_strokes_that_the_disk_refuses_keep_their_tile_on_the_desk(opened, settled, full_disk):
    desk, tile_id = opened.bench.desk, opened.bench.desk.tile_id
    paint(opened)
    painted = desk.labels.copy()
    full_disk()
    for leave in (desk.take_next, desk.read_again, lambda: open_tile(opened, settled, "tile_5")):
        leave()
        settled(opened)
        assert "could not be stored" in opened.messages.text
        assert (desk.tile_id, desk.wanted_id) == (tile_id, tile_id)
        np.testing.assert_array_equal(desk.labels, painted)
    assert desk.clock.is_running
    full_disk(False)
    open_tile(opened, settled, "tile_5")
    assert desk.view.tile.name == "tile_5"
    desk.select(tile_id)
    settled(opened)
    np.testing.assert_array_equal(desk.labels, painted)


@pytest.mark.parametrize("leave", ["for a tile", "for good"])
def test_strokes_painted_while_the_next_is_read_stay_where_the_disk_refuses_them(
    opened, settled, full_disk, leave
):
    bench, desk, go_on = opened.bench, opened.bench.desk, threading.Event()
    project, tile_id = bench.session.project, desk.tile_id
    bench.background.run(go_on.wait)
    if leave == "for a tile":
        desk.select(tile_named(opened, "tile_5").id)
    else:
        bench.close_project()
    paint(opened)
    painted = desk.labels.copy()
    full_disk()
    go_on.set()
    settled(opened)
    assert "could not be stored" in opened.messages.text
    assert (bench.session.project, desk.tile_id) == (project, tile_id)
    np.testing.assert_array_equal(desk.labels, painted)


def test_strokes_that_are_undone_hold_nobody(opened, viewer, settled, full_disk):
    desk = opened.bench.desk
    paint(opened)
    full_disk()
    desk.take_next()
    settled(opened)
    assert opened.bench.session.current_tile == desk.tile_id
    following = opened.bench.session.next_tile()
    viewer.layers["pseudo-label"].undo()
    desk.take_next()
    settled(opened)
    assert desk.tile_id == following


def test_project_stays_open_while_its_strokes_have_no_place(opened, settled, full_disk):
    bench = opened.bench
    project, path = bench.session.project, bench.session.project.path
    paint(opened)
    painted = bench.desk.labels.copy()
    full_disk()
    bench.close_project()
    settled(opened)
    assert bench.session.project is project
    assert opened._pages.isEnabled()
    assert "could not be stored" in opened.messages.text
    np.testing.assert_array_equal(bench.desk.labels, painted)
    full_disk(False)
    bench.close_project()
    settled(opened)
    assert (bench.session.project, bench.desk.view) == (None, None)
    bench.open_project(path)
    settled(opened)
    np.testing.assert_array_equal(bench.desk.labels, painted)


def test_who_paints_without_a_pause_has_a_draft(opened, qtbot, monkeypatch):
    desk = opened.bench.desk
    desk._autosave.setInterval(300)
    path = opened.bench.session.project.path
    for number in range(40):
        paint(opened, 10 + number)
        qtbot.wait(100)  # a pause that is shorter than the draft waits
        if drafted_tiles(path):
            break
    assert drafted_tiles(path)


def test_a_mask_that_is_added_for_the_tile_at_hand_is_shown(opened, images, settled):
    bench, tile = opened.bench, opened.bench.desk.view.tile
    truth = np.zeros(tile.box.shape, np.uint8)
    truth[5:25, 5:25] = 1
    Image.fromarray(truth).save(images / f"{tile.name}_anno.png")
    bench.add_images([images], um_per_px=0.5)
    settled(opened)
    assert bench.desk.view.origin == "annotation"
    np.testing.assert_array_equal(bench.desk.labels, truth)


def test_strokes_are_kept_where_a_mask_is_added_for_the_tile_at_hand(opened, images, settled):
    bench, tile, said = opened.bench, opened.bench.desk.view.tile, []
    bench.said.connect(said.append)
    paint(opened)
    painted = bench.desk.labels.copy()
    Image.new("L", tile.box.shape[::-1], 1).save(images / f"{tile.name}_anno.png")
    bench.add_images([images], um_per_px=0.5)
    settled(opened)
    np.testing.assert_array_equal(bench.desk.labels, painted)
    assert sum("A mask was added to this tile" in sentence for sentence in said) == 1


@pytest.mark.parametrize("arrives", ["prediction", "pixel size"])
def test_what_arrives_while_a_mask_is_accepted_leaves_no_strokes_of_nobody(
    opened, engine, settled, monkeypatch, arrives
):
    bench, desk = opened.bench, opened.bench.desk
    tile, project = desk.view.tile, bench.session.project
    looked_at = desk.labels.copy()
    name = "_read_newer" if arrives == "prediction" else "_read"
    read = getattr(desk, name)

    def accept_first(tile_id):
        view = read(tile_id)
        monkeypatch.setattr(desk, name, read)
        accepted.wait()  # it is under way when the view arrives
        return view

    accepted = threading.Event()
    monkeypatch.setattr(desk, name, accept_first)
    if arrives == "prediction":
        other = bench.session.predict_settings.changed(threshold=0.53)
        bench.session.set_predict_settings(other)
        for job in engine.of_kind("predict"):
            engine.start(job)
            engine.predict(job, shift=3)
        bench.session.process()
        desk.refresh_prediction(tile.id)
    else:
        bench.session.set_um_per_px([tile.id], 0.7)
        desk.read_again()
    desk.accept()
    accepted.set()
    settled(opened)
    np.testing.assert_array_equal(project.read_labels(tile.id), looked_at)
    assert drafted_tiles(project.path) == set()
    desk.select(tile.id)
    settled(opened)
    assert desk.view.origin == "annotation"
    np.testing.assert_array_equal(desk.labels, looked_at)


@pytest.mark.skipif(sys.platform == "win32", reason="what is open cannot be moved there")
def test_nothing_is_stored_where_the_project_is_not_any_more(opened, settled, tmp_path):
    bench, desk = opened.bench, opened.bench.desk
    old, new, tile_id = bench.session.project.path, tmp_path / "moved", desk.tile_id
    paint(opened)
    painted = desk.labels.copy()
    old.rename(new)
    for act in (desk.keep_draft, desk.accept, desk.keep_draft, desk.take_next):
        opened.messages.dismiss()
        act()
        settled(opened)
        assert opened.messages.is_error
        assert not old.exists()
        np.testing.assert_array_equal(desk.labels, painted)
    new.rename(old)
    desk.accept()
    settled(opened)
    np.testing.assert_array_equal(bench.session.project.read_labels(tile_id), painted)


@pytest.mark.parametrize("list_", ["tiles", "taught"])
def test_what_was_asked_for_in_one_project_is_not_done_in_the_next(
    opened, settled, tmp_path, monkeypatch, list_
):
    bench = opened.bench
    first, second = bench.session.project.path, tmp_path / "second"
    with Project.create(second) as project:
        project.add_folder(tmp_path / "images", um_per_px=0.5)
    real = Project.open
    enabled = []

    def open_(path, **options):
        if path == second:
            if list_ == "tiles":
                bench.set_pool([2], Pool.EXCLUDED)  # while it is being opened
            else:
                opened.retrain_page.history._on_exclude_wanted(2)
            enabled.append(opened._pages.isEnabled())
        return real(path, **options)

    monkeypatch.setattr(Project, "open", open_)
    bench.open_project(first)
    bench.open_project(second)
    settled(opened)
    assert bench.session.project.path == second
    assert enabled == [False]
    assert Pool.EXCLUDED not in {tile.pool for tile in bench.session.tiles()}
    assert "Nothing was done" in opened.messages.text


def test_a_damaged_prediction_is_made_again(opened, engine, settled):
    bench = opened.bench
    tile = tile_named(opened, "tile_4")
    open_tile(opened, settled, "tile_4", engine)
    record = bench.session.project.prediction(tile.id)
    open_tile(opened, settled, "tile_1")
    shutil.rmtree(bench.session.project.path / record.path / "maps")
    open_tile(opened, settled, "tile_4", engine)
    assert bench.desk.view.prediction is not None
    assert bench.session.project.prediction(tile.id).id != record.id


def test_a_click_on_pause_does_not_wait_for_the_end_that_is_being_stored(
    opened, engine, settled, monkeypatch
):
    session = opened.bench.session
    opened.bench.desk.accept()
    settled(opened)
    session.start_round(RoundSettings())
    (job,) = engine.of_kind("train")
    engine.start(job)
    storing, go_on = threading.Event(), threading.Event()
    finish = session.project.finish_round

    def slow(*arguments, **options):
        storing.set()
        go_on.wait()
        return finish(*arguments, **options)

    monkeypatch.setattr(session.project, "finish_round", slow)
    engine.train(job)
    thread = threading.Thread(target=session.process)
    thread.start()
    storing.wait()
    paused = threading.Thread(target=session.pause_round)
    paused.start()
    paused.join(5)
    waits = paused.is_alive()
    go_on.set()
    thread.join()
    assert not waits
