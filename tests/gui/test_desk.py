from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from qtpy.QtCore import Qt, QTimer
from qtpy.QtTest import QTest

from napari_semimoe.core.errors import StorageError
from napari_semimoe.core.settings import PredictSettings
from napari_semimoe.core.states import Pool
from napari_semimoe.core.values import IGNORE
from napari_semimoe.gui import tile_layers
from napari_semimoe.gui.steps import Step
from napari_semimoe.project.arrays import write_prediction
from napari_semimoe.project.drafts import drafted_tiles, read_draft
from napari_semimoe.project.predictions import NewPrediction

from .acting import press, stroke


def tile_named(panel, name):
    return next(tile for tile in panel.bench.session.tiles() if tile.name == name)


def open_tile(panel, settled, name, engine=None):
    panel.bench.desk.select(tile_named(panel, name).id)
    settled(panel)
    if engine is not None:
        engine.predict_everything()
        settled(panel)


def accept_all_but_one(panel, settled, engine):
    for _ in range(3):
        engine.predict_everything()
        settled(panel)
        panel.bench.desk.accept()
        settled(panel)


def paint(panel, value=9, where=np.s_[2:8, 2:8]):
    """Change the mask as an undoable step, as a stroke does."""
    layer = panel.bench.desk.layers.labels_layer
    layer.data_setitem(np.nonzero(np.ones_like(layer.data[where])), np.uint16(value))


def test_next_asked_for_while_the_project_is_left_meets_no_tile(opened, settled):
    bench, said = opened.bench, []
    bench.said.connect(said.append)
    bench.failed.connect(said.append)
    bench.close_project()
    bench.desk.take_next()
    settled(opened)
    assert (bench.session.project, said) == (None, [])


# -- showing ------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(10, 10), (3, 60, 80)])
def test_a_mask_of_another_size_from_a_script_is_taken_back(opened, viewer, qtbot, shape):
    desk, layer = opened.bench.desk, viewer.layers["pseudo-label"]
    paint(opened)
    before, told = layer.data.copy(), []
    desk.refused.connect(told.append)
    layer.data = np.ones(shape, np.uint16)
    np.testing.assert_array_equal(desk.labels, before)
    assert "60 x 80 px, got " + " x ".join(map(str, shape)) in told[0]
    path = opened.bench.session.project.path
    qtbot.waitUntil(lambda: bool(drafted_tiles(path)))
    stored = read_draft(path, desk.view.tile)
    np.testing.assert_array_equal(stored.labels, before)


def test_tile_is_shown_in_six_layers_from_tissue_to_mask(opened, viewer):
    assert [layer.name for layer in viewer.layers] == [
        "image",
        "expert: segmentation",
        "expert: distance",
        "expert: boundary",
        "disagreement",
        "pseudo-label",
    ]
    assert viewer.layers["image"].rgb
    assert viewer.layers.selection.active is viewer.layers["pseudo-label"]


def test_the_first_tile_lets_the_window_breathe_between_its_layers(
    panel, viewer, starter, images, tmp_path, settled, qtbot
):
    turns, clock = [], QTimer()
    clock.timeout.connect(lambda: turns.append("turn"))
    viewer.layers.events.inserted.connect(lambda event: turns.append(event.value.name))
    clock.start(0)
    panel.bench.new_project(tmp_path / "project", ("background", "gland"))
    settled(panel)
    panel.bench.add_images([images], um_per_px=0.5)
    settled(panel)
    clock.stop()
    names = [layer.name for layer in viewer.layers]
    assert len(names) == 6
    for name, following in pairwise(names):
        assert "turn" in turns[turns.index(name) : turns.index(following)]
    qtbot.waitUntil(lambda: panel.bench.desk.view is not None)
    assert panel.bench.desk._first_view is None  # its arrays go with the tile


def test_a_prediction_that_comes_while_the_first_layers_are_made_is_shown(
    panel, viewer, engine, starter, images, tmp_path, settled
):
    def predict_soon(event):
        if event.value.name == "image":
            engine.predict_everything()

    viewer.layers.events.inserted.connect(predict_soon)
    panel.bench.new_project(tmp_path / "project", ("background", "gland"))
    settled(panel)
    panel.bench.add_images([images], um_per_px=0.5)
    settled(panel)
    assert panel.bench.desk.view.prediction is not None
    assert viewer.layers["expert: segmentation"].data.any()


def test_layers_carry_microns(opened, viewer):
    assert viewer.canvas.overlays.scale_bar.visible
    for layer in viewer.layers:
        assert tuple(layer.scale[-2:]) == (0.5, 0.5)
        assert [str(unit) for unit in layer.units[-2:]] == ["micrometer", "micrometer"]


def test_distance_map_is_diverging_and_centred_at_zero(opened, viewer):
    layer = viewer.layers["expert: distance"]
    assert tuple(layer.contrast_limits) == (-1, 1)
    low, middle, high = layer.colormap.map(np.array([0.0, 0.5, 1.0]))
    assert middle[:3].min() > 0.9  # zero is nearly white
    assert np.abs(low - high).max() > 0.3


def test_unlearnt_pixels_are_grey(opened, viewer):
    red, green, blue, alpha = viewer.layers["pseudo-label"].colormap.map(IGNORE)
    assert alpha == 1
    assert max(red, green, blue) - min(red, green, blue) < 0.05


def test_tiles_of_other_shapes_reuse_the_same_layers(opened, viewer, settled, engine):
    before = list(viewer.layers)
    for name in ("tile_4", "tile_6", "tile_3"):
        open_tile(opened, settled, name, engine)
        shape = tile_named(opened, name).box.shape
        assert [layer.data.shape[:2] for layer in viewer.layers] == [shape] * 6
    assert list(viewer.layers) == before


def test_undo_after_a_swap_leaves_the_new_tile_alone(opened, viewer, settled, engine):
    paint(opened, 7)
    open_tile(opened, settled, "tile_5", engine)
    layer = viewer.layers["pseudo-label"]
    shown = layer.data.copy()
    layer.undo()
    layer.redo()
    np.testing.assert_array_equal(layer.data, shown)


def test_a_stroke_that_was_not_ended_leaves_the_next_tile_alone(opened, viewer, settled, engine):
    layer = viewer.layers["pseudo-label"]
    layer.mode, layer.selected_label = "paint", 9
    stroke(viewer, layer, (20, 20), (30, 40), (40, 20), button=Qt.MouseButton.RightButton)
    open_tile(opened, settled, "tile_4", engine)
    desk = opened.bench.desk
    assert not desk.has_strokes
    np.testing.assert_array_equal(desk.labels, desk.view.labels)
    np.testing.assert_array_equal(desk.view.labels, desk.view.prediction.instances)


def test_swap_keeps_the_tool_in_hand(opened, viewer, settled, engine):
    viewer.layers["pseudo-label"].mode = "paint"
    open_tile(opened, settled, "tile_5", engine)
    assert viewer.layers["pseudo-label"].mode == "paint"


@pytest.mark.parametrize("name", tile_layers.NAMES)
def test_deleted_layer_comes_back_with_the_next_tile(opened, viewer, settled, engine, name):
    del viewer.layers[name]
    open_tile(opened, settled, "tile_5", engine)
    assert [layer.name for layer in viewer.layers] == list(tile_layers.NAMES)


def test_what_was_split_off_from_the_image_keeps_its_pixels(opened, viewer, settled, engine):
    red = viewer.layers["image"].data[..., 0]  # a view, as napari's 'Split RGB' makes it
    before, shape = red.copy(), opened.bench.desk.view.shape
    open_tile(opened, settled, "tile_5", engine)
    assert opened.bench.desk.view.shape == shape
    assert (viewer.layers["image"].data[..., 0] != before).any()
    np.testing.assert_array_equal(red, before)


def test_layers_of_other_origin_are_left_alone(opened, viewer, settled, engine):
    triangle = np.array([[0, 0], [5, 5], [5, 0]])
    mine = viewer.add_shapes([triangle], shape_type="polygon", name="my notes")
    open_tile(opened, settled, "tile_4", engine)
    del viewer.layers["expert: distance"]
    open_tile(opened, settled, "tile_5", engine)
    assert mine in viewer.layers
    assert len(viewer.layers) == 7
    opened.bench.close_project()
    settled(opened)
    assert list(viewer.layers) == [mine]


def test_foreign_layer_of_the_same_name_is_not_mistaken_for_ours(opened, viewer, settled, engine):
    del viewer.layers["image"]
    theirs = viewer.add_image(np.zeros((5, 5)), name="image")
    open_tile(opened, settled, "tile_5", engine)
    assert theirs.data.shape == (5, 5)


def test_tile_that_the_person_left_is_not_shown_late(opened, settled):
    first, last = tile_named(opened, "tile_3"), tile_named(opened, "tile_5")
    shown = []
    opened.bench.desk.tile_shown.connect(lambda view: shown.append(view.tile.id))
    opened.bench.desk.select(first.id)
    opened.bench.desk.select(last.id)
    settled(opened)
    assert set(shown) == {last.id}


# -- predictions --------------------------------------------------------------------------------


def predict_again(panel, engine, settled, shift):
    """Let the model in charge change, so that the tile is predicted anew."""
    panel.bench.session.set_predict_settings(
        panel.bench.session.predict_settings.changed(threshold=0.5 + shift / 100)
    )
    for job in engine.of_kind("predict"):
        engine.start(job)
        engine.predict(job, shift=shift)
    settled(panel)


def test_new_prediction_replaces_a_suggestion_that_nobody_touched(opened, viewer, engine, settled):
    before = viewer.layers["pseudo-label"].data.copy()
    predict_again(opened, engine, settled, shift=3)
    after = viewer.layers["pseudo-label"].data
    assert (before != after).any()
    np.testing.assert_array_equal(after, opened.bench.desk.view.prediction.instances)
    assert not opened.bench.desk.has_strokes


def test_new_prediction_never_paints_over_strokes(opened, viewer, engine, settled):
    paint(opened, 9)
    painted = viewer.layers["pseudo-label"].data.copy()
    predict_again(opened, engine, settled, shift=3)
    np.testing.assert_array_equal(viewer.layers["pseudo-label"].data, painted)
    assert "Your strokes are kept" in opened.messages.text
    shown = viewer.layers["expert: segmentation"].data > 0
    np.testing.assert_array_equal(shown, opened.bench.desk.view.prediction.instances > 0)


def predict_by_round_7(panel, settled):
    """Let the tile on the desk have the same prediction from another model."""
    desk, project = panel.bench.desk, panel.bench.session.project
    path = project.new_prediction_path()
    write_prediction(path, desk.view.prediction)
    project.add_prediction(desk.tile_id, NewPrediction(path, "round 7", 0.2, 0.5, [[1.0]], ["a"]))
    desk.refresh_prediction(desk.tile_id)
    settled(panel)


@pytest.mark.parametrize("start_over", [False, True])
def test_a_mask_is_noted_with_the_model_whose_suggestion_was_corrected(
    opened, engine, settled, start_over
):
    desk, session = opened.bench.desk, opened.bench.session
    first, tile_id = session.project.prediction(desk.tile_id).model, desk.tile_id
    paint(opened, 9)
    desk.keep_draft()
    settled(opened)
    predict_by_round_7(opened, settled)
    open_tile(opened, settled, "tile_4")
    desk.select(tile_id)  # the strokes come back from the disk
    settled(opened)
    if start_over:
        desk.start_over()
    desk.accept()
    settled(opened)
    record = session.project.annotations(tile_id)[-1]
    assert (record.model, record.round) == (("round 7", 7) if start_over else (first, None))


def test_a_suggestion_taken_by_start_over_is_accepted_as_it_is(opened, engine, settled):
    desk, session, tile_id = opened.bench.desk, opened.bench.session, opened.bench.desk.tile_id
    paint(opened, 9)
    desk.accept()
    settled(opened)
    desk.select(tile_id)
    settled(opened)
    predict_by_round_7(opened, settled)
    desk.start_over()
    assert desk.has_strokes  # leaving the tile keeps it
    desk.accept()
    settled(opened)
    record = session.project.annotations(tile_id)[-1]
    found = (record.version, record.model, record.origin, record.changed_px)
    assert found == (2, "round 7", "accepted as is", 0)


def test_what_was_drawn_before_any_prediction_came_is_nobody_s_suggestion(
    unpredicted, engine, settled
):
    desk, tile_id = unpredicted.bench.desk, unpredicted.bench.desk.tile_id
    paint(unpredicted, 9)
    engine.predict_everything()
    settled(unpredicted)
    assert desk.view.prediction is not None
    desk.accept()
    settled(unpredicted)
    record = unpredicted.bench.session.project.annotations(tile_id)[-1]
    assert (record.model, record.origin) == (None, "corrected")


def test_what_is_painted_while_the_tile_is_opened_again_stays(opened, viewer, settled):
    desk = opened.bench.desk
    desk.select(desk.tile_id)
    paint(opened, 9)
    painted = viewer.layers["pseudo-label"].data.copy()
    settled(opened)
    np.testing.assert_array_equal(viewer.layers["pseudo-label"].data, painted)
    assert desk.has_strokes


def test_a_tile_that_is_asked_for_twice_is_read_once(opened, settled, monkeypatch):
    desk, reads = opened.bench.desk, []
    read = desk._read
    monkeypatch.setattr(desk, "_read", lambda tile_id: reads.append(tile_id) or read(tile_id))
    wanted = tile_named(opened, "tile_2").id
    desk.select(wanted)
    desk.select(wanted)  # as a double click does
    settled(opened)
    assert desk.tile_id == wanted
    assert reads == [wanted]


def test_a_person_who_moves_on_while_a_pixel_size_is_corrected_is_not_called_back(opened, settled):
    desk, wanted = opened.bench.desk, tile_named(opened, "tile_2").id
    opened.bench.set_um_per_px([desk.tile_id], 0.7)
    desk.select(wanted)
    settled(opened)
    assert desk.tile_id == wanted


def test_a_corrected_pixel_size_of_another_image_leaves_the_strokes_their_undo(
    opened, viewer, settled
):
    before = opened.bench.desk.labels.copy()
    paint(opened)
    opened.bench.set_um_per_px([tile_named(opened, "tile_2").id], 0.7)
    settled(opened)
    viewer.layers["pseudo-label"].undo()
    np.testing.assert_array_equal(opened.bench.desk.labels, before)


def test_what_is_painted_while_a_mask_is_stored_is_kept_when_the_project_closes(
    opened, viewer, settled
):
    desk, tile = opened.bench.desk, opened.bench.desk.view.tile
    path = opened.bench.session.project.path
    paint(opened, 9)
    desk.accept()
    paint(opened, 11, where=np.s_[2:5, 2:5])
    painted = viewer.layers["pseudo-label"].data.copy()
    opened.bench.close_project()
    settled(opened)
    draft = read_draft(path, tile)
    np.testing.assert_array_equal(draft.labels, painted)
    assert (draft.baseline != painted).any()


def test_start_over_takes_the_suggestion_and_can_be_undone(opened, viewer):
    layer = viewer.layers["pseudo-label"]
    paint(opened, 9)
    painted = layer.data.copy()
    opened.refine_page.start_over.click()
    np.testing.assert_array_equal(layer.data, opened.bench.desk.view.prediction.instances)
    layer.undo()
    np.testing.assert_array_equal(layer.data, painted)


def test_start_over_once_more_brings_the_stored_mask_back_after_the_tile_was_left(
    opened, viewer, settled, engine
):
    open_tile(opened, settled, "tile_1", engine)  # which came with a mask
    stored = viewer.layers["pseudo-label"].data.copy()
    paint(opened, 9)
    open_tile(opened, settled, "tile_3", engine)
    open_tile(opened, settled, "tile_1", engine)
    assert opened.bench.desk.has_strokes
    opened.refine_page.start_over.click()
    assert "start over once more" in opened.refine_page.state.text()
    opened.refine_page.start_over.click()
    np.testing.assert_array_equal(viewer.layers["pseudo-label"].data, stored)
    assert not opened.bench.desk.has_strokes
    opened.refine_page.start_over.click()
    np.testing.assert_array_equal(
        viewer.layers["pseudo-label"].data, opened.bench.desk.view.prediction.instances
    )


def test_a_new_suggestion_arrives_where_strokes_of_before_were_started_over(
    opened, viewer, settled, engine
):
    first = opened.bench.desk.view.tile.name
    paint(opened, 9)
    open_tile(opened, settled, "tile_5", engine)
    open_tile(opened, settled, first, engine)
    assert opened.bench.desk.view.origin == "draft"
    opened.refine_page.start_over.click()
    assert "Your strokes" not in opened.refine_page.state.text()
    predict_again(opened, engine, settled, shift=3)
    np.testing.assert_array_equal(
        viewer.layers["pseudo-label"].data, opened.bench.desk.view.prediction.instances
    )
    assert opened.bench.desk.view.origin == "prediction"


@pytest.mark.parametrize("name", [tile_layers.LABELS, tile_layers.IMAGE])
def test_a_layer_that_was_moved_off_the_tissue_is_put_back_before_anything_is_stored(
    opened, viewer, settled, engine, name
):
    desk, tile = opened.bench.desk, opened.bench.desk.view.tile
    layer = viewer.layers[name]
    layer.affine = np.array([[1.0, 0, 20], [0, 1, -7], [0, 0, 1]])  # as the transform tool does
    desk.accept()
    settled(opened)
    assert "had been moved off the tissue" in opened.messages.text
    assert opened.bench.session.project.annotations(tile.id) == []
    assert layer.data_to_world((2, 4)) == (1, 2)
    layer.rotate = 30
    open_tile(opened, settled, "tile_5", engine)
    assert layer.data_to_world((2, 4)) == (1, 2)
    desk.accept()
    settled(opened)
    assert opened.bench.session.project.tile(tile_named(opened, "tile_5").id).annotation_id


def test_who_paints_on_while_a_mask_is_stored_is_told_of_no_other_mask(opened, settled, qtbot):
    told = []
    opened.bench.desk.said.connect(told.append)
    opened.bench.desk.accept()
    paint(opened, 9)
    settled(opened)
    assert not [text for text in told if "A mask was added" in text]


# -- drafts -------------------------------------------------------------------------------------


def test_unaccepted_strokes_wait_while_the_person_is_elsewhere(opened, viewer, settled, engine):
    first = opened.bench.desk.view.tile
    paint(opened, 9)
    painted = viewer.layers["pseudo-label"].data.copy()
    open_tile(opened, settled, "tile_5", engine)
    assert drafted_tiles(opened.bench.session.project.path) == {first.content_hash}
    open_tile(opened, settled, first.name)
    np.testing.assert_array_equal(viewer.layers["pseudo-label"].data, painted)
    assert opened.bench.desk.changed_px == 36
    assert "strokes" in opened.messages.text


def test_strokes_made_while_the_next_tile_is_read_are_kept(opened, settled):
    desk, first = opened.bench.desk, opened.bench.desk.tile_id
    desk.select(tile_named(opened, "tile_4").id)
    paint(opened, 9)
    assert desk.tile_id == first
    settled(opened)
    assert desk.tile_id != first
    desk.select(first)
    settled(opened)
    assert (desk.labels[:6, :6] == 9).all()


def test_accept_while_another_tile_is_read_stores_neither(opened, settled):
    desk, first = opened.bench.desk, opened.bench.desk.tile_id
    other = tile_named(opened, "tile_4").id
    desk.select(other)
    desk.accept()
    settled(opened)
    assert desk.tile_id == other
    project = opened.bench.session.project
    assert [len(project.annotations(tile)) for tile in (first, other)] == [0, 0]


def test_a_tile_that_cannot_be_read_leaves_the_one_on_the_desk_to_accept(
    opened, settled, monkeypatch
):
    desk, first = opened.bench.desk, opened.bench.desk.tile_id

    def broken(*_):
        raise StorageError("The disk is gone.")

    with monkeypatch.context() as patch:
        patch.setattr("napari_semimoe.gui.desk.read_tile_view", broken)
        desk.select(tile_named(opened, "tile_4").id)
        settled(opened)
    desk.accept()
    settled(opened)
    assert len(opened.bench.session.project.annotations(first)) == 1


def test_strokes_survive_closing_the_project(opened, viewer, settled):
    paint(opened, 9)
    tile, path = opened.bench.desk.view.tile, opened.bench.session.project.path
    painted = viewer.layers["pseudo-label"].data.copy()
    opened.bench.close_project()
    settled(opened)
    assert len(viewer.layers) == 0
    opened.bench.open_project(path)
    settled(opened)
    assert opened.bench.desk.view.tile.id == tile.id
    np.testing.assert_array_equal(viewer.layers["pseudo-label"].data, painted)


def test_strokes_are_stored_soon_after_the_last_one(opened, qtbot):
    paint(opened, 9)
    path = opened.bench.session.project.path
    qtbot.waitUntil(lambda: bool(drafted_tiles(path)))


def test_undone_strokes_leave_no_draft(opened, viewer, settled, engine):
    paint(opened, 9)
    opened.bench.desk.keep_draft()
    settled(opened)
    assert drafted_tiles(opened.bench.session.project.path)
    viewer.layers["pseudo-label"].undo()
    open_tile(opened, settled, "tile_5", engine)
    assert not drafted_tiles(opened.bench.session.project.path)


def test_damaged_draft_does_not_keep_a_person_from_the_tile(opened, settled, engine):
    tile = opened.bench.desk.view.tile
    folder = opened.bench.session.project.path / "drafts"
    open_tile(opened, settled, "tile_5", engine)
    folder.mkdir(exist_ok=True)
    (folder / f"{tile.id}.npz").write_bytes(b"PK\x03\x04 not a draft")
    open_tile(opened, settled, tile.name)
    assert opened.bench.desk.view.tile.id == tile.id
    assert opened.bench.desk.view.origin == "prediction"


# -- accepting ----------------------------------------------------------------------------------


def test_accept_stores_what_is_under_the_brush_and_opens_the_next_tile(
    opened, viewer, settled, engine
):
    tile = opened.bench.desk.view.tile
    paint(opened, 9)
    painted = viewer.layers["pseudo-label"].data.copy()
    press(viewer, Qt.Key.Key_A)
    settled(opened)
    project = opened.bench.session.project
    np.testing.assert_array_equal(project.read_labels(tile.id), painted)
    record = project.annotations(tile.id)[-1]
    assert (record.origin, record.changed_px, record.author) == ("corrected", 36, "Dr Test")
    assert record.model.startswith("starter")
    assert project.tile(tile.id).pool in (Pool.CURATED, Pool.VALIDATION)
    assert opened.bench.desk.view.tile.id != tile.id
    assert not drafted_tiles(project.path)


def test_untouched_suggestion_is_accepted_as_it_is(opened, settled):
    tile = opened.bench.desk.view.tile
    opened.refine_page.accept.click()
    settled(opened)
    record = opened.bench.session.project.annotations(tile.id)[-1]
    assert (record.origin, record.changed_px) == ("accepted as is", 0)


def test_time_spent_on_the_tile_is_stored(opened, settled):
    now = [100.0]
    desk = opened.bench.desk
    tile = desk.view.tile
    desk.clock.__init__(lambda: now[0])
    desk.clock.start()
    now[0] = 112.0
    desk.accept()
    settled(opened)
    assert opened.bench.session.project.tile(tile.id).seconds_of_effort == 12.0


def test_tile_without_prediction_and_strokes_is_not_accepted(unpredicted, settled):
    desk = unpredicted.bench.desk
    assert desk.view.origin == "nothing"
    desk.accept()
    settled(unpredicted)
    assert "nothing to accept yet" in unpredicted.messages.text
    assert unpredicted.messages.is_error
    assert not unpredicted.bench.session.project.annotations(desk.tile_id)


def test_tile_painted_from_nothing_is_accepted(unpredicted, settled):
    desk = unpredicted.bench.desk
    tile = desk.view.tile
    paint(unpredicted, 1)
    desk.accept()
    settled(unpredicted)
    assert unpredicted.bench.session.project.annotations(tile.id)[-1].changed_px == 36


def test_accept_without_the_mask_layer_first_shows_it_again(opened, viewer, settled):
    tile = opened.bench.desk.view.tile
    paint(opened, 9)
    painted = viewer.layers["pseudo-label"].data.copy()
    del viewer.layers["pseudo-label"]
    opened.bench.desk.accept()
    settled(opened)
    assert not opened.bench.session.project.annotations(tile.id)
    np.testing.assert_array_equal(viewer.layers["pseudo-label"].data, painted)
    assert opened.refine_page.brush._watched is viewer.layers["pseudo-label"]
    opened.bench.desk.accept()
    settled(opened)
    np.testing.assert_array_equal(opened.bench.session.project.read_labels(tile.id), painted)


def test_a_hidden_mask_is_shown_before_it_can_be_accepted(opened, viewer, settled):
    tile, project = opened.bench.desk.view.tile, opened.bench.session.project
    press(viewer, Qt.Key.Key_H)
    press(viewer, Qt.Key.Key_A)
    settled(opened)
    assert opened.messages.text == "The mask was hidden. Look, then accept."
    assert viewer.layers["pseudo-label"].visible
    assert not project.annotations(tile.id)
    press(viewer, Qt.Key.Key_A)
    settled(opened)
    assert project.annotations(tile.id)


def test_the_next_tile_shows_its_mask_also_where_the_last_one_was_hidden(
    opened, viewer, settled, engine
):
    press(viewer, Qt.Key.Key_H)
    open_tile(opened, settled, "tile_5", engine)
    assert viewer.layers["pseudo-label"].visible


def test_a_mask_stays_hidden_when_its_own_tile_is_predicted_anew(opened, viewer, settled, engine):
    press(viewer, Qt.Key.Key_H)
    predict_again(opened, engine, settled, shift=3)
    assert not viewer.layers["pseudo-label"].visible


def test_full_disk_while_accepting_is_told_and_loses_nothing(opened, viewer, settled, monkeypatch):
    tile = opened.bench.desk.view.tile
    paint(opened, 9)
    painted = viewer.layers["pseudo-label"].data.copy()

    def full(*args, **kwargs):
        raise StorageError("The mask could not be stored: the disk is full. Free some space.")

    monkeypatch.setattr(opened.bench.session, "accept", full)
    opened.bench.desk.accept()
    settled(opened)
    assert opened.messages.text == (
        "The mask could not be stored: the disk is full. Free some space."
    )
    assert opened.bench.desk.view.tile.id == tile.id
    np.testing.assert_array_equal(viewer.layers["pseudo-label"].data, painted)
    monkeypatch.undo()
    opened.bench.desk.accept()
    settled(opened)
    np.testing.assert_array_equal(opened.bench.session.project.read_labels(tile.id), painted)


def test_a_draft_that_another_program_holds_is_never_older_than_the_mask(
    opened, viewer, settled, monkeypatch
):
    tile = opened.bench.desk.view.tile
    project = opened.bench.session.project
    paint(opened, 9)
    opened.bench.desk.keep_draft()
    settled(opened)
    paint(opened, 20)
    painted = viewer.layers["pseudo-label"].data.copy()

    def held(*_):
        raise PermissionError(13, "in use")

    monkeypatch.setattr("napari_semimoe.gui.desk.drop_draft", held)
    opened.bench.desk.accept()
    settled(opened)
    assert len(project.annotations(tile.id)) == 1
    np.testing.assert_array_equal(project.read_labels(tile.id), painted)
    np.testing.assert_array_equal(read_draft(project.path, tile).labels, painted)


def test_pressing_accept_twice_stores_one_version(opened, settled):
    tile = opened.bench.desk.view.tile
    opened.bench.desk.accept()
    opened.bench.desk.accept()
    settled(opened)
    assert len(opened.bench.session.project.annotations(tile.id)) == 1


@pytest.mark.parametrize("decision", ["accept", "exclude"])
def test_a_double_click_decides_on_one_tile_only(opened, settled, qtbot, decision):
    opened.show_step(Step.REFINE)
    first, button = opened.bench.desk.tile_id, getattr(opened.refine_page, decision)
    QTest.mouseClick(button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: opened.bench.desk.tile_id != first)
    second = opened.bench.desk.view.tile
    QTest.mouseDClick(button, Qt.MouseButton.LeftButton)
    settled(opened)
    after = opened.bench.session.project.tile(second.id)
    assert (after.annotation_id, after.pool) == (None, Pool.UNLABELLED)


def test_person_who_moves_on_while_a_mask_is_stored_is_not_called_back(opened, settled):
    first, wanted = opened.bench.desk.view.tile, tile_named(opened, "tile_2")
    paint(opened, 9)
    opened.bench.desk.accept()
    opened.bench.desk.select(wanted.id)
    settled(opened)
    assert opened.bench.session.project.annotations(first.id)[-1].changed_px == 36
    assert opened.bench.desk.view.tile.id == wanted.id
    assert not drafted_tiles(opened.bench.session.project.path)


def test_strokes_made_while_a_mask_is_stored_are_kept(opened, viewer, settled):
    first = opened.bench.desk.view.tile
    opened.bench.desk.accept()
    paint(opened, 9)
    settled(opened)
    assert opened.bench.session.project.annotations(first.id)[-1].changed_px == 0
    open_tile(opened, settled, first.name)
    assert opened.bench.desk.changed_px == 36


def test_prediction_that_comes_late_does_not_reset_the_time_spent(unpredicted, engine, settled):
    now = [100.0]
    desk = unpredicted.bench.desk
    desk.clock.__init__(lambda: now[0])
    desk.clock.start()
    now[0] = 130.0
    engine.predict_everything()
    settled(unpredicted)
    assert desk.view.origin == "prediction"
    assert desk.clock.seconds == 30.0


def test_accepted_tile_opens_with_its_mask_and_says_whose_it_is(opened, settled):
    open_tile(opened, settled, "tile_1")
    assert opened.bench.desk.view.origin == "annotation"
    assert "version 1" in opened.refine_page.state.text()


def test_excluded_tile_is_out_and_the_next_one_opens(opened, settled):
    tile = opened.bench.desk.view.tile
    opened.refine_page.exclude.click()
    settled(opened)
    assert opened.bench.session.project.tile(tile.id).pool is Pool.EXCLUDED
    assert opened.bench.desk.view.tile.id != tile.id


@pytest.mark.parametrize(("name", "words"), [("tile_1", "Imported by"), ("tile_5", "suggestion")])
def test_an_excluded_tile_says_so_and_can_be_accepted(opened, settled, engine, name, words):
    session, tile = opened.bench.session, tile_named(opened, name)
    session.exclude(tile.id)
    open_tile(opened, settled, name, engine)
    assert words in opened.refine_page.state.text()
    assert "excluded" in opened.refine_page.state.text()
    paint(opened, 9)
    opened.refine_page._show_progress()
    assert "excluded" in opened.refine_page.state.text()
    opened.bench.desk.accept()
    settled(opened)
    assert session.project.tile(tile.id).pool is not Pool.EXCLUDED


def test_the_last_tile_says_that_it_is_excluded(opened, settled, engine):
    accept_all_but_one(opened, settled, engine)
    opened.refine_page.exclude.click()
    settled(opened)
    assert "excluded" in opened.refine_page.state.text()
    assert " is excluded" in opened.messages.text


def test_a_person_who_clicks_on_while_a_tile_is_excluded_is_not_called_back(opened, settled):
    wanted = tile_named(opened, "tile_6")
    opened.refine_page.exclude.click()
    opened.bench.desk.select(wanted.id)
    settled(opened)
    assert opened.bench.desk.tile_id == wanted.id


def test_a_person_who_clicks_back_stays(opened, settled):
    first = opened.bench.desk.tile_id
    for wanted in (tile_named(opened, "tile_2").id, first):
        opened.predict_page._on_tile_chosen(wanted)
    settled(opened)
    assert opened.bench.desk.tile_id == first


def test_a_step_in_a_project_that_is_left_moves_nobody_in_the_next_one(opened, settled, tmp_path):
    bench, failed = opened.bench, []
    bench.failed.connect(failed.append)
    bench.desk.take_next()
    bench.new_project(tmp_path / "other", ("background", "gland"))
    settled(opened)
    assert bench.project_name == "other"
    assert (bench.desk.tile_id, failed) == (None, [])


def test_the_brush_stays_in_hand_where_a_map_was_deleted(opened, viewer, settled, engine):
    layer = viewer.layers["pseudo-label"]
    paint(opened)
    viewer.layers.remove(viewer.layers["expert: boundary"])
    viewer.layers.selection.active = layer
    opened.bench.session.set_predict_settings(PredictSettings(threshold=0.4))
    settled(opened)
    engine.predict_everything()
    settled(opened)
    assert viewer.layers.selection.active is layer
    open_tile(opened, settled, "tile_5", engine)
    assert "expert: boundary" in viewer.layers


def test_a_tile_that_is_excluded_in_the_table_says_so_where_it_is_painted(opened, settled):
    paint(opened)
    opened.bench.set_pool([opened.bench.desk.tile_id], Pool.EXCLUDED)
    settled(opened)
    assert "excluded" in opened.refine_page.state.text()
    assert opened.bench.desk.has_strokes


def test_start_over_without_the_mask_layer_first_shows_it_again(opened, viewer, settled):
    paint(opened)
    painted = opened.bench.desk.labels.copy()
    viewer.layers.remove(viewer.layers["pseudo-label"])
    opened.bench.desk.start_over()
    np.testing.assert_array_equal(viewer.layers["pseudo-label"].data, painted)
    assert "Look, then start over" in opened.messages.text


def test_next_and_previous_go_through_the_queue(opened, viewer, settled, engine):
    first = opened.bench.desk.tile_id
    press(viewer, Qt.Key.Key_Period)
    settled(opened)
    second = opened.bench.desk.tile_id
    assert second != first
    press(viewer, Qt.Key.Key_Comma)
    settled(opened)
    assert opened.bench.desk.tile_id == first


def test_the_last_tile_to_review_is_not_called_reviewed(opened, viewer, settled, engine):
    accept_all_but_one(opened, settled, engine)
    press(viewer, Qt.Key.Key_Period)
    settled(opened)
    assert opened.messages.text == "This is the last tile to review."
    engine.predict_everything()
    settled(opened)
    opened.bench.desk.accept()
    settled(opened)
    press(viewer, Qt.Key.Key_Period)
    settled(opened)
    assert opened.messages.text == "Every tile of the queue is reviewed."


def test_what_is_said_of_a_tile_goes_with_it(opened, settled):
    first = opened.bench.desk.view.tile
    paint(opened, 9)
    open_tile(opened, settled, "tile_5")
    open_tile(opened, settled, first.name)
    assert "strokes" in opened.messages.text
    open_tile(opened, settled, "tile_5")
    assert opened.messages.text == ""


def test_what_is_refused_of_a_tile_goes_with_it(unpredicted, settled):
    unpredicted.bench.desk.accept()
    assert unpredicted.messages.is_error
    open_tile(unpredicted, settled, "tile_5")
    assert unpredicted.messages.text == ""


def test_what_is_refused_until_a_prediction_comes_goes_when_it_is_there(
    unpredicted, settled, engine
):
    unpredicted.bench.desk.accept()
    assert unpredicted.messages.is_error
    engine.predict_everything()
    settled(unpredicted)
    assert unpredicted.messages.text == ""


def test_the_next_tile_says_that_the_one_before_was_accepted(opened, settled):
    name = opened.bench.desk.view.tile.name
    opened.bench.desk.accept()
    settled(opened)
    assert opened.bench.desk.view.tile.name != name
    assert opened.messages.text == f"{name} accepted."


def test_last_tile_of_the_queue_says_that_all_is_reviewed(opened, settled, engine):
    for _ in range(4):
        engine.predict_everything()
        settled(opened)
        opened.bench.desk.accept()
        settled(opened)
    assert "Every tile of the queue is reviewed" in opened.messages.text
    assert opened.bench.desk.view.origin == "annotation"


def test_a_tile_of_another_size_fills_the_canvas(opened, viewer, settled, engine):
    for name in ("tile_4", "tile_1", "tile_4"):
        open_tile(opened, settled, name, engine)
        height, width = opened.bench.desk.view.shape
        size = np.diff(viewer.layers.extent.world, axis=0)[0][-2:]
        np.testing.assert_allclose(size, [0.5 * height, 0.5 * width], atol=0.6)


def test_the_brush_is_put_down_before_its_layer_goes(opened, viewer, settled):
    layer = viewer.layers["pseudo-label"]
    layer.mode = "paint"  # whose circle napari would go on drawing
    opened.bench.close_project()
    settled(opened)
    assert layer not in viewer.layers
    assert layer.mode == "pan_zoom"
