"""The round under way: its progress, its curves, and the buttons that stop it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Slot
from qtpy.QtWidgets import QCheckBox, QHBoxLayout, QLabel, QProgressBar, QVBoxLayout, QWidget

from napari_semimoe.gui.durations import time_left
from napari_semimoe.gui.round_plot import RoundPlot
from napari_semimoe.gui.widgets import button, hint, single_shot
from napari_semimoe.project.records import counted
from napari_semimoe.session.step_log import read_curve

if TYPE_CHECKING:
    from napari_semimoe.gui.workbench import Workbench

#: A process that was asked to stop may be ended so long after; the engine refuses before.
OVERDUE_MS = 5500


class RoundProgress(QWidget):
    """Middle part of the third step; its curves stay until the next round begins.

    Parameters
    ----------
    bench
        What the panel shows and forwards to.
    """

    def __init__(self, bench: Workbench) -> None:
        super().__init__()
        self._bench = bench
        self._latest: Mapping[str, Any] | None = None
        self._number = 0
        self._passing = False  # the line on the stage is over at the next step
        self.pause = button("Pause", "Stop now and go on later, also after closing the window")
        self.cancel = button("Cancel this round", "Stop at once and keep the old model")
        self.goes_on = QCheckBox("Go on when the window closes")
        self.goes_on.setToolTip(
            "Also when the project is closed: the round goes on in the background, and its model "
            "takes over if it is better. Opening the project brings it back here"
        )
        self.stage = hint("")
        self.bar = QProgressBar()
        self.bar.setToolTip("Steps of this round that are done")
        self.left = QLabel()
        self.score = QLabel()
        self.score.setToolTip(
            "Dice on the validation tiles, which never teach: 1 is perfect overlap with the masks"
        )
        self.plot = RoundPlot()
        self._draw_timer = single_shot(self, 200, self._draw)
        self._overdue = single_shot(self, OVERDUE_MS, self._on_overdue)
        self._lay_out()
        self._connect()
        self.show_running(False)

    def _lay_out(self) -> None:
        stops = QHBoxLayout()
        stops.addWidget(self.pause)
        stops.addWidget(self.cancel)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(stops)
        for each in (self.goes_on, self.stage, self.bar, self.left, self.plot, self.score):
            layout.addWidget(each)

    def _connect(self) -> None:
        relay = self._bench.relay
        relay.round_progress.connect(self._on_round_progress)
        relay.round_stage.connect(self._on_round_stage)
        relay.round_validation.connect(self._on_round_validation)
        self.pause.clicked.connect(self._on_pause_clicked)
        self.cancel.clicked.connect(self._on_cancel_clicked)
        self.goes_on.toggled.connect(self._on_goes_on_toggled)

    def begin(self, number: int) -> None:
        """Show a round that begins, or goes on with the curves it had."""
        self.clear()
        self._number, self._passing = number, True
        self.stage.setText(f"Round {number} is starting")
        self.left.setText("")
        self.bar.setRange(0, 0)
        self.goes_on.setChecked(self._bench.session.round_goes_on)
        self.show_running(True)
        self._draw_earlier_steps(number)

    def end(self) -> None:
        """Show the end of the round."""
        self._overdue.stop()
        self._draw()
        self.show_running(False)

    def clear(self) -> None:
        """Forget the curves of a round before."""
        self._latest = None
        self.plot.clear_curves()
        self.score.setText("")

    def show_running(self, running: bool) -> None:
        """Show what belongs to a running round, or only the curves of one that has ended."""
        for each in (self.pause, self.cancel, self.goes_on, self.bar, self.stage, self.left):
            each.setVisible(running)
        for asked in (self.pause, self.cancel):
            asked.setEnabled(running)
        self.setVisible(running or self._latest is not None)

    def _draw_earlier_steps(self, number: int) -> None:
        def arrive(steps: list[Mapping[str, Any]]) -> None:
            for step in steps if self._bench.session.running_round == number else ():
                self.plot.add_step(step)
            self.plot.draw()

        self._bench.read(lambda project: read_curve(project.round_folder(number)), arrive)

    # -- what the person wants ----------------------------------------------------------------

    @Slot()
    def _on_cancel_clicked(self) -> None:
        self._show_stopping()
        self._bench.session.cancel_round()

    @Slot()
    def _on_pause_clicked(self) -> None:
        self._show_stopping()
        self._bench.session.pause_round()

    @Slot(bool)
    def _on_goes_on_toggled(self, on: bool) -> None:
        self._bench.session.round_goes_on = on

    def _show_stopping(self) -> None:
        self.pause.setEnabled(False)
        self.cancel.setEnabled(False)
        self.left.setText("Stopping…")
        self._overdue.start()

    @Slot()
    def _on_overdue(self) -> None:
        """Offer to end a process that does not hear; the second cancel does so."""
        if self._bench.session.running_round is not None:
            self.cancel.setEnabled(True)
            self.left.setText("Still stopping. Cancel once more to end it at once.")

    # -- what the round says ------------------------------------------------------------------

    @Slot(object)
    def _on_round_progress(self, report: Mapping[str, Any]) -> None:
        self.plot.add_step(report)
        self._latest = report
        if self._passing:
            self._passing = False
            self.stage.setText(f"Round {self._number} is learning")
        if not self._draw_timer.isActive():
            self._draw_timer.start()

    @Slot()
    def _draw(self) -> None:
        report = self._latest
        if report is None:
            return
        self.plot.draw()
        self.bar.setRange(0, max(int(report["steps"]), 1))
        self.bar.setValue(int(report["step"]))
        if self.cancel.isEnabled():
            self.left.setText(
                f"Step {report['step']} of {report['steps']} · {time_left(report['seconds_left'])}"
            )

    @Slot(object)
    def _on_round_stage(self, report: Mapping[str, Any]) -> None:
        self._passing = bool(report.get("passing"))
        self.stage.setText(str(report["text"]))

    @Slot(object)
    def _on_round_validation(self, report: Mapping[str, Any]) -> None:
        self.plot.add_validation(report)
        self.score.setText(
            f"Validation Dice {report['dice']:.3f} on {counted(report['tiles'], 'tile')}"
        )
