from __future__ import annotations

from functools import partial

import pytest
from qtpy.QtCore import QTimer

from napari_semimoe.gui.opening import open_panel
from napari_semimoe.gui.steps import Step
from napari_semimoe.gui.workbench import Workbench
from napari_semimoe.session.session import Session
from tests.patience import PATIENCE
from tests.session.conftest import write_image, write_mask

from .fakes import WindowEngine

SHAPES = {1: (60, 80), 2: (60, 80), 3: (60, 80), 4: (90, 50), 5: (60, 80), 6: (61, 79)}


@pytest.fixture
def qtbot(qtbot, monkeypatch):
    """Wait patiently for what must come: a busy machine takes long."""
    monkeypatch.setattr(qtbot, "waitUntil", partial(qtbot.waitUntil, timeout=1000 * PATIENCE))
    return qtbot


@pytest.fixture
def images(tmp_path):
    """Six tiles of several shapes; the first two come with a mask."""
    folder = tmp_path / "images"
    folder.mkdir()
    for number, shape in SHAPES.items():
        write_image(folder / f"tile_{number}.png", number, shape)
        if number <= 2:
            write_mask(folder / f"tile_{number}_anno.png", shape)
    return folder


@pytest.fixture
def engine(tmp_path):
    return WindowEngine(tmp_path)


@pytest.fixture
def viewer(make_napari_viewer):
    return make_napari_viewer(show=True)


@pytest.fixture
def panel(viewer, engine, qtbot):
    """The docked panel on a session whose engine the test controls."""
    session = Session(engine, author="Dr Test")
    bench = Workbench(viewer, session, on_close=engine.close)
    engine.on_wake = bench.relay.engine_woke.emit
    panel = open_panel(viewer, Step.PREDICT, bench)
    yield panel
    bench.close()


@pytest.fixture
def settled(qtbot):
    """Return a function that waits until the window has nothing left to do."""

    def wait(panel):
        def quiet():
            bench = panel.bench
            if bench.background.pending or bench.long_work.pending:
                return False  # looking for timers is slow
            timers = panel.findChildren(QTimer)
            return not any(timer.isActive() and timer.isSingleShot() for timer in timers)

        for _ in range(3):  # what ends may begin something else
            qtbot.waitUntil(quiet)
            qtbot.wait(20)

    return wait


@pytest.fixture
def unpredicted(panel, engine, starter, images, tmp_path, settled):
    """The panel with a project of six tiles whose predictions have not come yet."""
    panel.bench.new_project(tmp_path / "project", ("background", "gland"))
    settled(panel)
    panel.bench.add_images([images], um_per_px=0.5)
    settled(panel)
    return panel


@pytest.fixture
def opened(unpredicted, engine, settled):
    """The panel with a project of six tiles, the tile on the desk predicted."""
    engine.predict_everything()
    settled(unpredicted)
    return unpredicted
