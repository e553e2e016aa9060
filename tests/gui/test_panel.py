from __future__ import annotations

import itertools
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from napari.settings import get_settings
from PIL import Image
from qtpy.QtCore import QEvent, QMimeData, QPoint, QPointF, Qt, QUrl
from qtpy.QtGui import QDropEvent, QKeyEvent, QWheelEvent
from qtpy.QtWidgets import (
    QAbstractButton,
    QAbstractSlider,
    QAbstractSpinBox,
    QApplication,
    QComboBox,
    QLabel,
    QPushButton,
    QScrollBar,
    QWidget,
)
from superqt.utils import signals_blocked

from napari_semimoe.core.errors import StorageError
from napari_semimoe.core.settings import RoundSettings
from napari_semimoe.core.states import JobState, Pool, RoundState
from napari_semimoe.gui.durations import time_left
from napari_semimoe.gui.header import model_line
from napari_semimoe.gui.message_bar import MessageBar
from napari_semimoe.gui.new_project_dialog import NewProjectDialog
from napari_semimoe.gui.steps import Step
from napari_semimoe.gui.theme import palette_of
from napari_semimoe.gui.tile_table import TILE_ID
from napari_semimoe.gui.widgets import RowTable
from napari_semimoe.project import importing
from napari_semimoe.project.images import read_image
from napari_semimoe.project.project import Project
from napari_semimoe.session.plan import NOTHING_TO_LEARN
from tests.patience import PATIENCE
from tests.project.making import pixels, save
from tests.session.conftest import write_image, write_mask

STEP_REPORT = {
    "step": 5,
    "steps": 20,
    "stage": 0,
    "total": 1.5,
    "losses": {"labelled/segmentation": 0.5, "labelled/distance": 0.2},
    "weights": {"segmentation": 0.4, "distance": 0.6},
    "gates": {"segmentation<-segmentation": 0.8, "segmentation<-boundary": 0.2},
    "learning_rate": 1e-3,
    "seconds_left": 42.0,
    "images_per_second": 3.0,
}


def start_round(panel, settled, engine):
    panel.show_step(Step.RETRAIN)
    panel.retrain_page.start.click()
    settled(panel)
    job = engine.of_kind("train")[0]
    engine.start(job)
    return job


def test_learning_rate_is_automatic_until_a_person_chooses_one(opened):
    form = opened.retrain_page.more
    assert form.container["learning_rate"].native.text() == "automatic"
    assert opened.retrain_page.settings.learning_rate == 0
    form.set_values({"learning_rate": 0.002})
    assert form.container["learning_rate"].native.text() == "0.0020"
    assert opened.retrain_page.settings.learning_rate == 0.002


# -- the whole ----------------------------------------------------------------------------------


def test_panel_fits_into_360_px(opened, qtbot):
    for step in Step:
        opened.show_step(step)
        qtbot.wait(20)
        assert opened.minimumSizeHint().width() <= 360
        page = opened._pages.currentWidget().widget()
        assert page.minimumSizeHint().width() <= 360 - 16, step


@pytest.fixture
def font_size():
    """Return a function that sets napari's font size; it is set back at the end."""
    appearance = get_settings().appearance
    before = appearance.font_size
    yield lambda size: setattr(appearance, "font_size", size)
    appearance.font_size = before


def is_cut(widget):
    """Return whether a button or a label is narrower than its words."""
    if not isinstance(widget, QPushButton | QLabel) or not widget.isVisible():
        return False
    if isinstance(widget, QLabel) and (widget.wordWrap() or not widget.text()):
        return False
    return widget.width() < widget.fontMetrics().size(0, widget.text()).width()


def test_pages_are_seen_whole_in_small_and_in_large_fonts(opened, font_size, qtbot):
    opened.retrain_page._folded.expand(animate=False)
    opened.show_step(Step.RETRAIN)
    for size in (8, 11, 14, 8):
        font_size(size)
        for step in (Step.RETRAIN, *Step, Step.RETRAIN):
            opened.show_step(step)
            area = opened._pages.currentWidget()
            qtbot.waitUntil(lambda area=area: area.horizontalScrollBar().maximum() == 0)
            qtbot.waitUntil(lambda: not any(map(is_cut, opened.findChildren(QWidget))))
    assert opened.minimumSizeHint().width() <= 360  # narrow again with small letters


def test_rows_of_tables_are_as_high_as_their_letters(opened, font_size, qtbot):
    table, tree = opened.predict_page.table, opened.retrain_page.rounds
    for size in (9, 20, 9):
        font_size(size)
        qtbot.waitUntil(lambda size=size: table.font().pointSize() == size)
        for view in (table, opened.predict_page.gates):
            assert view.verticalHeader().defaultSectionSize() >= view.fontMetrics().height()
        assert tree.topLevelItem(0).sizeHint(0).height() >= tree.fontMetrics().height()
    assert table.verticalHeader().defaultSectionSize() == 24


def test_every_control_has_a_tooltip(opened):
    silent = [
        each.text()
        for each in opened.findChildren(QAbstractButton)
        if each.text() and not each.toolTip() and each.isEnabledTo(opened)
    ]
    assert [text for text in silent if text not in ("", "▲", "▼")] == []


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_text_stands_out_in_both_themes(opened, viewer, theme):
    viewer.theme = theme
    palette = palette_of(theme)
    assert contrast(palette.text, palette.background) >= 7
    assert contrast(palette.faint, palette.background) >= 4.5
    assert contrast(palette.accent_text, palette.accent) >= 4
    assert palette.accent in opened.styleSheet()


def contrast(one, other):
    """Return the contrast ratio of the accessibility guidelines (WCAG 2, 1.4.3)."""

    def luminance(color):
        parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        red, green, blue = (
            part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
        )
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_header_says_project_model_and_device(opened):
    assert opened.header.name.text() == "project"
    assert opened.header.model.text() == "Starter model · running on CPU"


@pytest.mark.parametrize(
    ("name", "device", "line"),
    [
        (None, "", "No model yet: accept a few tiles, then retrain"),
        ("starter 0.1.0", "", "Starter model"),
        ("round 3", "GPU", "Model of round 3 · running on GPU"),
    ],
)
def test_model_line_names_the_model(name, device, line):
    assert model_line(name, device) == line


def fields_of(page):
    kinds = (QAbstractSpinBox, QComboBox, QAbstractSlider)
    fields = [each for each in page.findChildren(QWidget) if isinstance(each, kinds)]
    return [each for each in fields if each.isVisible() and not isinstance(each, QScrollBar)]


def value_of(field):
    return field.currentIndex() if isinstance(field, QComboBox) else field.value()


def turn_wheel(widget):
    """Turn the wheel by one notch downwards; what ignores it leaves it to its parent."""
    center = widget.rect().center()
    event = QWheelEvent(
        QPointF(center),
        QPointF(widget.mapToGlobal(center)),
        QPoint(),
        QPoint(0, -120),
        Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier,
        Qt.ScrollPhase.NoScrollPhase,
        False,
    )
    QApplication.sendEvent(widget, event)
    if not event.isAccepted():  # Qt itself hands on only what came from the window system
        turn_wheel(widget.parentWidget())


def test_wheel_over_a_field_scrolls_the_page_and_changes_no_setting(opened, qtbot):
    opened.retrain_page._folded.expand(animate=False)
    seen = 0
    for step in Step:
        opened.show_step(step)
        qtbot.wait(20)
        area = opened._pages.currentWidget()
        bar = area.verticalScrollBar()
        for field in fields_of(area.widget()):
            before, _ = value_of(field), bar.setValue(0)
            turn_wheel(field)
            assert value_of(field) == before, field
            assert bar.value() == min(bar.maximum(), 3 * bar.singleStep()), field
            assert field.focusPolicy() != Qt.FocusPolicy.WheelFocus
            seen += 1
    assert seen > 20


def test_wheel_over_a_field_with_the_focus_changes_it(opened, qtbot):
    opened.show_step(Step.RETRAIN)
    minutes = opened.retrain_page.common.container["budget_minutes"].native
    before = minutes.value()
    opened.window().activateWindow()
    minutes.setFocus()
    qtbot.waitUntil(minutes.hasFocus)
    turn_wheel(minutes)
    assert minutes.value() == before - 0.5


@pytest.fixture
def two_kinds(panel, engine, starter, images, tmp_path, settled):
    """The panel at its second step, with a project of two kinds of glands with long names."""
    panel.bench.new_project(
        tmp_path / "project", ("background", "adenoma with low-grade dysplasia " * 3, "benign")
    )
    settled(panel)
    panel.bench.add_images([images], um_per_px=0.5)
    settled(panel)
    engine.predict_everything()
    settled(panel)
    panel.show_step(Step.REFINE)
    return panel


def test_after_a_kind_was_chosen_with_the_mouse_letters_and_wheel_do_not_change_it(
    two_kinds, viewer, qtbot, settled
):
    kinds, tile = two_kinds.refine_page.gland_class, two_kinds.bench.desk.view.tile
    viewer.window._qt_window.activateWindow()
    qtbot.mouseClick(kinds, Qt.MouseButton.LeftButton)
    choices = kinds.view()
    qtbot.waitUntil(choices.isVisible)
    second = choices.visualRect(choices.model().index(1, 0)).center()
    qtbot.wait(QApplication.doubleClickInterval())  # a quicker click is taken as the same one
    qtbot.mouseClick(choices.viewport(), Qt.MouseButton.LeftButton, pos=second)
    qtbot.waitUntil(lambda: two_kinds.refine_page.brush.gland_class == 2)
    qtbot.waitUntil(lambda: QApplication.focusWidget() not in (None, choices))
    turn_wheel(kinds)
    qtbot.keyClick(QApplication.focusWidget(), Qt.Key.Key_A)
    settled(two_kinds)
    assert two_kinds.refine_page.brush.gland_class == 2
    assert two_kinds.bench.session.project.annotations(tile.id)


def test_a_draft_of_another_kind_alone_is_called_strokes(two_kinds, settled):
    desk, tile = two_kinds.bench.desk, two_kinds.bench.desk.view.tile
    desk.set_class(1, 2)
    desk.take_next()
    settled(two_kinds)
    desk.select(tile.id)
    settled(two_kinds)
    assert desk.view.origin == "draft"
    assert "Your strokes" in two_kinds.refine_page.state.text()


def test_letters_typed_over_the_kinds_reach_the_canvas(two_kinds, settled, qtbot):
    tile, kinds = two_kinds.bench.desk.view.tile, two_kinds.refine_page.gland_class
    kinds.setFocus()
    qtbot.keyClick(kinds, Qt.Key.Key_A)
    settled(two_kinds)
    assert kinds.currentIndex() == 0
    assert two_kinds.bench.session.project.annotations(tile.id)


def test_long_names_of_kinds_do_not_widen_the_page(two_kinds):
    assert two_kinds._pages.currentWidget().widget().minimumSizeHint().width() <= 360 - 16


# -- messages -----------------------------------------------------------------------------------


def test_complaint_stays_until_something_succeeds(qtbot):
    bar = MessageBar()
    qtbot.addWidget(bar)
    bar.complain("The disk is full.")
    assert (bar.text, bar.is_error, bar._sign.text()) == ("The disk is full.", True, "!")
    bar.say("3 tiles added.")
    assert (bar.text, bar.is_error, bar._sign.text()) == ("3 tiles added.", False, "✓")
    bar.dismiss()
    assert bar.text == ""


LONG_NAME = "H2023_1234567_A_1_HE_40x_region_003_tile_00012_normalised_macenko_v2.ome.tiff"


def test_long_name_in_a_message_is_broken_into_lines(qtbot):
    bar = MessageBar()
    qtbot.addWidget(bar)
    bar.resize(250, 200)
    bar.show()
    bar.complain(f"{LONG_NAME} cannot be read.")
    words, shown = bar._text, bar._text.text()
    parts = shown.replace(" ", "\u200b").split("\u200b")
    qtbot.waitUntil(lambda: words.height() >= words.heightForWidth(words.width()))
    assert max(words.fontMetrics().horizontalAdvance(part) for part in parts) < words.width()
    assert bar.text == f"{LONG_NAME} cannot be read."
    assert bar.text in words.toolTip()


def test_name_copied_from_a_message_is_the_name_itself(qtbot):
    bar = MessageBar()
    qtbot.addWidget(bar)
    bar.say(LONG_NAME)
    bar._text.setSelection(0, len(bar._text.text()))
    qtbot.keyClick(bar._text, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
    assert QApplication.clipboard().text() == LONG_NAME
    QApplication.clipboard().clear()
    bar._text.actions()[0].trigger()  # of the menu of the right button
    assert QApplication.clipboard().text() == LONG_NAME


def test_brackets_in_a_message_are_no_markup(qtbot):
    bar = MessageBar()
    qtbot.addWidget(bar)
    bar.say("tile <b>x</b> accepted.")
    assert bar._text.textFormat() == Qt.TextFormat.PlainText


def test_project_that_cannot_be_opened_is_told_in_the_panel(panel, tmp_path, settled):
    (tmp_path / "holidays").mkdir()
    panel.bench.open_project(tmp_path / "holidays")
    settled(panel)
    assert panel.messages.is_error
    assert "holidays" in panel.messages.text
    assert panel.start_page.new.isVisible()


def test_errors_of_a_project_are_left_with_it(opened, settled):
    opened.bench.failed.emit("The tile could not be read.")
    opened.bench.close_project()
    settled(opened)
    assert opened.messages.text == ""


def test_images_that_are_none_are_refused_by_name(opened, tmp_path, settled):
    bad = tmp_path / "letter.png"
    bad.write_text("Dear colleague")
    opened.bench.add_images([bad], um_per_px=0.5)
    settled(opened)
    assert opened.messages.is_error
    assert "letter.png" in opened.messages.text


def test_what_was_added_is_said_beside_what_was_refused(opened, tmp_path, settled):
    bad, good = tmp_path / "letter.png", tmp_path / "tile_9.png"
    bad.write_text("Dear colleague")
    write_image(good, 9, (60, 80))
    opened.bench.add_images([bad, good], um_per_px=0.5)
    settled(opened)
    assert opened.messages.is_error
    assert "1 tile added" in opened.messages.text
    assert "letter.png" in opened.messages.text


# -- the project --------------------------------------------------------------------------------


def test_scale_is_asked_once_for_images_that_do_not_carry_it(
    panel, starter, images, tmp_path, settled, monkeypatch
):
    asked = []

    def answer(*args, **kwargs):
        asked.append(args)
        return 0.25, True

    monkeypatch.setattr("napari_semimoe.gui.pixel_size.QInputDialog.getDouble", answer)
    telling = Image.open(images / "tile_6.png")
    telling.save(images / "tile_6.png", dpi=(25400, 25400))  # 1 um per pixel
    panel.bench.new_project(tmp_path / "project", ("background", "gland"))
    settled(panel)
    panel.project_actions.add_paths([images])
    settled(panel)
    scales = {tile.name: tile.um_per_px for tile in panel.bench.session.tiles()}
    assert len(asked) == 1
    assert scales == {f"tile_{n}": 1.0 if n == 6 else 0.25 for n in range(1, 7)}


def test_the_scale_of_images_of_a_project_that_was_left_is_not_asked_for(
    panel, images, tmp_path, settled, monkeypatch
):
    asked = []
    monkeypatch.setattr(
        "napari_semimoe.gui.project_actions.ask_pixel_size", lambda *_: asked.append(1) or 0.5
    )
    panel.bench.new_project(tmp_path / "left", ("background", "gland"))
    settled(panel)
    left = panel.bench.session.project
    panel.bench.new_project(tmp_path / "other", ("background", "gland"))
    settled(panel)
    panel.bench.scale_missing.emit([images], left, "instances")
    settled(panel)
    assert asked == panel.bench.session.tiles() == []


def test_the_scale_that_is_told_when_another_project_is_open_adds_nothing_to_it(
    panel, images, tmp_path, settled, monkeypatch
):
    def answer_late(*_):
        panel.bench.new_project(tmp_path / "other", ("background", "gland"))
        settled(panel)
        return 0.5

    monkeypatch.setattr("napari_semimoe.gui.project_actions.ask_pixel_size", answer_late)
    panel.bench.new_project(tmp_path / "left", ("background", "gland"))
    settled(panel)
    panel.project_actions.add_paths([images])
    settled(panel)
    assert panel.bench.project_name == "other"
    assert panel.bench.session.tiles() == []
    assert "the project was closed" in panel.messages.text


def test_giving_no_scale_adds_nothing(panel, images, tmp_path, settled, monkeypatch):
    monkeypatch.setattr(
        "napari_semimoe.gui.pixel_size.QInputDialog.getDouble", lambda *_: (0.5, False)
    )
    panel.bench.new_project(tmp_path / "project", ("background", "gland"))
    settled(panel)
    panel.project_actions.add_paths([images])
    settled(panel)
    assert panel.bench.session.tiles() == []
    assert panel.messages.is_error


def test_dropped_project_folder_is_opened(opened, settled, qtbot):
    path = opened.bench.session.project.path
    opened.bench.close_project()
    settled(opened)
    mime = QMimeData()
    mime.setUrls([QUrl.fromLocalFile(str(path))])
    event = QDropEvent(
        QPointF(QPoint(5, 5)),
        Qt.DropAction.CopyAction,
        mime,
        Qt.MouseButton.LeftButton,
        Qt.KeyboardModifier.NoModifier,
    )
    opened.dropEvent(event)
    settled(opened)
    assert opened.bench.has_project
    assert opened.header.name.text() == "project"


def test_images_dropped_without_a_project_are_refused_in_words(panel, images):
    panel.project_actions.add_paths([images])
    assert "Open or make a project first" in panel.messages.text


def test_new_project_dialog_waits_until_all_is_sound(qtbot, tmp_path):
    dialog = NewProjectDialog()
    qtbot.addWidget(dialog)
    ok = dialog._buttons.button(dialog._buttons.StandardButton.Ok)
    dialog.place.setText(str(tmp_path))
    assert ok.isEnabled()
    assert dialog.path == tmp_path / "my glands"
    for field, wrong in (
        (dialog.name, "a/b"),
        (dialog.name, ""),
        (dialog.name, "a" * 300),
        (dialog.place, "/nowhere/at/all"),
        (dialog.place, "~nobody-of-this-name"),
        (dialog.classes, " , "),
        (dialog.classes, "gland, gland"),
    ):
        right = field.text()
        field.setText(wrong)
        assert not ok.isEnabled(), wrong
        assert dialog.problem.text()
        field.setText(right)
    dialog.classes.setText("benign, malignant")
    assert dialog.class_names == ("background", "benign", "malignant")
    assert ok.isEnabled()


def test_nothing_stays_of_the_dialog_for_a_new_project(panel, qtbot):
    panel.project_actions.new.trigger()
    (dialog,) = panel.findChildren(NewProjectDialog)
    dialog.reject()
    qtbot.waitUntil(lambda: not panel.findChildren(NewProjectDialog))


def test_new_project_is_made_where_the_dialog_says(panel, settled, tmp_path):
    panel.project_actions.new.trigger()
    (dialog,) = panel.findChildren(NewProjectDialog)
    dialog.place.setText(str(tmp_path))
    dialog.accept()
    settled(panel)
    assert panel.bench.session.project.path == tmp_path / "my glands"


# -- predict ------------------------------------------------------------------------------------


def test_a_folder_that_is_no_project_leaves_the_open_one(opened, settled, tmp_path):
    project, tile = opened.bench.session.project, opened.bench.desk.tile_id
    (tmp_path / "pictures").mkdir()
    opened.bench.open_project(tmp_path / "pictures")
    settled(opened)
    assert opened.bench.session.project is project
    assert opened.bench.desk.tile_id == tile


def test_a_project_that_is_open_elsewhere_leaves_the_open_one_and_its_round(
    opened, settled, engine, tmp_path
):
    job, project = start_round(opened, settled, engine), opened.bench.session.project
    with Project.create(tmp_path / "elsewhere"):
        opened.bench.open_project(tmp_path / "elsewhere")
        settled(opened)
    assert "already open for writing" in opened.messages.text
    assert opened.bench.session.project is project
    assert opened.bench.session.running_round == 1
    assert not job.cancelled


def test_pages_wait_while_another_project_is_opened(opened, settled, tmp_path):
    page = opened.predict_page
    opened.bench.new_project(tmp_path / "second", ("background", "gland"))
    assert not page.isEnabled()
    settled(opened)
    assert page.isEnabled()
    assert opened.bench.project_name == "second"


def test_what_was_noted_while_adding_is_said(opened, settled, tmp_path):
    folder = tmp_path / "more"
    folder.mkdir()
    write_image(folder / "a.png", 40, (60, 80))
    (folder / "masks").mkdir()
    write_mask(folder / "masks" / "b.png", (60, 80))
    opened.bench.add_images([folder], um_per_px=0.5)
    settled(opened)
    assert "1 tile added" in opened.messages.text
    assert "match no image by name" in opened.messages.text


def test_a_folder_without_images_keeps_no_other_from_being_added(opened, settled, tmp_path):
    (tmp_path / "letters").mkdir()
    write_image(tmp_path / "a.png", 40, (60, 80))
    before = len(opened.bench.session.tiles())
    opened.bench.add_images([tmp_path / "letters", tmp_path / "a.png"], um_per_px=0.5)
    settled(opened)
    assert len(opened.bench.session.tiles()) == before + 1
    assert "letters holds no image" in opened.messages.text


def test_long_work_that_waited_is_not_done_to_another_project(
    opened, images, settled, tmp_path, qtbot
):
    bench, failures = opened.bench, []
    bench.failed.connect(failures.append)
    started, go_on = threading.Event(), threading.Event()
    bench.long_work.run(lambda: (started.set(), go_on.wait(PATIENCE)))
    assert started.wait(PATIENCE)
    bench.add_images([images], um_per_px=0.5)
    bench.new_project(tmp_path / "second", ("background", "gland"))
    qtbot.waitUntil(bench.long_work.should_stop)
    go_on.set()
    settled(opened)
    assert bench.session.tiles() == []
    assert any("the project was closed before its turn came" in each for each in failures)


def test_long_work_stays_on_show_when_short_work_beside_it_ends(opened, settled, qtbot):
    bench, messages = opened.bench, opened.messages
    go_on = threading.Event()
    bench.long_work.run(lambda: go_on.wait(PATIENCE), title="Adding images")
    bench.background.run(lambda: None, title="Storing the mask")
    assert messages.busy_text == "Adding images…"
    qtbot.waitUntil(lambda: not bench.background.pending)
    assert messages.busy_text == "Adding images…"
    go_on.set()
    settled(opened)
    assert messages.busy_text == ""


@pytest.fixture
def adding(panel, images, tmp_path, settled, monkeypatch, qtbot):
    """Panel that adds images to a new project: the second is read until it shall stop."""
    bench, count, reached = panel.bench, itertools.count(), threading.Event()

    def read(path):
        if next(count) == 1:
            reached.set()
            deadline = time.monotonic() + PATIENCE
            while not bench.long_work.should_stop():
                assert time.monotonic() < deadline
                time.sleep(0.01)
        return read_image(path)

    monkeypatch.setattr(importing, "read_image", read)
    bench.new_project(tmp_path / "project", ("background", "gland"))
    settled(panel)
    assert len(list(images.glob("*.png"))) > 2
    bench.add_images([images], um_per_px=0.5)
    qtbot.waitUntil(reached.is_set)
    return panel


def stored_tiles(tmp_path):
    with Project.open(tmp_path / "project") as project:
        return len(project.tiles())


def test_adding_images_is_cancelled_between_two_files(adding, images, settled, qtbot):
    messages = adding.messages
    qtbot.waitUntil(lambda: messages.busy_text.startswith("1 of"))
    assert not messages.cancel.isHidden()
    messages.cancel.click()
    assert messages.busy_text.startswith("Stopping")
    settled(adding)
    assert len(adding.bench.session.tiles()) == 2
    assert "then cancelled with" in messages.text
    assert messages.busy_text == ""
    adding.bench.add_images([images], um_per_px=0.5)  # goes on where it was
    settled(adding)
    assert "2 already there" in messages.text
    assert "cancelled" not in messages.text


def test_closing_the_project_waits_for_the_file_at_hand_and_keeps_it(adding, tmp_path, settled):
    adding.bench.close_project()
    settled(adding)
    assert not adding.bench.has_project
    assert "then cancelled with" in adding.messages.text
    assert not adding.messages.is_error
    assert stored_tiles(tmp_path) == 2


def test_closing_the_window_ends_adding_after_the_file_at_hand(adding, tmp_path):
    adding.bench.close()
    assert stored_tiles(tmp_path) == 2


def test_processes_end_with_the_window_although_the_project_does_not_close(
    opened, engine, monkeypatch
):
    def refuse():
        raise StorageError("The project could not be closed: the disk is gone.")

    monkeypatch.setattr(opened.bench.session, "close", refuse)
    with pytest.raises(StorageError):
        opened.bench.close()
    assert engine.closed
    monkeypatch.undo()
    opened.bench.session.close()


def test_time_left_is_told_when_enough_is_done(qtbot, monkeypatch):
    bar, now = MessageBar(), [0.0]
    qtbot.addWidget(bar)
    monkeypatch.setattr("napari_semimoe.gui.message_bar.time.monotonic", lambda: now[0])
    bar.show_busy("Exporting", can_cancel=True)
    bar.show_progress(0, 10, "a")
    now[0] = 20.0
    bar.show_progress(1, 10, "b")
    assert bar.busy_text == "1 of 10, about 3 minutes left: b"


def test_chosen_rows_stay_chosen_while_predictions_arrive(opened):
    table, tiles = opened.predict_page.table, opened.bench.session.tiles()
    table.show_tiles(tiles, tiles[0].id)
    table.selectAll()
    chosen = set(table.selected_ids())
    assert len(chosen) == len(tiles)
    table.show_tiles(tiles, tiles[0].id)
    assert set(table.selected_ids()) == chosen
    table.show_tiles(tiles[::-1], tiles[0].id)  # in another order
    assert set(table.selected_ids()) == chosen
    table.clearSelection()
    table._select_also(tiles[3].id)
    table.show_tiles(tiles, tiles[0].id)
    assert table.selected_ids() == [tiles[3].id]  # not also the one on the desk


def test_chosen_rows_stay_chosen_when_the_open_tile_is_predicted(unpredicted, engine, settled):
    table = unpredicted.predict_page.table
    table.selectAll()
    engine.predict_everything()
    settled(unpredicted)
    assert unpredicted.bench.desk.view.prediction is not None
    assert len(table.selected_ids()) == 6
    unpredicted.predict_page.next.click()
    settled(unpredicted)
    assert table.selected_ids() == [unpredicted.bench.desk.tile_id]


def test_all_rows_are_selected_with_the_keyboard(opened, qtbot):
    table = opened.predict_page.table
    qtbot.keyClick(table, Qt.Key.Key_A, Qt.KeyboardModifier.ControlModifier)
    assert len(table.selected_ids()) == 6


def test_only_rows_that_changed_are_drawn_again(opened, qtbot):
    table, tiles = opened.predict_page.table, opened.bench.session.tiles()
    drawn = []
    table.tiles.dataChanged.connect(lambda first, last: drawn.append((first.row(), last.row())))
    table.show_tiles(tiles, tiles[0].id)
    table.tiles.set_active(tiles[0].id)
    drawn.clear()
    table.show_tiles(tiles, tiles[0].id)
    assert drawn == []
    table.show_tiles([*tiles[:2], replace(tiles[2], patient="P"), *tiles[3:]], tiles[0].id)
    assert drawn == [(2, 2)]


def test_a_row_that_becomes_more_doubtful_rises_and_what_is_chosen_stays_so(opened):
    table, tiles = opened.predict_page.table, opened.bench.session.tiles()
    table.clearSelection()
    table._select_also(tiles[1].id)
    table._select_also(tiles[3].id)
    table.show_tiles([*tiles[:3], replace(tiles[3], disagreement=0.9), *tiles[4:]], tiles[0].id)
    assert table.tiles.row_of(tiles[3].id) == 0
    assert set(table.selected_ids()) == {tiles[1].id, tiles[3].id}


def test_thousands_of_tiles_are_sorted_as_people_count(opened):
    table, (tile, *_) = opened.predict_page.table, opened.bench.session.tiles()
    names = [f"{letter}_{number}" for letter in "aB" for number in range(1500, -1, -1)]
    many = [replace(tile, id=number, name=name) for number, name in enumerate(names, start=100)]
    table.clearSelection()
    table.show_tiles(many, 100)
    table.sortByColumn(0, Qt.SortOrder.AscendingOrder)
    model = table.model()
    shown = [model.index(row, 0).data() for row in range(model.rowCount())]
    assert shown == [f"{letter}_{number}" for letter in "aB" for number in range(1501)]
    assert table.selected_ids() == [100]  # a_1500, wherever it is now
    assert table.currentIndex().data() == "a_1500"


def test_table_lists_tiles_with_the_doubtful_open_ones_first(opened):
    model = opened.predict_page.table.model()
    rows = [
        [model.index(row, column).data() for column in range(3)] for row in range(model.rowCount())
    ]
    assert len(rows) == 6
    pools = [row[1] for row in rows]
    assert pools == ["to review"] * 4 + ["labelled"] * 2
    assert rows[0][2] == "25.0 %"


def test_sorting_by_name_lets_the_queue_follow_and_counts_like_people(opened, settled):
    opened.predict_page.table.sortByColumn(0, Qt.SortOrder.AscendingOrder)
    settled(opened)
    assert opened.bench.session.queue_order == "name"
    opened.predict_page.table.sortByColumn(2, Qt.SortOrder.DescendingOrder)
    settled(opened)
    assert opened.bench.session.queue_order == "disagreement"


def test_click_on_a_row_opens_the_tile(opened, settled, qtbot):
    table = opened.predict_page.table
    index = table.model().index(3, 0)
    name = index.data()
    qtbot.mouseClick(
        table.viewport(), Qt.MouseButton.LeftButton, pos=table.visualRect(index).center()
    )
    settled(opened)
    assert opened.bench.desk.view.tile.name == name


@pytest.mark.parametrize("key", [Qt.Key.Key_Return, Qt.Key.Key_Enter])
def test_tables_take_enter_themselves_as_qt_does_not_on_macos(opened, key, qtbot):
    rows = RowTable([("Tile", "")])
    qtbot.addWidget(rows)
    rows.show_rows([["a"], ["gone"]], tile_ids=[7, None], bold=[False] * 2, tip="")
    tiles, expected = opened.predict_page.table, [7]
    expected.append(tiles.model().index(2, 0).data(TILE_ID))
    chosen = []
    for table in (rows, tiles):
        table.tile_chosen.connect(chosen.append)
    for table, row in ((rows, 0), (rows, 1), (tiles, 2)):
        table.selectRow(row)
        event = QKeyEvent(QEvent.Type.KeyPress, key, Qt.KeyboardModifier.NoModifier)
        table.keyPressEvent(event)
        assert event.isAccepted()
    assert chosen == expected


def test_person_moves_tiles_to_another_pool(opened, settled):
    tile = opened.bench.desk.view.tile
    opened.predict_page.table.pool_chosen.emit([tile.id], Pool.EXCLUDED)
    settled(opened)
    assert opened.bench.session.project.tile(tile.id).pool is Pool.EXCLUDED
    assert "1 excluded" in opened.predict_page.summary.text()


def test_person_corrects_the_pixel_size_and_the_tile_is_predicted_anew(
    opened, settled, engine, monkeypatch
):
    asked = []

    def answer(*args):
        asked.append(args)
        return 0.25, True

    monkeypatch.setattr("napari_semimoe.gui.pixel_size.QInputDialog.getDouble", answer)
    tile = opened.bench.desk.view.tile
    opened.predict_page.table.scale_doubted.emit([tile.id])
    settled(opened)
    assert asked[0][3] == tile.um_per_px == 0.5
    assert opened.messages.text == "The pixel size of 1 image was corrected."
    assert opened.bench.desk.view.tile.um_per_px == 0.25
    assert opened.bench.desk.view.prediction is None
    engine.predict_everything()
    settled(opened)
    assert opened.bench.desk.view.prediction is not None


def test_the_first_click_on_doubt_brings_the_most_doubtful_tiles_to_the_top(opened):
    header = opened.predict_page.table.tiles.headerData
    order = header(2, Qt.Orientation.Horizontal, Qt.ItemDataRole.InitialSortOrderRole)
    assert order == Qt.SortOrder.DescendingOrder


def test_files_that_are_gone_are_told(opened, tmp_path):
    opened.project_actions.add_paths([tmp_path / "gone.png"])
    assert opened.messages.text.startswith("Nothing was added: those files are gone.")


@pytest.mark.parametrize("given", [True, False])
def test_person_names_the_patient_and_chooses_among_those_named(
    opened, settled, monkeypatch, given
):
    asked = []

    def answer(*args):
        asked.append(args[3:])
        return " P2 ", given

    first, second, *_ = opened.bench.session.tiles()
    opened.bench.set_patient([first.id], "P1")
    settled(opened)
    monkeypatch.setattr("napari_semimoe.gui.predict_page.QInputDialog.getItem", answer)
    for tile in (first, second):
        opened.predict_page.table.patient_asked.emit([tile.id])
        settled(opened)
    assert asked == [(["", "P1"], 1, True), (["", "P2" if given else "P1"], 0, True)]
    assert opened.messages.text == "The patient of 1 image was set."
    patients = [tile.patient for tile in opened.bench.session.tiles()[:2]]
    assert patients == (["P2", "P2"] if given else ["P1", None])
    row = opened.predict_page.table.tiles.index(0, 0)
    assert f"Patient: {patients[0]}" in row.data(Qt.ItemDataRole.ToolTipRole)


def test_gates_are_shown_as_shares_of_each_answer(opened):
    gates = opened.predict_page.gates
    texts = [[gates.item(row, column).text() for column in range(3)] for row in range(3)]
    assert texts == [["50 %", "30 %", "20 %"], ["20 %", "70 %", "10 %"], ["10 %", "10 %", "80 %"]]


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_shares_stand_out_from_their_cells_in_both_themes(opened, viewer, theme):
    viewer.theme = theme
    gates = opened.predict_page.gates
    for share in range(0, 101, 4):
        gates.show_gates(("a", "b"), [[share / 100, 1 - share / 100]] * 2)
        shown = gates.grab().toImage()
        for column in (0, 1):
            cell = gates.visualItemRect(gates.item(0, column)).topLeft() + QPoint(3, 3)
            behind = shown.pixelColor(gates.viewport().mapTo(gates, cell)).name()
            text = gates.item(0, column).foreground().color().name()
            assert contrast(text, behind) >= 4, (share, text, behind)


def test_map_button_shows_one_map_over_the_tissue(opened, viewer):
    opened.predict_page.maps.button(2).click()
    assert viewer.layers["expert: distance"].visible
    opened.predict_page.maps.button(4).click()
    assert not viewer.layers["expert: distance"].visible
    assert viewer.layers["disagreement"].visible


def test_chosen_map_stays_on_the_next_tile(opened, viewer, settled, engine):
    opened.predict_page.maps.button(1).click()
    opened.predict_page.next.click()
    settled(opened)
    assert viewer.layers["expert: segmentation"].visible


def test_a_tile_that_is_predicted_already_says_so(opened, settled):
    opened.predict_page.predict.click()
    settled(opened)
    assert opened.messages.text == "The model in use has predicted this tile already."


def test_a_prediction_that_fails_before_its_tile_is_shown_is_told_there(
    unpredicted, engine, settled
):
    desk, tiles = unpredicted.bench.desk, unpredicted.bench.session.tiles()
    desk.select(tiles[0].id)
    for job in engine.of_kind("predict"):
        engine.start(job)
        engine.finish(job, JobState.FAILED, error="The weights file is damaged. Take another.")
    settled(unpredicted)
    assert "Press Predict" in unpredicted.predict_page.gate_hint.text()


def test_a_tile_that_waits_for_its_prediction_says_so(unpredicted, engine, settled):
    hint = unpredicted.predict_page.gate_hint
    unpredicted.bench.desk.select(unpredicted.bench.session.tiles()[0].id)
    settled(unpredicted)
    assert hint.text() == "Being predicted…"
    for job in engine.of_kind("predict"):
        engine.start(job)
        engine.finish(job, JobState.FAILED, error="The weights file is damaged. Take another.")
    settled(unpredicted)
    assert "Press Predict" in hint.text()
    unpredicted.predict_page.predict.click()
    settled(unpredicted)
    assert hint.text() == "Being predicted…"
    engine.predict_everything()
    settled(unpredicted)
    assert not hint.isVisibleTo(unpredicted.predict_page)


def test_the_suggestion_of_a_model_that_is_not_in_use_any_more_is_called_so(
    opened, settled, engine
):
    state = opened.refine_page.state
    assert "The model's suggestion" in state.text()
    engine.train(start_round(opened, settled, engine), new=0.9, old=0.8)
    settled(opened)
    assert "The suggestion of starter" in state.text()
    assert "not the model in use any more" in state.text()
    engine.predict_everything()
    settled(opened)
    assert "The model's suggestion" in state.text()


def test_failed_prediction_is_told(opened, engine, settled):
    opened.bench.session.set_predict_settings(
        opened.bench.session.predict_settings.changed(threshold=0.4)
    )
    for job in engine.of_kind("predict"):
        engine.start(job)
        engine.finish(job, JobState.FAILED, error="The weights file is damaged. Take another.")
    settled(opened)
    assert opened.messages.text == "The weights file is damaged. Take another."


# -- retrain ------------------------------------------------------------------------------------


def test_form_starts_with_the_settings_of_a_round(panel):
    assert panel.retrain_page.settings == RoundSettings()


def test_form_speaks_the_words_of_the_settings(panel):
    widget = panel.retrain_page.common.container["budget_minutes"]
    assert widget.tooltip == RoundSettings.model_fields["budget_minutes"].description
    assert widget.max == 7 * 24 * 60


def test_plan_is_said_above_the_button_and_follows_the_form(opened, settled, qtbot):
    page = opened.retrain_page
    page.common.container["budget_minutes"].value = 7.5
    qtbot.waitUntil(lambda: "8 min" in page.plan.text())
    assert page.plan.text().startswith("Round 1: from starter")
    assert page.start.isEnabled()


def test_round_shows_progress_losses_and_an_honest_end(opened, settled, engine, qtbot):
    page = opened.retrain_page
    job = start_round(opened, settled, engine)
    assert page.progress.cancel.isVisible()
    assert not page.start.isVisible()
    made = {"stage": 1, "stages": 2, "text": "Making pseudo-labels", "passing": True}
    engine.say(job, "stage", made)
    qtbot.waitUntil(lambda: page.progress.stage.text() == "Making pseudo-labels")
    engine.say(job, "step", STEP_REPORT)
    engine.say(job, "validation", {"step": 0, "tiles": 2, "dice": 0.8, "jaccard": 0.6})
    engine.say(job, "validation", {"step": 5, "tiles": 2, "dice": 0.8713, "jaccard": 0.7})
    qtbot.waitUntil(lambda: page.progress.bar.value() == 5)
    assert page.progress.bar.maximum() == 20
    assert page.progress.left.text() == "Step 5 of 20 · about 40 seconds left"
    assert page.progress.stage.text() == "Round 1 is learning"
    engine.say(job, "stage", made | {"text": "Memory is short", "passing": False})
    engine.say(job, "step", STEP_REPORT | {"step": 6})
    qtbot.waitUntil(lambda: page.progress.bar.value() == 6)
    assert page.progress.stage.text() == "Memory is short"
    assert "0.871 on 2 tiles" in page.progress.score.text()
    assert page.progress.plot.drawn("total") == [1.5] * 2
    assert page.progress.plot.drawn("labelled") == [pytest.approx(0.7)] * 2
    assert page.progress.plot.drawn("unlabelled") == []
    assert page.progress.plot.drawn("weight/distance") == [0.6] * 2
    assert page.progress.plot.drawn("gate/boundary") == [0.2] * 2


def test_promoted_round_takes_over(opened, settled, engine):
    engine.train(start_round(opened, settled, engine), new=0.9, old=0.8)
    settled(opened)
    assert "its model predicts from now on" in opened.messages.text
    assert opened.header.model.text().startswith("Model of round 1")
    assert opened.retrain_page.start.isVisible()
    row = opened.retrain_page.rounds.row_of(1)
    assert [row.text(column) for column in (0, 1, 3)] == ["1", "0.900", "in use"]


def test_worse_round_is_kept_beside_and_can_still_be_chosen(opened, settled, engine):
    engine.train(start_round(opened, settled, engine), new=0.7, old=0.8)
    settled(opened)
    assert "does better on the validation tiles" in opened.messages.text
    assert opened.header.model.text().startswith("Starter model")
    tree = opened.retrain_page.rounds
    assert tree.row_of(1).text(3) == "kept beside"
    tree.itemDoubleClicked.emit(tree.row_of(1), 0)
    settled(opened)
    assert opened.header.model.text().startswith("Model of round 1")


def test_cancelled_round_leaves_the_model_as_it_was(opened, settled, engine):
    start_round(opened, settled, engine)
    opened.retrain_page.progress.cancel.click()
    settled(opened)
    assert opened.bench.session.project.rounds()[-1].state is RoundState.CANCELLED
    assert "was cancelled" in opened.messages.text
    assert opened.retrain_page.start.isVisible()


def test_cancelled_round_goes_on_where_it_was(opened, settled, engine):
    start_round(opened, settled, engine)
    opened.retrain_page.progress.cancel.click()
    settled(opened)
    tree = opened.retrain_page.rounds
    menu = tree.menu_of(tree.row_of(1))
    assert [action.text() for action in menu.actions()] == [
        "Go on with round 1",
        "Note on round 1…",
    ]
    menu.actions()[0].trigger()
    settled(opened)
    assert opened.bench.session.running_round == 1
    assert opened.retrain_page.progress.cancel.isEnabled()
    engine.train(engine.of_kind("train")[0])
    settled(opened)
    assert opened.bench.session.project.rounds()[-1].state is RoundState.PROMOTED


def test_paused_round_goes_on_with_a_button(opened, settled, engine):
    page, session = opened.retrain_page, opened.bench.session
    start_round(opened, settled, engine)
    assert not page.go_on.isVisible()
    page.progress.pause.click()
    settled(opened)
    assert session.project.rounds()[-1].state is RoundState.INTERRUPTED
    assert "is paused" in opened.messages.text
    assert not opened.messages.is_error
    assert page.go_on.text() == "Go on with round 1"
    page.go_on.click()
    settled(opened)
    assert session.running_round == 1
    assert opened.messages.text == ""  # it is paused no longer
    assert not page.go_on.isVisible()
    assert page.progress.pause.isEnabled()
    page.progress.cancel.click()  # this time for good
    settled(opened)
    assert session.project.rounds()[-1].state is RoundState.CANCELLED
    assert not page.go_on.isVisible()


def test_running_round_is_seen_on_every_page(opened, settled, engine):
    job = start_round(opened, settled, engine)
    opened.show_step(Step.REFINE)
    engine.say(job, "step", STEP_REPORT)
    settled(opened)
    assert opened.header.model.text().endswith("round 1 at 25 %")
    engine.train(job)
    settled(opened)
    assert "%" not in opened.header.model.text()


def test_failed_round_says_why(opened, settled, engine):
    job = start_round(opened, settled, engine)
    engine.finish(job, JobState.FAILED, error="The graphics card has no memory left.")
    settled(opened)
    assert opened.messages.is_error
    assert "no memory left" in opened.messages.text


def test_round_whose_end_the_disk_refuses_leaves_the_next_one_possible(
    opened, settled, engine, monkeypatch
):
    job = start_round(opened, settled, engine)
    refused = []

    def refuse(*_, **__):
        refused.append(True)
        raise StorageError("The round could not be stored: the disk is full.")

    monkeypatch.setattr(opened.bench.session.project, "finish_round", refuse)
    engine.train(job, new=0.9, old=0.8)
    settled(opened)
    assert refused
    assert "the disk is full" in opened.messages.text
    page = opened.retrain_page
    assert not page.start.isHidden()
    assert page.progress.cancel.isHidden()
    assert "round 1" not in opened.header.model.text()
    monkeypatch.undo()
    page.start.click()  # stores the end of the one before, first
    settled(opened)
    assert opened.bench.session.project.round(1).state is RoundState.PROMOTED


def test_a_round_that_is_due_in_a_project_that_was_left_begins_nowhere(
    opened, settled, engine, images, tmp_path
):
    bench, page = opened.bench, opened.retrain_page
    bench.new_project(tmp_path / "other", ("background", "gland"))
    settled(opened)
    bench.add_images([images], um_per_px=0.5)
    settled(opened)
    bench.open_project(tmp_path / "project")
    settled(opened)
    for _ in range(3):
        engine.predict_everything()
        settled(opened)
        bench.desk.accept()
        settled(opened)
    with signals_blocked(page.automatic):
        page.automatic.setChecked(True)
    gate = threading.Event()
    bench.background.run(gate.wait)
    page._read_plan()
    bench.open_project(tmp_path / "other")
    gate.set()
    settled(opened)
    assert bench.project_name == "other"
    assert not [job for job in engine.jobs if job.kind == "train"]


def test_a_form_that_does_not_fit_begins_nothing_although_a_plan_comes_late(
    opened, settled, engine
):
    page, gate = opened.retrain_page, threading.Event()
    opened.bench.background.run(gate.wait)
    page._read_plan()
    page.more.container["pseudo_labels"].value = "step"
    page.common.container["agreement"].value = 0.5
    page._read_plan()
    page._plan_timer.stop()
    refused = page.plan.text()
    gate.set()
    settled(opened)
    assert (page.start.isEnabled(), page.plan.text()) == (False, refused)
    page._on_start_clicked()  # within the moment in which the form is not read yet
    settled(opened)
    assert not engine.of_kind("train")


def test_going_on_twice_with_a_round_is_going_on_once(opened, settled, engine):
    page = opened.retrain_page
    opened.bench.desk.accept()
    settled(opened)
    page.start.click()
    settled(opened)
    page.progress.pause.click()
    settled(opened)
    page.go_on.click()
    page.go_on.click()
    settled(opened)
    assert not opened.messages.is_error
    assert opened.bench.session.running_round == 1


def test_round_begins_by_itself_after_three_accepted_tiles(opened, settled, engine):
    page, session = opened.retrain_page, opened.bench.session
    page.automatic.setChecked(True)
    settled(opened)
    assert session.running_round is None
    for tile in session.tiles()[2:5]:
        opened.bench.desk.select(tile.id)
        settled(opened)
        opened.bench.desk.accept()
        settled(opened)
        session.set_pool(tile.id, Pool.CURATED)
        settled(opened)
    assert session.running_round == 1
    assert len(engine.of_kind("train")) == 1


def test_a_round_that_no_tile_can_judge_says_so_before_and_after(opened, settled, engine):
    assert "No tile checks it" in opened.retrain_page.plan.text()
    job = start_round(opened, settled, engine)
    engine.train(job, new=None, old=None)
    settled(opened)
    assert opened.messages.text.endswith("No validation tile judged it.")


def test_a_project_without_images_offers_no_round(panel, starter, tmp_path, settled, engine):
    panel.bench.new_project(tmp_path / "project", ("background", "gland"))
    settled(panel)
    assert panel.retrain_page.plan.text() == NOTHING_TO_LEARN
    assert not panel.retrain_page.start.isEnabled()


def test_a_project_without_images_offers_to_add_some(panel, images, tmp_path, settled, monkeypatch):
    chosen = "napari_semimoe.gui.project_actions.QFileDialog.getExistingDirectory"
    monkeypatch.setattr(chosen, lambda *_: str(images))
    monkeypatch.setattr(
        "napari_semimoe.gui.pixel_size.QInputDialog.getDouble", lambda *_, **__: (0.5, True)
    )
    panel.bench.new_project(tmp_path / "project", ("background", "gland"))
    settled(panel)
    add = panel.predict_page.add
    assert add.isVisibleTo(panel.predict_page)
    add.click()
    settled(panel)
    assert len(panel.bench.session.tiles()) == 6
    assert not add.isVisibleTo(panel.predict_page)


def test_class_masks_are_added_in_the_window_of_a_project_of_several_classes(
    panel, tmp_path, settled, monkeypatch
):
    folder = tmp_path / "classed"
    folder.mkdir()
    save(folder / "a.png", pixels(0))
    classes = np.zeros((40, 56), np.uint8)
    classes[:10, :10], classes[20:30, 20:30], classes[:10, 30:] = 1, 1, 2
    save(folder / "a_mask.png", classes)
    monkeypatch.setattr(
        "napari_semimoe.gui.project_actions.QFileDialog.getExistingDirectory",
        lambda *_: str(folder),
    )
    monkeypatch.setattr(
        "napari_semimoe.gui.pixel_size.QInputDialog.getDouble", lambda *_, **__: (0.5, True)
    )
    action = panel.project_actions.add_classes
    panel.bench.new_project(tmp_path / "one", ("background", "gland"))
    settled(panel)
    assert not action.isVisible()
    panel.bench.new_project(tmp_path / "project", ("background", "benign", "malignant"))
    settled(panel)
    assert action.isVisible()
    action.trigger()
    settled(panel)
    project = panel.bench.session.project
    (tile,) = project.tiles()
    assert project.annotations(tile.id)[-1].classes == {1: 1, 2: 1, 3: 2}
    assert project.image_source(tile.id)["um_per_px"] == 0.5


def test_round_without_any_mask_is_refused_in_words(
    panel, starter, images, tmp_path, settled, engine
):
    for mask in images.glob("*_anno.png"):
        mask.unlink()
    panel.bench.new_project(tmp_path / "project", ("background", "gland"))
    settled(panel)
    panel.bench.add_images([images], um_per_px=0.5)
    settled(panel)
    assert "needs at least one tile with a mask" in panel.retrain_page.plan.text()
    assert not panel.retrain_page.start.isEnabled()
    panel.retrain_page.start.click()
    settled(panel)
    assert engine.of_kind("train") == []


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (3, "a few seconds left"),
        (42, "about 40 seconds left"),
        (150, "about 2 minutes left"),
        (7200, "about 2.0 hours left"),
    ],
)
def test_time_left_is_no_more_exact_than_honest(seconds, words):
    assert time_left(seconds) == words


# -- export -------------------------------------------------------------------------------------


def test_export_writes_the_accepted_masks(opened, settled, tmp_path):
    page = opened.export_page
    page.kind.setCurrentIndex(page.kind.findData("png"))
    page.folder.setText(str(tmp_path / "masks"))
    page.export.click()
    settled(opened)
    assert len(list((tmp_path / "masks").glob("*.png"))) == 2
    assert "2 curated masks" in page.result.text()
    assert page.show_folder.isEnabled()


def test_export_of_the_open_tile_waits_until_it_has_a_mask(opened, settled, tmp_path):
    page = opened.export_page
    page.which.setCurrentIndex(page.which.findData("open"))
    assert not page.export.isEnabled()
    assert "has no mask yet" in page.count.text()
    page.which.setCurrentIndex(page.which.findData("all"))
    assert page.export.isEnabled()
    page.which.setCurrentIndex(page.which.findData("open"))
    opened.bench.desk.select(next(t.id for t in opened.bench.session.tiles() if t.annotation_id))
    settled(opened)
    page.folder.setText(str(tmp_path / "masks"))
    page.export.click()
    settled(opened)
    assert page.result.text()
    assert page.export.isEnabled()


def test_an_export_that_failed_does_not_show_the_folder_of_the_one_before(
    opened, settled, tmp_path
):
    page = opened.export_page
    page.folder.setText(str(tmp_path / "masks"))
    page.export.click()
    settled(opened)
    assert page.result.text()
    page.folder.setText(str(tmp_path / "images" / "tile_1.png"))  # a file
    page.export.click()
    settled(opened)
    assert opened.messages.is_error
    assert page.result.text() == ""
    assert page.show_folder.isHidden()


def test_export_folder_is_remembered(opened, settled, tmp_path):
    page = opened.export_page
    page.folder.setText(str(tmp_path / "masks"))
    page.export.click()
    settled(opened)
    path = opened.bench.session.project.path
    opened.bench.close_project()
    settled(opened)
    opened.bench.open_project(Path(path))
    settled(opened)
    assert page.folder.text() == str(tmp_path / "masks")


def test_words_of_the_panel_are_not_cut(opened, qtbot):
    """Buttons and labels get at least the width that their text asks for."""
    for step in Step:
        opened.show_step(step)
        qtbot.wait(50)
        for each in opened.findChildren(QWidget):
            if not each.isVisible() or not isinstance(each, QPushButton | QLabel):
                continue
            if isinstance(each, QLabel) and (each.wordWrap() or not each.text()):
                continue
            assert each.width() + 1 >= each.minimumSizeHint().width(), each.text()
