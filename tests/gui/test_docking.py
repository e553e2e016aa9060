from __future__ import annotations

import gc

import numpy as np
import pytest

from napari_semimoe.gui.opening import panel_of
from napari_semimoe.gui.steps import Step

from .acting import our_docks, plugin_menu

ENTRIES = {
    "Predict": Step.PREDICT,
    "Refine": Step.REFINE,
    "Retrain": Step.RETRAIN,
    "Export curated masks": Step.EXPORT,
}


@pytest.fixture
def quiet_viewer(viewer, engine, monkeypatch, tmp_path):
    """A viewer whose panel, opened from the menu, starts no child processes."""
    engine.log_dir = tmp_path / "logs"
    monkeypatch.setattr("napari_semimoe.gui.opening.make_engine", lambda _: engine)
    return viewer


def test_menu_has_the_four_steps_in_order(quiet_viewer):
    assert list(plugin_menu(quiet_viewer)) == list(ENTRIES)


@pytest.mark.parametrize(("entry", "step"), ENTRIES.items())
def test_each_entry_opens_the_dock_at_its_step(quiet_viewer, qtbot, entry, step):
    plugin_menu(quiet_viewer)[entry].trigger()
    qtbot.wait(50)
    assert panel_of(quiet_viewer).step is step
    assert [dock.isVisible() for dock in our_docks(quiet_viewer)] == [True]


def test_going_through_all_entries_makes_no_second_and_no_empty_dock(quiet_viewer, qtbot):
    panels = set()
    for entry in (*ENTRIES, *ENTRIES):
        plugin_menu(quiet_viewer)[entry].trigger()
        qtbot.wait(20)
        panels.add(panel_of(quiet_viewer))
        docks = our_docks(quiet_viewer)
        assert len(docks) == 1
        assert docks[0].widget() is panel_of(quiet_viewer)
        assert list(quiet_viewer.window.dock_widgets) == ["Semi-MoE"]
    assert len(panels) == 1


def test_same_entry_twice_keeps_the_dock_open(quiet_viewer, qtbot):
    for _ in range(2):
        plugin_menu(quiet_viewer)["Refine"].trigger()
        qtbot.wait(20)
    assert our_docks(quiet_viewer)[0].isVisible()


def test_dock_closed_by_its_cross_comes_back_with_the_same_panel(quiet_viewer, qtbot):
    plugin_menu(quiet_viewer)["Predict"].trigger()
    qtbot.wait(20)
    before = panel_of(quiet_viewer)
    before.parent().destroyOnClose()
    qtbot.wait(20)
    assert our_docks(quiet_viewer) == []
    plugin_menu(quiet_viewer)["Retrain"].trigger()
    qtbot.wait(20)
    assert panel_of(quiet_viewer) is before
    assert before.isVisible()
    assert before.step is Step.RETRAIN


def test_widget_asked_for_by_name_opens_the_panel_too(quiet_viewer, qtbot):
    quiet_viewer.window.add_plugin_dock_widget("napari-semimoe", "Export curated masks")
    qtbot.wait(20)
    assert panel_of(quiet_viewer).step is Step.EXPORT
    assert len(our_docks(quiet_viewer)) == 1


def test_closing_the_window_ends_the_work_behind_the_panel(quiet_viewer, qtbot, engine):
    plugin_menu(quiet_viewer)["Predict"].trigger()
    qtbot.wait(20)
    bench = panel_of(quiet_viewer).bench
    quiet_viewer.close()
    qtbot.waitUntil(lambda: engine.closed)
    assert panel_of(quiet_viewer) is None
    assert bench.session.project is None


def test_collector_is_spared_what_is_there_until_the_window_goes(quiet_viewer, qtbot):
    plugin_menu(quiet_viewer)["Predict"].trigger()
    assert gc.get_freeze_count() > 10_000
    quiet_viewer.close()
    qtbot.waitUntil(lambda: panel_of(quiet_viewer) is None)
    assert gc.get_freeze_count() == 0


def test_nothing_is_set_aside_where_a_layer_is_open(quiet_viewer, qtbot):
    quiet_viewer.add_image(np.zeros((8, 8)))
    plugin_menu(quiet_viewer)["Predict"].trigger()
    qtbot.wait(20)
    assert gc.get_freeze_count() == 0


def test_without_a_project_the_panel_says_how_to_begin(quiet_viewer, qtbot):
    plugin_menu(quiet_viewer)["Refine"].trigger()
    qtbot.wait(20)
    panel = panel_of(quiet_viewer)
    assert panel.start_page.new.isVisible()
    assert not panel.refine_page.isVisible()
    assert not panel.project_actions.add_images.isEnabled()


def test_what_went_wrong_is_in_the_log_file(quiet_viewer, qtbot, tmp_path):
    plugin_menu(quiet_viewer)["Predict"].trigger()
    qtbot.wait(20)
    bench = panel_of(quiet_viewer).bench
    bench.open_project(tmp_path)
    qtbot.waitUntil(lambda: not bench.background.pending)
    text = bench.log.read_text(encoding="utf-8")
    assert "Traceback" in text
    assert "ProjectFormatError" in text
