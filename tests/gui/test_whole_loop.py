"""The whole loop in the real window with real child processes, real zarr and real SQLite."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import zarr
from qtpy.QtCore import Qt

from napari_semimoe.core.settings import ModelSettings
from napari_semimoe.core.states import RoundState
from napari_semimoe.data.synthetic import write_tiles
from napari_semimoe.gui.opening import make_bench, open_panel, panel_of
from napari_semimoe.gui.steps import Step

from .acting import plugin_menu, press, stroke

#: Comes back in seconds, far too little to segment anything.
TINY = ModelSettings(width=8, um_per_px=2.5)
FEW_STEPS = {
    "max_steps": 3,
    "crop_px": 64,
    "labelled_batch": 2,
    "unlabelled_batch": 2,
    "stages": 1,
}


@pytest.fixture
def tissue(tmp_path):
    """Four drawn tiles, two of them with masks."""
    folder = tmp_path / "tissue"
    write_tiles(folder, 4, seed=1, size=(150, 200))
    for number in (3, 4):
        next(folder.glob(f"*_{number}_anno.png")).unlink()
    return folder


def retrain(panel, viewer, qtbot):
    """Press Retrain with few steps and wait for the end of the round."""
    plugin_menu(viewer)["Retrain"].trigger()
    page = panel.retrain_page
    page.more.set_values(FEW_STEPS)
    page.ask_for_plan()
    qtbot.waitUntil(lambda: page.start.isEnabled() and bool(page.plan.text()))
    page.start.click()
    qtbot.waitUntil(lambda: panel.bench.session.running_round is not None)
    qtbot.waitUntil(lambda: panel.bench.session.running_round is None)
    qtbot.waitUntil(lambda: not panel.bench.background.pending)


@pytest.mark.timeout(600)
def test_person_teaches_the_network_and_finds_everything_again(
    viewer, tissue, tmp_path, qtbot, monkeypatch
):
    monkeypatch.setattr("napari_semimoe.session.models.starter_weights", lambda: None)
    monkeypatch.setattr("napari_semimoe.session.session.network_for", lambda *_: TINY)
    place = tmp_path / "project"
    panel = open_panel(viewer, Step.PREDICT)
    bench, desk = panel.bench, panel.bench.desk

    # a project with tissue
    bench.new_project(place, ("background", "gland"))
    qtbot.waitUntil(lambda: bench.has_project)
    bench.add_images([tissue], um_per_px=0.62)
    qtbot.waitUntil(lambda: desk.view is not None)
    qtbot.waitUntil(lambda: not bench.long_work.pending)
    tile = desk.view.tile
    assert desk.view.prediction is None
    assert "No model yet" in panel.header.model.text()

    # a first round makes a model, which predicts the tile on the desk
    retrain(panel, viewer, qtbot)
    assert bench.session.project.rounds()[-1].state is RoundState.PROMOTED
    qtbot.waitUntil(lambda: desk.view.prediction is not None)
    assert "round 1" in panel.header.model.text()
    assert panel.retrain_page.rounds.row_of(1).is_marked
    first_map = viewer.layers["expert: distance"].data.copy()
    assert first_map.any()

    # the brush corrects it
    plugin_menu(viewer)["Refine"].trigger()
    qtbot.wait(200)
    viewer.reset_view()
    layer = viewer.layers["pseudo-label"]
    press(viewer, Qt.Key.Key_N)
    stroke(viewer, layer, (60, 60), (60, 90), (90, 90))
    assert desk.changed_px > 100
    painted = layer.data.copy()

    # one key accepts it, and the next tile comes predicted
    press(viewer, Qt.Key.Key_A)
    qtbot.waitUntil(lambda: desk.tile_id not in (None, tile.id))
    qtbot.waitUntil(lambda: desk.view.prediction is not None)
    next_tile = desk.view.tile
    record = bench.session.project.annotations(tile.id)[-1]
    assert (record.origin, record.model, record.round) == ("corrected", "round 1", 1)
    np.testing.assert_array_equal(bench.session.project.read_labels(tile.id), painted)

    # a second round learns from it and predicts anew
    before = viewer.layers["expert: distance"].data.copy()
    retrain(panel, viewer, qtbot)
    qtbot.waitUntil(lambda: bench.session.project.rounds()[-1].ended is not None)
    second = bench.session.project.rounds()[-1]
    assert second.number == 2
    assert second.report["steps"] == 3
    if second.state is RoundState.PROMOTED:
        qtbot.waitUntil(lambda: (viewer.layers["expert: distance"].data != before).any())

    # strokes that are not accepted, and the curated masks for others
    press(viewer, Qt.Key.Key_N)
    qtbot.wait(50)
    stroke(viewer, layer, (20, 20), (20, 50))
    draft = layer.data.copy()
    plugin_menu(viewer)["Export curated masks"].trigger()
    panel.export_page.folder.setText(str(tmp_path / "masks"))
    panel.export_page.export.click()
    qtbot.waitUntil(lambda: bool(panel.export_page.result.text()))
    written = zarr.open_group(tmp_path / "masks" / f"{tile.name}.zarr", mode="r")
    np.testing.assert_array_equal(written["labels/curated/s0"][:], painted)

    # the program ends and starts again: all is as it was
    viewer.close()
    qtbot.waitUntil(lambda: panel_of(viewer) is None)
    _find_everything_again(qtbot, place, tile, painted, next_tile, draft)


def _find_everything_again(qtbot, place: Path, tile, painted, next_tile, draft):
    import napari

    viewer = napari.Viewer(show=True)
    try:
        panel = open_panel(viewer, Step.REFINE, make_bench(viewer))
        panel.bench.open_project(place)
        desk = panel.bench.desk
        qtbot.waitUntil(lambda: desk.view is not None)
        assert desk.view.tile.id == next_tile.id
        np.testing.assert_array_equal(viewer.layers["pseudo-label"].data, draft)
        assert len(panel.bench.session.project.rounds()) == 2
        desk.select(tile.id)
        qtbot.waitUntil(lambda: desk.view.tile.id == tile.id)
        np.testing.assert_array_equal(viewer.layers["pseudo-label"].data, painted)
    finally:
        viewer.close()
        qtbot.waitUntil(lambda: panel_of(viewer) is None)
