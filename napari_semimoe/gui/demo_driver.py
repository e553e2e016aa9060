"""The loop in a real window: for a person, or walked through by itself with real mouse events.

``python -m napari_semimoe.gui.demo_driver PROJECT`` opens the window on a project;
``--automatic OUT`` also works through the loop once and leaves pictures and a report in OUT.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QPoint, Qt
from qtpy.QtOpenGLWidgets import QOpenGLWidget
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QAbstractButton, QApplication, QWidget

from napari_semimoe.gui.opening import open_panel
from napari_semimoe.gui.steps import Step
from napari_semimoe.session.demo import WALKER, demo_round
from napari_semimoe.session.demo_person import correction, stand_in
from napari_semimoe.session.demo_report import EXPORT, DemoReport

if TYPE_CHECKING:
    import napari

    from napari_semimoe.gui.panel import Panel
    from napari_semimoe.project.records import RoundRecord

LEFT = Qt.MouseButton.LeftButton


class WindowDriver:
    """Hands and eyes of a person at the window.

    Parameters
    ----------
    viewer, panel
        The window and its Semi-MoE panel.
    """

    def __init__(self, viewer: napari.Viewer, panel: Panel) -> None:
        self.viewer = viewer
        self.panel = panel

    def wait(self, until: Callable[[], object], what: str, seconds: float = 60) -> float:
        """Let the window live until something is so; return the seconds it took."""
        start = time.monotonic()
        while not until():
            QTest.qWait(20)
            if time.monotonic() - start > seconds:
                raise TimeoutError(f"{what} did not happen within {seconds:.0f} s.")
        return time.monotonic() - start

    def click(self, target: QAbstractButton) -> None:
        """Click a button that can be seen."""
        self.wait(lambda: target.isVisible() and target.isEnabled(), f"'{target.text()}' to click")
        QTest.mouseClick(target, LEFT)

    def press(self, key: str) -> None:
        """Press a key with the pointer over the canvas."""
        self.canvas.setFocus()
        QTest.keyClicks(self.canvas, key)

    def paint(self, path: list[tuple[float, float]]) -> None:
        """Draw one stroke through pixels ``(y, x)`` of the active tile."""
        points = [self.on_canvas(y, x) for y, x in path]
        QTest.mouseMove(self.canvas, points[0])
        QTest.mousePress(self.canvas, LEFT, Qt.KeyboardModifier.NoModifier, points[0])
        for point in points[1:]:
            QTest.mouseMove(self.canvas, point)
            QTest.qWait(15)  # as slow as a hand, so that every move arrives by itself
        QTest.mouseRelease(self.canvas, LEFT, Qt.KeyboardModifier.NoModifier, points[-1])

    def on_canvas(self, y: float, x: float) -> QPoint:
        """Return where a pixel of the active tile is on the canvas."""
        layer = self.panel.bench.desk.layers.labels_layer
        assert layer is not None, "a tile is on the desk"
        world = np.asarray(layer.data_to_world((y, x)))
        centre = np.asarray(self.viewer.scene.camera.center)[-2:]
        middle = np.array([self.canvas.height(), self.canvas.width()]) / 2
        down, right = (world - centre) * self.viewer.scene.camera.zoom + middle
        return QPoint(round(right), round(down))

    @property
    def canvas(self) -> QWidget:
        """The widget that napari draws on."""
        found = self.panel.window().findChild(QOpenGLWidget)
        assert found is not None, "napari's window draws with OpenGL"
        return found

    def picture(self, path: Path) -> Path:
        """Save what the whole window looks like now."""
        QTest.qWait(300)  # the last redraw
        path.parent.mkdir(parents=True, exist_ok=True)
        self.viewer.screenshot(str(path), canvas_only=False, flash=False)
        return path


class Walk:
    """Once through the loop: predict, brush, accept, retrain, look again, export.

    Parameters
    ----------
    driver
        Works the window; its project has a model already.
    report
        Gets a line and a picture for every step.
    minutes
        Time for the round.
    """

    def __init__(self, driver: WindowDriver, report: DemoReport, minutes: float) -> None:
        self.driver = driver
        self.panel = driver.panel
        self.bench = driver.panel.bench
        self.report = report
        self.minutes = minutes

    def run(self, project: Path, out: Path) -> None:
        """Do every step; a step that does not end in time raises."""
        self.open(project)
        self.look()
        self.correct()
        self.accept()
        self.retrain()
        self.export(out)

    def open(self, project: Path) -> None:
        """Open the project and wait for the first prediction."""
        self.bench.open_project(project)
        seconds = self.driver.wait(self._is_predicted, "The first prediction")
        self._note("Open", f"The first tile is predicted {seconds:.1f} s after opening.", "open")

    def look(self) -> None:
        """Show each expert's map and where the experts disagree."""
        self.panel.show_step(Step.PREDICT)
        for name in ("segmentation", "distance", "boundary", "disagreement"):
            self.panel.predict_page.show_next_map()
            self._note(f"Look: {name}", self._gates() if name == "disagreement" else "", name)
        self.panel.predict_page.show_next_map()

    def correct(self) -> None:
        """Brush into the largest error, as a person would."""
        self.panel.show_step(Step.REFINE)
        desk = self.bench.desk
        assert desk.view is not None, "a tile was opened"
        assert desk.view.prediction is not None, "it was predicted"
        seen = stand_in(desk.view.tile.name, desk.view.image)
        stroke = correction(desk.view.prediction, seen)
        self.driver.click(self.panel.refine_page.tools["paint" if stroke.adds else "erase"])
        self.driver.paint(stroke.path)
        self.driver.wait(lambda: desk.changed_px > 0, "The stroke")
        self._note("Brush", f"One stroke changed {desk.changed_px} pixels.", "brush")

    def accept(self) -> None:
        """Accept with the key; the next tile comes up predicted."""
        before = self.bench.desk.tile_id
        self.driver.press("A")
        seconds = self.driver.wait(
            lambda: self.bench.desk.tile_id != before and self._is_predicted(), "The next tile"
        )
        self._note("Accept", f"The next tile is there, predicted, after {seconds:.1f} s.", "next")

    def retrain(self) -> None:
        """Train a round in the background and wait for its model's prediction."""
        self.panel.show_step(Step.RETRAIN)
        page = self.panel.retrain_page
        values = demo_round(minutes=self.minutes).model_dump()
        for form in (page.common, page.more):
            form.set_values(values)
        ended: list[RoundRecord] = []
        self.bench.relay.round_finished.connect(ended.append)
        before = self._model()
        self.driver.click(page.start)
        self.driver.wait(
            lambda: page.progress.bar.value() > page.progress.bar.maximum() // 3, "The round", 600
        )
        self._note("Retrain", "The round runs in the background.", "retrain")
        self.driver.wait(lambda: ended, "The end of the round", 300 + 120 * self.minutes)
        if self.bench.session.model_name != before:
            self.driver.wait(lambda: self._model() != before, "The new prediction")
        self.panel.show_step(Step.PREDICT)
        self._note("The new model", self.report.sentence_of(ended[0]), "better")

    def export(self, out: Path) -> None:
        """Write the accepted masks as OME-Zarr."""
        self.panel.show_step(Step.EXPORT)
        page = self.panel.export_page
        page.folder.setText(str(out))
        self.driver.click(page.export)
        self.driver.wait(page.result.text, "The export", 120)
        self._note("Export", page.result.text(), "export")

    def _is_predicted(self) -> bool:
        view = self.bench.desk.view
        return view is not None and view.prediction is not None

    def _model(self) -> str | None:
        """Return which model made the prediction on show."""
        project, view = self.bench.session.project, self.bench.desk.view
        record = project.prediction(view.tile.id) if project and view else None
        return record.model if record else None

    def _gates(self) -> str:
        view = self.bench.desk.view
        assert view is not None, "a tile was opened"
        assert view.prediction is not None, "it was predicted"
        prediction = view.prediction
        rows = (
            f"{task}: "
            + ", ".join(
                f"{name} {share:.2f}"
                for name, share in zip(prediction.expert_names, row, strict=True)
            )
            for task, row in zip(prediction.expert_names, prediction.gates, strict=True)
        )
        return "Gates of this tile, expert by task: " + "; ".join(rows) + "."

    def _note(self, title: str, text: str, name: str) -> None:
        number = len(self.report.steps) + 1
        picture = self.driver.picture(self.report.folder / f"{number:02d}-{name}.png")
        self.report.add(title, text, picture)


def main(arguments: list[str] | None = None) -> int:
    """Open the window on a project; with ``--automatic``, walk through the loop and close it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("project", type=Path)
    parser.add_argument("--automatic", type=Path, metavar="OUT")
    parser.add_argument("--minutes", type=float, default=1.0)
    given = parser.parse_args(arguments)
    import napari

    viewer = napari.Viewer(title="Semi-MoE demo", show=True)
    viewer.window.resize(1500, 950)
    panel = open_panel(viewer, Step.PREDICT)
    if given.automatic is None:
        panel.bench.open_project(given.project)
        napari.run()
        return 0
    panel.bench.session.author = WALKER
    report = DemoReport(given.automatic, "in a real window")
    try:
        walk = Walk(WindowDriver(viewer, panel), report, given.minutes)
        walk.run(given.project, given.automatic / EXPORT)
    except (TimeoutError, AssertionError) as error:
        report.add("Stopped", str(error))
        print(error, file=sys.stderr)
        return 1
    finally:
        report.write()
        viewer.close()
        QApplication.processEvents()
    return 0


if __name__ == "__main__":
    sys.exit(main())
