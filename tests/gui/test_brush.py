from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Image, Labels
from qtpy.QtCore import Qt

from napari_semimoe.core.values import IGNORE, MAX_INSTANCE
from napari_semimoe.gui import keys
from napari_semimoe.project.drafts import drafted_tiles, read_draft

from .acting import begin_stroke, draw_around, end_stroke, press, stroke
from .test_desk import open_tile

LEFT, RIGHT = (20, 8), (20, 45)  # inside gland 1 and gland 2 of a tile of 60 x 80
OUTSIDE = (50, 70)
OUTSIDE_ANY = (55, 40)  # of a tile of 90 x 50, too


@pytest.fixture
def layer(opened, viewer, qtbot):
    """The mask of the tile on the desk, with a small brush in hand."""
    layer = viewer.layers["pseudo-label"]
    layer.brush_size = 3
    layer.mode = "paint"
    qtbot.wait(100)  # until the canvas has its size
    viewer.reset_view()
    return layer


def test_stroke_that_starts_in_a_gland_extends_that_gland(layer, viewer):
    before = layer.data.copy()
    stroke(viewer, layer, LEFT, (35, 8))
    assert layer.data[35, 8] == 1
    stroke(viewer, layer, RIGHT, (35, 45))
    assert layer.data[35, 45] == 2
    assert set(np.unique(layer.data[layer.data != before])) == {1, 2}


def test_stroke_that_starts_outside_all_glands_is_a_new_gland(layer, viewer):
    stroke(viewer, layer, OUTSIDE, (50, 60))
    assert layer.data[OUTSIDE] == layer.data[50, 60] == 3
    stroke(viewer, layer, (5, 70), (5, 60))
    assert layer.data[5, 70] == 4


def test_stroke_that_starts_beside_a_gland_extends_it_when_the_brush_touches_it(layer, viewer):
    layer.brush_size = 9
    stroke(viewer, layer, (32, 8))  # gland 1 ends at row 30
    assert layer.data[33, 8] == 1


def test_new_gland_key_splits_a_gland(layer, viewer):
    press(viewer, Qt.Key.Key_N)
    stroke(viewer, layer, (18, 3), (18, 18))
    assert layer.data[18, 10] == 3
    assert layer.data[25, 10] == 1


def test_new_gland_holds_for_one_stroke_only(layer, viewer):
    press(viewer, Qt.Key.Key_N)
    stroke(viewer, layer, LEFT)
    stroke(viewer, layer, RIGHT, (35, 45))
    assert layer.data[35, 45] == 2


def test_picked_gland_takes_a_region_that_lies_apart(layer, viewer):
    press(viewer, Qt.Key.Key_L)
    stroke(viewer, layer, LEFT)
    press(viewer, Qt.Key.Key_P)
    stroke(viewer, layer, OUTSIDE)
    assert layer.data[OUTSIDE] == 1


def test_drawing_around_outside_all_glands_makes_a_new_gland(layer, viewer):
    stroke(viewer, layer, LEFT)  # the gland under the brush before is not the one that grows
    before = layer.data.copy()
    draw_around(viewer, layer, (40, 62), (40, 76), (55, 76), (55, 62))
    assert layer.data[48, 70] == layer.data[40, 70] == 3
    assert set(np.unique(layer.data[layer.data != before])) == {3}
    layer.undo()
    np.testing.assert_array_equal(layer.data, before)


def test_drawing_around_from_within_a_gland_extends_it(layer, viewer):
    draw_around(viewer, layer, RIGHT, (20, 70), (40, 70), (40, 45))
    assert layer.data[30, 65] == 2


def test_moving_the_picture_while_drawing_around_keeps_the_gland(layer, viewer):
    corners = (40, 62), LEFT, (55, 40), (55, 62)
    draw_around(viewer, layer, *corners, moving_the_picture_at=LEFT)
    assert layer.data[45, 50] == 3


def begin_line(viewer, layer):
    """Begin a line around a gland and do not close it."""
    before = layer.data.copy()
    draw_around(viewer, layer, (40, 62), (40, 76), (55, 76), closed=False)
    assert layer.data[50, 76] != before[50, 76]


def test_an_unfinished_line_is_not_accepted(layer, viewer, opened, settled):
    tile, suggestion = opened.bench.desk.view.tile, layer.data.copy()
    begin_line(viewer, layer)
    press(viewer, Qt.Key.Key_A)
    settled(opened)
    record = opened.bench.session.project.annotations(tile.id)[-1]
    assert record.origin == "accepted as is"
    np.testing.assert_array_equal(opened.bench.session.project.read_labels(tile.id), suggestion)


@pytest.mark.parametrize("key", [Qt.Key.Key_Period, Qt.Key.Key_Comma])
def test_an_unfinished_line_is_given_up_on_the_way_to_another_tile(
    layer, viewer, opened, settled, key
):
    begin_line(viewer, layer)
    press(viewer, key)
    settled(opened)
    assert not opened.bench.desk.has_strokes
    assert not drafted_tiles(opened.bench.session.project.path)
    assert layer.mode == "paint"


def test_an_unfinished_line_is_given_up_when_another_tile_is_chosen(layer, viewer, opened, settled):
    begin_line(viewer, layer)
    opened.bench.desk.select(opened.bench.session.tiles()[-1].id)
    settled(opened)
    assert not drafted_tiles(opened.bench.session.project.path)


@pytest.mark.parametrize("key", [Qt.Key.Key_N, Qt.Key.Key_M, Qt.Key.Key_I])
def test_an_unfinished_line_is_given_up_where_the_next_stroke_is_for_something_else(
    layer, viewer, opened, key
):
    before = layer.data.copy()
    begin_line(viewer, layer)
    press(viewer, key)
    np.testing.assert_array_equal(layer.data, before)
    assert layer.selected_label == (IGNORE if key == Qt.Key.Key_I else 3)


def test_start_over_gives_an_unfinished_line_up(layer, viewer, opened):
    before = layer.data.copy()
    begin_line(viewer, layer)
    opened.refine_page.start_over.click()
    np.testing.assert_array_equal(layer.data, before)


def test_strokes_are_stored_without_a_line_that_is_not_closed(
    layer, viewer, opened, settled, qtbot
):
    bench, tile = opened.bench, opened.bench.desk.view.tile
    stroke(viewer, layer, RIGHT, (35, 45))
    painted = layer.data.copy()
    begin_line(viewer, layer)
    bench.desk.keep_draft()
    qtbot.waitUntil(lambda: not bench.background.pending)
    assert not drafted_tiles(bench.session.project.path)
    press(viewer, Qt.Key.Key_Escape)
    bench.desk.keep_draft()
    settled(opened)
    np.testing.assert_array_equal(read_draft(bench.session.project.path, tile).labels, painted)


def test_two_glands_are_merged_by_pick_and_fill(layer, viewer):
    press(viewer, Qt.Key.Key_L)
    stroke(viewer, layer, LEFT)
    press(viewer, Qt.Key.Key_F)
    stroke(viewer, layer, RIGHT)
    assert set(np.unique(layer.data)) == {0, 1}


def test_remove_takes_a_whole_gland_away_at_a_click(layer, viewer):
    press(viewer, Qt.Key.Key_D)
    stroke(viewer, layer, LEFT)
    assert set(np.unique(layer.data)) == {0, 2}


def test_brush_paints_again_after_remove(layer, viewer):
    press(viewer, Qt.Key.Key_D)
    stroke(viewer, layer, LEFT)
    press(viewer, Qt.Key.Key_P)
    stroke(viewer, layer, OUTSIDE)
    assert layer.data[OUTSIDE] not in (0, 2)


def test_unsure_pixels_are_painted_grey_also_inside_glands(layer, viewer):
    press(viewer, Qt.Key.Key_I)
    stroke(viewer, layer, LEFT, OUTSIDE)
    assert layer.data[LEFT] == layer.data[OUTSIDE] == IGNORE


def test_unsure_key_pressed_again_goes_back_to_glands(layer, viewer, opened):
    press(viewer, Qt.Key.Key_I)
    assert opened.refine_page.ignore.isChecked()
    press(viewer, Qt.Key.Key_I)
    assert not opened.refine_page.ignore.isChecked()
    stroke(viewer, layer, RIGHT, (35, 45))
    assert layer.data[35, 45] == 2


@pytest.mark.parametrize(
    "keys_pressed",
    [(Qt.Key.Key_P,), (Qt.Key.Key_E, Qt.Key.Key_P), (Qt.Key.Key_F,), (Qt.Key.Key_L, Qt.Key.Key_P)],
)
def test_brush_and_fill_are_for_glands_after_grey_was_painted(layer, viewer, opened, keys_pressed):
    press(viewer, Qt.Key.Key_I)
    for key in keys_pressed:
        press(viewer, key)
    assert not opened.refine_page.ignore.isChecked()
    stroke(viewer, layer, OUTSIDE)
    assert 0 < layer.data[OUTSIDE] < IGNORE


def test_a_tool_brings_a_deleted_mask_back(layer, viewer, opened):
    before = layer.data.copy()
    viewer.layers.remove(layer)
    opened.refine_page.tools["paint"].click()
    assert "was gone and is back" in opened.messages.text
    back = viewer.layers["pseudo-label"]
    np.testing.assert_array_equal(back.data, before)
    stroke(viewer, back, OUTSIDE)
    assert back.data[OUTSIDE]


@pytest.mark.parametrize("way", ["hidden", "transparent", "below the tissue"])
def test_a_mask_that_cannot_be_seen_is_shown_before_it_is_painted_or_accepted(
    layer, viewer, opened, settled, way
):
    def hide():
        layer.visible = way != "hidden"
        layer.opacity = 0 if way == "transparent" else layer.opacity
        if way == "below the tissue":
            viewer.layers.move(viewer.layers.index(layer), 0)

    def is_seen():
        names = [each.name for each in viewer.layers]
        return layer.visible and layer.opacity and names.index("image") < names.index(layer.name)

    hide()
    opened.refine_page.tools["paint"].click()
    assert is_seen()
    assert layer.mode == "paint"
    hide()
    tile_id = opened.bench.desk.tile_id
    press(viewer, Qt.Key.Key_A)
    settled(opened)
    assert is_seen()
    assert "The mask was hidden" in opened.messages.text
    assert opened.bench.session.project.annotations(tile_id) == []
    hide()
    open_tile(opened, settled, "tile_5")
    assert is_seen()


def test_next_tile_is_not_painted_grey_by_accident(layer, viewer, opened, settled):
    press(viewer, Qt.Key.Key_I)
    press(viewer, Qt.Key.Key_Period)
    settled(opened)
    stroke(viewer, layer, OUTSIDE_ANY)
    assert 0 < layer.data[OUTSIDE_ANY] < IGNORE


def test_next_tile_is_not_filled_by_accident_after_removing(layer, viewer, opened, settled):
    press(viewer, Qt.Key.Key_D)
    press(viewer, Qt.Key.Key_Period)
    settled(opened)
    before = layer.data.copy()
    stroke(viewer, layer, OUTSIDE_ANY)
    np.testing.assert_array_equal(layer.data, before)


@pytest.mark.parametrize("key", [Qt.Key.Key_M, Qt.Key.Key_N])
def test_new_gland_never_counts_grey_as_a_gland(layer, viewer, key):
    layer.data_setitem((np.array([0]), np.array([0])), np.uint16(IGNORE))
    press(viewer, key)
    assert layer.selected_label == 3


def test_erase_makes_background(layer, viewer):
    press(viewer, Qt.Key.Key_E)
    stroke(viewer, layer, LEFT)
    assert layer.data[LEFT] == 0


def test_protected_neighbours_keep_their_pixels(layer, viewer, opened):
    opened.refine_page.protect.click()
    stroke(viewer, layer, LEFT, (20, 50))
    assert layer.data[20, 45] == 2
    assert layer.data[20, 30] == 1


@pytest.fixture
def protected(layer, viewer, opened):
    """The mask with its glands protected, which they still are after what the test does."""
    press(viewer, Qt.Key.Key_B)
    yield layer
    assert opened.refine_page.protect.isChecked()
    press(viewer, Qt.Key.Key_P)
    before = layer.data.copy()
    stroke(viewer, layer, (45, 8), LEFT, RIGHT)
    np.testing.assert_array_equal(layer.data[before > 0], before[before > 0])
    assert (layer.data != before).any()


def test_protected_glands_can_be_removed(protected, viewer):
    press(viewer, Qt.Key.Key_D)
    stroke(viewer, protected, LEFT)
    assert set(np.unique(protected.data)) == {0, 2}


def test_protected_glands_can_be_split(protected, viewer):
    press(viewer, Qt.Key.Key_N)
    stroke(viewer, protected, (18, 3), (18, 18))
    assert (protected.data[18, 10], protected.data[25, 10]) == (3, 1)


def test_protected_glands_can_be_split_by_a_line_around_a_part(protected, viewer):
    press(viewer, Qt.Key.Key_N)
    draw_around(viewer, protected, (17, 42), (17, 57), (27, 57), (27, 42))
    assert protected.data[22, 50] == 3


def test_protected_glands_can_be_merged(protected, viewer):
    press(viewer, Qt.Key.Key_L)
    stroke(viewer, protected, LEFT)
    press(viewer, Qt.Key.Key_F)
    stroke(viewer, protected, RIGHT)
    assert set(np.unique(protected.data)) == {0, 1}


def test_protected_glands_can_be_painted_grey(protected, viewer):
    press(viewer, Qt.Key.Key_I)
    stroke(viewer, protected, LEFT)
    assert protected.data[LEFT] == IGNORE
    press(viewer, Qt.Key.Key_I)


def test_protected_glands_can_be_erased(protected, viewer):
    press(viewer, Qt.Key.Key_E)
    stroke(viewer, protected, LEFT)
    assert protected.data[LEFT] == 0


def test_neighbours_are_protected_again_after_a_line_that_was_given_up(protected, viewer):
    before = protected.data.copy()
    press(viewer, Qt.Key.Key_N)
    draw_around(viewer, protected, (20, 42), (20, 55), closed=False)
    assert protected.data[20, 50] == 3
    press(viewer, Qt.Key.Key_Escape)
    np.testing.assert_array_equal(protected.data, before)


def test_a_protected_neighbour_looks_so_while_one_line_may_take_from_it(protected, viewer, opened):
    press(viewer, Qt.Key.Key_N)
    draw_around(viewer, protected, (20, 42), (20, 55), closed=False)
    protected.brush_size += 1
    assert opened.refine_page.protect.isChecked()
    press(viewer, Qt.Key.Key_Escape)


def test_a_button_that_is_still_held_paints_nothing_on_the_next_tile(
    layer, viewer, opened, settled, engine
):
    engine.predict_everything()
    settled(opened)
    desk = opened.bench.desk
    first, before = desk.tile_id, layer.data.copy()
    begin_stroke(viewer, layer, OUTSIDE)
    press(viewer, Qt.Key.Key_A)
    settled(opened)
    assert desk.tile_id != first
    assert not desk.has_strokes
    end_stroke(viewer, layer, (50, 60), (45, 40))
    assert not desk.has_strokes
    accepted = opened.bench.session.project.read_labels(first)
    assert (accepted != before).any()  # the part before the key
    stroke(viewer, layer, OUTSIDE_ANY)
    assert desk.has_strokes


def test_a_polygon_that_is_not_closed_leaves_the_next_tile_alone(
    layer, viewer, opened, settled, engine
):
    layer.mode = "polygon"
    for corner in ((40, 60), (40, 70), (50, 70)):
        stroke(viewer, layer, corner)
    open_tile(opened, settled, "tile_5", engine)
    press(viewer, Qt.Key.Key_Return)
    assert not opened.bench.desk.has_strokes


def test_undo_takes_back_one_stroke(layer, viewer, opened):
    before = layer.data.copy()
    stroke(viewer, layer, OUTSIDE, (50, 60))
    press(viewer, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    np.testing.assert_array_equal(layer.data, before)
    assert opened.bench.desk.changed_px == 0


def test_panel_follows_tools_that_are_taken_on_the_canvas(layer, viewer, opened):
    page = opened.refine_page
    for key, tool in ((Qt.Key.Key_E, "erase"), (Qt.Key.Key_F, "fill"), (Qt.Key.Key_P, "paint")):
        press(viewer, key)
        assert [mode for mode, each in page.tools.items() if each.isChecked()] == [tool]
    layer.brush_size = 31
    assert page.brush_size.value() == 31


def test_tools_are_taken_with_the_buttons(layer, opened):
    for mode, each in opened.refine_page.tools.items():
        each.click()
        assert layer.mode == mode


def pressed(page):
    """Return the texts of the tools that look as if they were in hand."""
    tools = *page.tools.values(), page.remove, page.ignore
    return [each.text() for each in tools if each.isChecked()]


def test_a_tool_that_is_clicked_again_stays_in_hand_and_looks_so(layer, opened):
    page = opened.refine_page
    for each in (*page.tools.values(), page.remove):
        each.click()
        each.click()
        assert pressed(page) == [each.text()]
    page.new_gland.click()
    page.new_gland.click()
    assert pressed(page) == [page.tools["paint"].text()]


def test_no_tool_looks_in_hand_while_another_layer_is_chosen(layer, viewer, opened):
    page = opened.refine_page
    viewer.layers.selection.active = viewer.layers["image"]
    assert pressed(page) == []
    page.ignore.click()
    assert viewer.layers.selection.active is layer
    assert pressed(page) == [page.ignore.text()]
    viewer.layers.selection.active = viewer.layers["image"]
    page.ignore.click()
    assert pressed(page) == [page.ignore.text()]


def test_no_tool_looks_in_hand_when_the_project_is_closed(layer, opened, settled):
    opened.bench.close_project()
    settled(opened)
    assert pressed(opened.refine_page) == []


def test_outlines_let_the_tissue_be_seen(layer, opened):
    opened.refine_page.outlines.click()
    assert layer.contour > 0
    opened.refine_page.outlines.click()
    assert layer.contour == 0


def test_our_keys_are_free_in_naparis_image_and_labels_layers():
    ours = {
        keys.ACCEPT,
        keys.NEXT,
        keys.PREVIOUS,
        keys.NEW_GLAND,
        keys.REMOVE,
        keys.IGNORE_BRUSH,
        keys.NEXT_MAP,
        keys.HIDE_MASK,
    }
    taken = {str(key) for kind in (Labels, Image) for key in kind.class_keymap}
    assert taken  # napari has bound its own
    assert not ours & taken


def test_accept_key_belongs_to_points_while_a_points_layer_is_active(opened, viewer, settled):
    tile = opened.bench.desk.view.tile
    points = viewer.add_points(np.array([[1.0, 1.0]]))
    points.mode = "select"
    viewer.layers.selection.active = points
    press(viewer, Qt.Key.Key_A)
    settled(opened)
    assert not opened.bench.session.project.annotations(tile.id)


def test_letters_typed_over_the_table_reach_the_canvas(opened, settled, qtbot):
    tile = opened.bench.desk.view.tile
    opened.predict_page.table.setFocus()
    qtbot.keyClick(opened.predict_page.table, Qt.Key.Key_A)
    settled(opened)
    assert opened.bench.session.project.annotations(tile.id)


def test_keys_do_nothing_without_a_tile(panel, viewer, settled):
    for key in (Qt.Key.Key_A, Qt.Key.Key_Period, Qt.Key.Key_N, Qt.Key.Key_I, Qt.Key.Key_W):
        press(viewer, key)
    settled(panel)
    assert not panel.messages.is_error


def test_map_key_goes_through_the_maps_and_back(opened, viewer):
    seen = []
    for _ in range(5):
        press(viewer, Qt.Key.Key_W)
        seen.append(opened.bench.desk.layers.visible_map())
    assert seen == [
        "expert: segmentation",
        "expert: distance",
        "expert: boundary",
        "disagreement",
        None,
    ]


def test_mask_is_hidden_and_shown_by_a_key(opened, viewer):
    press(viewer, Qt.Key.Key_H)
    assert not viewer.layers["pseudo-label"].visible
    press(viewer, Qt.Key.Key_H)
    assert viewer.layers["pseudo-label"].visible


@pytest.fixture
def three_classes(panel, engine, starter, images, tmp_path, settled, viewer, qtbot):
    """The mask of a tile of a project with two kinds of glands, a brush in hand."""
    panel.bench.new_project(tmp_path / "project", ("background", "benign", "malignant"))
    settled(panel)
    panel.bench.add_images([images], um_per_px=0.5)
    settled(panel)
    engine.predict_everything()
    settled(panel)
    layer = viewer.layers["pseudo-label"]
    layer.brush_size = 3
    layer.mode = "paint"
    qtbot.wait(100)
    viewer.reset_view()
    return layer


def test_kinds_of_glands_are_chosen_stored_and_told_apart_by_colour(
    three_classes, viewer, panel, settled
):
    page, desk, tile = panel.refine_page, panel.bench.desk, panel.bench.desk.view.tile
    assert not page.gland_class.isHidden()
    press(viewer, Qt.Key.Key_L)
    stroke(viewer, three_classes, RIGHT)
    before = three_classes.colormap.map(2).copy()
    page.gland_class.setCurrentIndex(1)
    page.gland_class.activated.emit(1)
    assert (three_classes.colormap.map(2) != before).any()
    press(viewer, Qt.Key.Key_P)
    press(viewer, Qt.Key.Key_N)
    stroke(viewer, three_classes, OUTSIDE)
    desk.accept()
    settled(panel)
    record = panel.bench.session.project.annotations(tile.id)[-1]
    assert record.classes == {1: 1, 2: 2, 3: 2}


def test_a_changed_kind_alone_is_a_correction(three_classes, viewer, panel, settled):
    page, desk, tile = panel.refine_page, panel.bench.desk, panel.bench.desk.view.tile
    press(viewer, Qt.Key.Key_L)
    stroke(viewer, three_classes, RIGHT)
    page.brush.set_class(2)
    desk.accept()
    settled(panel)
    record = panel.bench.session.project.annotations(tile.id)[-1]
    assert (record.origin, record.changed_px) == ("corrected", 0)


def test_the_kind_of_new_glands_is_forgotten_with_its_project(
    three_classes, panel, settled, tmp_path, qtbot
):
    page = panel.refine_page
    page.brush.set_class(2)
    names = [page.gland_class.itemText(row) for row in range(page.gland_class.count())]
    assert names == ["benign", "malignant"]
    panel.bench.new_project(tmp_path / "other", ("background", "tumour", "stroma"))
    settled(panel)
    panel.bench.add_images([tmp_path / "images"], um_per_px=0.5)
    settled(panel)
    qtbot.waitUntil(lambda: panel.bench.desk.tile_id is not None)  # its layers are made one by one
    assert page.brush.gland_class == 1
    names = [page.gland_class.itemText(row) for row in range(page.gland_class.count())]
    assert names == ["tumour", "stroma"]


def test_a_new_gland_by_fill_is_of_the_kind_of_new_glands(three_classes, viewer, panel):
    panel.refine_page.brush.set_class(2)
    press(viewer, Qt.Key.Key_F)
    stroke(viewer, three_classes, OUTSIDE)
    assert three_classes.data[OUTSIDE] == 3
    assert panel.bench.desk.class_of(3) == 2


def test_an_undone_gland_of_the_second_kind_is_no_work(three_classes, viewer, panel):
    panel.refine_page.brush.set_class(2)
    stroke(viewer, three_classes, OUTSIDE)
    assert panel.bench.desk.has_strokes
    three_classes.undo()
    assert not panel.bench.desk.has_strokes


def test_start_over_takes_the_kinds_of_the_suggestion_too(three_classes, viewer, panel):
    page, desk = panel.refine_page, panel.bench.desk
    before = three_classes.colormap.map(1).copy()
    press(viewer, Qt.Key.Key_L)
    stroke(viewer, three_classes, LEFT)
    page.brush.set_class(2)
    assert (three_classes.colormap.map(1) != before).any()
    page.start_over.click()
    assert desk.class_of(1) == 1
    assert (three_classes.colormap.map(1) == before).all()
    assert "suggestion" in page.state.text()


def test_start_over_undone_brings_the_kinds_back_and_redone_those_of_the_suggestion(
    three_classes, viewer, panel
):
    page, desk = panel.refine_page, panel.bench.desk
    stroke(viewer, three_classes, OUTSIDE)
    press(viewer, Qt.Key.Key_L)
    stroke(viewer, three_classes, LEFT)
    page.brush.set_class(2)
    page.start_over.click()
    page.brush.set_class(2)
    page.start_over.click()
    three_classes.refresh()
    assert desk.class_of(1) == 1
    three_classes.undo()
    assert (desk.class_of(1), three_classes.data[OUTSIDE]) == (2, 3)
    three_classes.redo()
    assert (desk.class_of(1), three_classes.data[OUTSIDE]) == (1, 0)


def test_start_over_gives_kinds_back_where_nothing_else_had_changed(three_classes, viewer, panel):
    page, desk = panel.refine_page, panel.bench.desk
    press(viewer, Qt.Key.Key_L)
    stroke(viewer, three_classes, LEFT)
    page.brush.set_class(2)
    kinds = []
    for _ in range(4):
        page.start_over.click()
        three_classes.refresh()
        kinds.append(desk.class_of(1))
    assert kinds == [1, 2, 1, 2]


def test_kind_alone_is_a_change_worth_keeping(three_classes, viewer, panel, settled):
    page, desk = panel.refine_page, panel.bench.desk
    press(viewer, Qt.Key.Key_L)
    stroke(viewer, three_classes, LEFT)
    page.gland_class.setCurrentIndex(1)
    page.gland_class.activated.emit(1)
    assert desk.has_strokes
    first = desk.view.tile
    desk.take_next()
    settled(panel)
    desk.select(first.id)
    settled(panel)
    assert desk.class_of(1) == 2


def test_a_class_is_added_to_an_open_project_and_renamed(
    opened, viewer, layer, settled, monkeypatch
):
    page, desk, actions = opened.refine_page, opened.bench.desk, opened.project_actions
    dialogs = "napari_semimoe.gui.project_actions.QInputDialog"
    monkeypatch.setattr(f"{dialogs}.getText", lambda *_, **__: ("stroma", True))
    actions.add_class.trigger()
    settled(opened)
    assert not page.gland_class.isHidden()
    assert [page.gland_class.itemText(row) for row in range(2)] == ["gland", "stroma"]
    assert actions.add_classes.isVisible()
    first = layer.colormap.map(1).copy()
    page.gland_class.activated.emit(1)
    press(viewer, Qt.Key.Key_N)
    stroke(viewer, layer, OUTSIDE)
    assert desk.class_of(layer.data[OUTSIDE]) == 2
    assert (layer.colormap.map(int(layer.data[OUTSIDE])) != first).any()
    monkeypatch.setattr(f"{dialogs}.getItem", lambda *_, **__: ("stroma", True))
    monkeypatch.setattr(f"{dialogs}.getText", lambda *_, **__: ("nerve", True))
    actions.rename_class.trigger()
    settled(opened)
    assert page.gland_class.itemText(1) == "nerve"
    assert page.brush.gland_class == page.gland_class.currentIndex() + 1 == 2
    monkeypatch.setattr(f"{dialogs}.getText", lambda *_, **__: ("Gland", True))
    actions.add_class.trigger()
    settled(opened)
    assert "needs a name of its own" in opened.messages.text
    assert len(desk.class_names) == 3


def test_one_class_asks_for_no_choice(opened):
    assert opened.refine_page.gland_class.isHidden()


def test_a_new_gland_beside_one_of_the_last_number_gets_a_free_one(layer, viewer):
    layer.data[LEFT] = MAX_INSTANCE
    press(viewer, Qt.Key.Key_N)
    stroke(viewer, layer, OUTSIDE)
    assert layer.data[OUTSIDE] == 3


@pytest.fixture
def page(panel):
    return panel.refine_page


def test_a_stroke_goes_to_the_gland_under_it_after_another_got_its_kind(
    three_classes, viewer, page
):
    page.gland_class.activated.emit(1)  # new glands are malignant
    stroke(viewer, three_classes, OUTSIDE, (50, 72))
    stroke(viewer, three_classes, (5, 70), (5, 72))
    stroke(viewer, three_classes, LEFT, (20, 10))
    new = three_classes.data[50, 71], three_classes.data[5, 71]
    assert new == (3, 4)
    assert three_classes.data[LEFT] == 1


def test_polygons_are_glands_of_their_own_and_of_the_chosen_kind(
    three_classes, viewer, panel, page
):
    page.gland_class.activated.emit(1)  # new glands are malignant
    three_classes.mode = "polygon"
    for corners in ([(50, 60), (50, 72), (56, 66)], [(3, 60), (3, 72), (9, 66)]):
        for corner in corners:
            stroke(viewer, three_classes, corner)
        overlay = three_classes._overlays["polygon"]
        assert len(overlay.points) >= 3
        overlay.add_polygon_to_labels(three_classes)
    assert (three_classes.data[52, 66], three_classes.data[5, 66]) == (3, 4)
    assert [panel.bench.desk.class_of(number) for number in (3, 4)] == [2, 2]


def test_a_kind_that_is_chosen_after_a_stroke_keeps_the_next_stroke_apart(
    three_classes, viewer, page
):
    stroke(viewer, three_classes, OUTSIDE, (50, 72))
    page.gland_class.activated.emit(1)
    stroke(viewer, three_classes, (5, 70), (5, 72))
    assert (three_classes.data[50, 71], three_classes.data[5, 71]) == (3, 4)


def test_a_kind_that_is_chosen_for_the_next_gland_does_not_change_the_last_one(
    three_classes, viewer, panel, page
):
    said = []
    panel.bench.desk.said.connect(said.append)
    kinds = []
    for kind, place in ((1, OUTSIDE), (0, (5, 70))):
        page.gland_class.activated.emit(kind)
        press(viewer, Qt.Key.Key_N)
        stroke(viewer, three_classes, place)
        kinds.append(page.brush.gland_class)
    assert [panel.bench.desk.class_of(number) for number in (3, 4)] == kinds == [2, 1]
    assert said == ["New ones are benign from now on. To change one, pick it (L)."]
    press(viewer, Qt.Key.Key_L)
    stroke(viewer, three_classes, OUTSIDE)
    assert page.brush.gland_class == 2
    page.gland_class.activated.emit(0)
    assert panel.bench.desk.class_of(3) == 1


def test_a_gland_that_undo_brings_back_has_its_own_kind(three_classes, viewer, panel, page):
    desk = panel.bench.desk
    desk.set_class(2, 2)
    press(viewer, Qt.Key.Key_D)
    stroke(viewer, three_classes, RIGHT)
    press(viewer, Qt.Key.Key_N)
    page.gland_class.activated.emit(0)
    stroke(viewer, three_classes, OUTSIDE, (50, 72))
    three_classes.undo()
    three_classes.undo()
    assert three_classes.data[RIGHT] == 2
    assert desk.class_of(2) == 2
