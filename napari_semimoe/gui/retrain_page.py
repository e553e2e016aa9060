"""Retrain: one round in the background, watched and stopped from here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt, QTimer, Slot
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import QCheckBox, QHBoxLayout, QLabel, QProgressBar, QVBoxLayout, QWidget
from superqt import QCollapsible

from napari_semimoe.core.errors import SettingsError
from napari_semimoe.core.settings import RoundSettings
from napari_semimoe.core.states import RoundState
from napari_semimoe.gui.preferences import preferred_round_values, prefers_automatic_rounds
from napari_semimoe.gui.round_plot import RoundPlot
from napari_semimoe.gui.rounds_panel import RoundsPanel
from napari_semimoe.gui.settings_form import SettingsForm
from napari_semimoe.gui.start_box import StartBox
from napari_semimoe.gui.theme import Palette
from napari_semimoe.gui.widgets import button, hint
from napari_semimoe.session.step_log import read_curve

if TYPE_CHECKING:
    from napari_semimoe.gui.workbench import Workbench
    from napari_semimoe.project.records import RoundRecord
    from napari_semimoe.session.lineage import Lineage
    from napari_semimoe.session.plan import RoundPlan

_COMMON = ("budget_minutes", "device", "agreement")
_MORE = (
    "learning_rate",
    "labelled_batch",
    "unlabelled_batch",
    "unlabelled_weight",
    "crop_px",
    "stages",
    "pseudo_labels",
    "confidence",
    "ema_decay",
    "max_steps",
    "measure",
    "validate_every",
    "threads",
    "mixed_precision",
    "seed",
)
_ENDED_TEXT = {
    RoundState.PROMOTED: "Round {n} is done; its model predicts from now on.",
    RoundState.KEPT_BESIDE: (
        "Round {n} is done, but the model before it does better on the validation tiles and "
        "stays in use. You can still choose the new one in the list."
    ),
    RoundState.CANCELLED: "Round {n} was cancelled; the model in use is the same as before.",
    RoundState.FAILED: "Round {n} failed; the model in use is the same as before.",
    RoundState.INTERRUPTED: "Round {n} was interrupted; the model in use is the same as before.",
}


class RetrainPage(QWidget):
    """The third step.

    Parameters
    ----------
    bench
        What the page shows and forwards to.
    """

    def __init__(self, bench: Workbench) -> None:
        super().__init__()
        self._bench = bench
        self._latest: Mapping[str, Any] | None = None
        self._starting = ""
        self._asked = False  # for a round that has not begun yet
        self._pausing = False
        self._unfinished: int | None = None
        first = RoundSettings().changed(**preferred_round_values())
        self.common = SettingsForm(first, _COMMON, self.ask_for_plan)
        self.more = SettingsForm(first, _MORE, self.ask_for_plan)
        self._first = first
        self.begin = StartBox()
        self.automatic = QCheckBox("Begin rounds by themselves")
        self.automatic.setToolTip(
            "A round begins in the background as soon as 3, 6, 12, 24 … tiles are accepted"
        )
        self.automatic.setChecked(prefers_automatic_rounds())
        self.plan = hint("")
        self.plan.setProperty("role", "plan")
        self.start = button(
            "Retrain", "Train a new model in the background; you can go on working", "primary"
        )
        self.go_on = button("Go on", "Go on with the round where it stopped, to the same numbers")
        self.pause = button("Pause", "Stop now and go on later, also after closing the window")
        self.cancel = button("Cancel this round", "Stop at once and keep the old model")
        self.goes_on = QCheckBox("Go on when the window closes")
        self.goes_on.setToolTip(
            "Also when the project is closed: the round goes on in the background, and its model "
            "takes over if it is better. Opening the project brings it back here"
        )
        self.stage = hint("")
        self.bar = QProgressBar()
        self.bar.setToolTip("Share of this round's time that is over")
        self.left = QLabel()
        self.score = QLabel()
        self.score.setToolTip(
            "Dice on the validation tiles, which never teach: 1 is perfect overlap with the masks"
        )
        self.plot = RoundPlot()
        self.history = RoundsPanel(bench)
        self.rounds = self.history.table
        self._folded = QCollapsible("More settings", expandedIcon="▾", collapsedIcon="▸")
        self._folded.addWidget(self.more.container.native)
        self._folded.toggleButton().setToolTip("Settings that are good as they are, mostly")
        self._plan_timer = _single_shot(self, 200, self._read_plan)
        self._draw_timer = _single_shot(self, 200, self._draw)
        self._lay_out()
        self._connect()
        self._show_running(False)

    def _lay_out(self) -> None:
        self._running = QWidget()
        inner = QVBoxLayout(self._running)
        inner.setContentsMargins(0, 0, 0, 0)
        for each in (self.goes_on, self.stage, self.bar, self.left, self.plot, self.score):
            inner.addWidget(each)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(8, 8, 8, 8)
        self._form = QWidget()
        form = QVBoxLayout(self._form)
        form.setContentsMargins(0, 0, 0, 0)
        form.addWidget(self.common.container.native)
        form.addLayout(self._beginning())
        form.addWidget(self._folded)
        form.addWidget(self.automatic)
        layout.addWidget(self._form)
        layout.addWidget(self.plan)
        layout.addWidget(self.start)
        layout.addWidget(self.go_on)
        stops = QHBoxLayout()
        stops.addWidget(self.pause)
        stops.addWidget(self.cancel)
        layout.addLayout(stops)
        layout.addWidget(self._running)
        layout.addWidget(self.history, 1)
        layout.setAlignment(Qt.AlignmentFlag.AlignTop)

    def _beginning(self) -> QHBoxLayout:
        row = QHBoxLayout()
        row.addWidget(QLabel("Begin from"))
        row.addWidget(self.begin, 1)
        return row

    def _connect(self) -> None:
        bench, relay = self._bench, self._bench.relay
        bench.project_changed.connect(self._on_project_changed)
        bench.tiles_listed.connect(self.ask_for_plan)
        relay.round_started.connect(self._on_round_started)
        relay.round_progress.connect(self._on_round_progress)
        relay.round_stage.connect(self._on_round_stage)
        relay.round_validation.connect(self._on_round_validation)
        relay.round_finished.connect(self._on_round_finished)
        relay.weights_changed.connect(self.ask_for_plan)
        self.history.listed.connect(self.begin.show_lineage)
        self.history.listed.connect(self._offer_unfinished)
        self.begin.start_changed.connect(self.ask_for_plan)
        self.automatic.toggled.connect(self.ask_for_plan)
        self.start.clicked.connect(self._on_start_clicked)
        self.go_on.clicked.connect(self._on_go_on_clicked)
        self.pause.clicked.connect(self._on_pause_clicked)
        self.cancel.clicked.connect(self._on_cancel_clicked)
        self.goes_on.toggled.connect(self._on_goes_on_toggled)

    def showEvent(self, event: QShowEvent) -> None:
        """Lay out the forms once the window's font is known."""
        super().showEvent(event)
        for form in (self.common, self.more):
            form.align()

    # -- the plan -----------------------------------------------------------------------------

    @property
    def settings(self) -> RoundSettings:
        """The settings as they stand in the form.

        Raises
        ------
        SettingsError
            When values do not fit together.
        """
        return self._first.changed(**self.common.values, **self.more.values)

    @Slot()
    def ask_for_plan(self, _: object = None) -> None:
        """Say anew what the button would do, a moment after the last change."""
        self._plan_timer.start()

    @Slot()
    def _read_plan(self) -> None:
        if not self._bench.has_project:
            self._refuse("")
            return
        try:
            settings, start = self.settings, self.begin.start
        except SettingsError as error:
            self._refuse(str(error))
            return
        self._bench.background.run(
            lambda: self._bench.session.round_plan(settings, start),
            self._show_plan,
            otherwise=lambda error: self._refuse(str(error)),
        )

    def _show_plan(self, plan: RoundPlan) -> None:
        self.plan.setText(plan.sentence)
        self.start.setEnabled(not self._asked)
        free = not self._asked and not self._is_running
        if plan.is_due and self.automatic.isChecked() and free:
            self._bench.said.emit(f"{plan.sentence}. It begins by itself.")
            self._on_start_clicked()

    def _refuse(self, sentence: str) -> None:
        self.plan.setText(sentence)
        self.start.setEnabled(False)

    @property
    def _is_running(self) -> bool:
        return self._bench.session.running_round is not None

    # -- the round ----------------------------------------------------------------------------

    @Slot()
    def _on_start_clicked(self) -> None:
        settings, start = self.settings, self.begin.start
        self._show_asked(True)
        self._bench.desk.keep_draft()
        self._bench.background.run(
            lambda: self._bench.session.start_round(settings, start=start),
            title="Starting the round",
            otherwise=lambda _: self._show_asked(False),
        )

    def _show_asked(self, asked: bool) -> None:
        self._asked = asked
        self.start.setEnabled(not asked)

    @Slot()
    def _on_cancel_clicked(self) -> None:
        self._show_stopping()
        self._bench.session.cancel_round()

    @Slot()
    def _on_pause_clicked(self) -> None:
        self._pausing = True
        self._show_stopping()
        self._bench.session.pause_round()

    @Slot(bool)
    def _on_goes_on_toggled(self, on: bool) -> None:
        self._bench.session.round_goes_on = on

    def _show_stopping(self) -> None:
        self.pause.setEnabled(False)
        self.cancel.setEnabled(False)
        self.left.setText("Stopping…")

    @Slot()
    def _on_go_on_clicked(self) -> None:
        if self._unfinished is not None:
            self.history.resume(self._unfinished)

    @Slot(object)
    def _offer_unfinished(self, lineage: Lineage) -> None:
        last = lineage.rounds[-1] if lineage.rounds else None
        stopped = last is not None and last.state is RoundState.INTERRUPTED
        self._unfinished = last.number if last is not None and stopped else None
        self.go_on.setText(f"Go on with round {self._unfinished}")
        self.go_on.setVisible(stopped and not self._is_running)

    @Slot(int)
    def _on_round_started(self, number: int) -> None:
        self._asked = False
        self._latest = None
        self.plot.clear_curves()
        self.score.setText("")
        self._starting = f"Round {number} is starting"
        self.stage.setText(self._starting)
        self.left.setText("")
        self.bar.setRange(0, 0)
        self._show_running(True)
        self.begin.reset()
        self.history.refresh()
        self._draw_earlier_steps(number)

    def _draw_earlier_steps(self, number: int) -> None:
        """Show the curves of a round that goes on from where it was."""
        project = self._bench.session.project
        if project is None:
            return

        def arrive(steps: list[Mapping[str, Any]]) -> None:
            for step in steps if self._bench.session.running_round == number else ():
                self.plot.add_step(step)
            self.plot.draw()

        self._bench.background.run(lambda: read_curve(project.round_folder(number)), arrive)

    @Slot(object)
    def _on_round_progress(self, report: Mapping[str, Any]) -> None:
        self.plot.add_step(report)
        self._latest = report
        if not self._draw_timer.isActive():
            self._draw_timer.start()

    @Slot()
    def _draw(self) -> None:
        report = self._latest
        if report is None:
            return
        self.plot.draw()
        if self.stage.text() == self._starting:
            self.stage.setText(self._starting.replace("is starting", "is learning"))
        self.bar.setRange(0, max(int(report["steps"]), 1))
        self.bar.setValue(int(report["step"]))
        if self.cancel.isEnabled():
            self.left.setText(
                f"Step {report['step']} of {report['steps']} · {time_left(report['seconds_left'])}"
            )

    @Slot(object)
    def _on_round_stage(self, report: Mapping[str, Any]) -> None:
        self.stage.setText(str(report["text"]))

    @Slot(object)
    def _on_round_validation(self, report: Mapping[str, Any]) -> None:
        self.plot.add_validation(report)
        self.score.setText(
            f"Validation Dice {report['dice']:.3f} on {report['tiles']} "
            f"tile{'s' if report['tiles'] != 1 else ''}"
        )

    @Slot(object)
    def _on_round_finished(self, record: RoundRecord) -> None:
        self._draw()
        self._show_running(False)
        text = _ENDED_TEXT.get(record.state, "Round {n} ended.").format(n=record.number)
        paused, self._pausing = self._pausing, False
        if paused and record.state is RoundState.INTERRUPTED:
            self._bench.said.emit(
                f"Round {record.number} is paused. It can go on another day, too."
            )
        elif record.state in (RoundState.FAILED, RoundState.INTERRUPTED):
            note = f" {record.note}" if record.note else ""
            self._bench.failed.emit(text + note)
        elif record.note:  # signs that the network has collapsed
            self._bench.failed.emit(f"Round {record.number} is done. {record.note}")
        else:
            self._bench.said.emit(text)
        self.history.show_end_of(record)
        self.ask_for_plan()

    def _show_running(self, running: bool) -> None:
        self.start.setVisible(not running)
        self.plan.setVisible(not running)
        self.go_on.setVisible(not running and self._unfinished is not None)
        for each in (self.pause, self.cancel):
            each.setVisible(running)
            each.setEnabled(running)
        self._form.setVisible(not running)
        self.bar.setVisible(running)
        self.stage.setVisible(running)
        self.left.setVisible(running)
        self.goes_on.setVisible(running)
        self._running.setVisible(running or self._latest is not None)

    @Slot()
    def _on_project_changed(self) -> None:
        self._latest = None
        self.plot.clear_curves()
        self.score.setText("")
        self._show_running(self._is_running)
        self.history.refresh()
        self.ask_for_plan()

    def set_palette(self, palette: Palette) -> None:
        """Follow the theme."""
        self.plot.set_palette(palette)


def time_left(seconds: float) -> str:
    """Say how long something still takes, no more exactly than is honest."""
    if seconds < 10:
        return "a few seconds left"
    if seconds < 90:
        return f"about {10 * round(seconds / 10)} seconds left"
    if seconds < 90 * 60:
        return f"about {round(seconds / 60)} minutes left"
    return f"about {seconds / 3600:.1f} hours left"


def _single_shot(parent: QWidget, milliseconds: int, slot: Any) -> QTimer:
    timer = QTimer(parent)
    timer.setSingleShot(True)
    timer.setInterval(milliseconds)
    timer.timeout.connect(slot)
    return timer
