"""Retrain: one round in the background, watched and stopped from here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QEvent, Qt, Slot
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import QCheckBox, QHBoxLayout, QLabel, QVBoxLayout, QWidget
from superqt import QCollapsible

from napari_semimoe.core.errors import SettingsError
from napari_semimoe.core.settings import RoundSettings
from napari_semimoe.core.states import RoundState
from napari_semimoe.gui.preferences import preferred_round_values, prefers_automatic_rounds
from napari_semimoe.gui.round_progress import RoundProgress
from napari_semimoe.gui.rounds_panel import RoundsPanel
from napari_semimoe.gui.settings_form import SettingsForm
from napari_semimoe.gui.start_box import StartBox
from napari_semimoe.gui.theme import Palette
from napari_semimoe.gui.widgets import button, hint, single_shot
from napari_semimoe.session.plan import NOTHING_TO_LEARN

if TYPE_CHECKING:
    from napari_semimoe.gui.workbench import Workbench
    from napari_semimoe.project.records import RoundRecord
    from napari_semimoe.session.lineage import Lineage
    from napari_semimoe.session.plan import RoundPlan
    from napari_semimoe.session.start_from import StartFrom

_COMMON = ("budget_minutes", "device", "agreement")
_MORE = (
    "learning_rate",
    "labelled_batch",
    "unlabelled_batch",
    "unlabelled_weight",
    "object_weight",
    "glass",
    "crop_px",
    "stages",
    "pseudo_labels",
    "confidence",
    "ema_decay",
    "max_steps",
    "measure",
    "validate_every",
    "threads",
    "processes",
    "mixed_precision",
    "seed",
)
PAUSED_TEXT = "Round {n} is paused. It can go on another day, too."
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
        self._asked = False  # for a round that has not begun yet
        self._planned_for: tuple[RoundSettings, StartFrom] | None = None  # on show or coming
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
        self.progress = RoundProgress(bench)
        self.history = RoundsPanel(bench)
        self.rounds = self.history.tree
        self._folded = QCollapsible("More settings", expandedIcon="▾", collapsedIcon="▸")
        self._folded.addWidget(self.more.container.native)
        self._folded.toggleButton().setToolTip("Settings that are good as they are, mostly")
        self._plan_timer = single_shot(self, 200, self._read_plan)
        self._lay_out()
        self._connect()
        self._show_running(False)

    def _lay_out(self) -> None:
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
        layout.addWidget(self.progress)
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
        bench.classes_changed.connect(self.ask_for_plan)
        relay.round_started.connect(self._on_round_started)
        relay.round_finished.connect(self._on_round_finished)
        relay.round_left.connect(self._on_round_left)
        relay.failed.connect(self._on_failed)
        relay.weights_changed.connect(self.ask_for_plan)
        self.history.listed.connect(self.begin.show_lineage)
        self.history.listed.connect(self._offer_unfinished)
        self.begin.start_changed.connect(self.ask_for_plan)
        self.automatic.toggled.connect(self.ask_for_plan)
        self.start.clicked.connect(self._on_start_clicked)
        self.go_on.clicked.connect(self._on_go_on_clicked)

    def showEvent(self, event: QShowEvent) -> None:
        """Get ready for a round."""
        super().showEvent(event)
        self._bench.expect_round()

    def event(self, event: QEvent) -> bool:
        """Lay out the forms in the font of the window, and again when that changes."""
        if event.type() in (QEvent.Type.Show, QEvent.Type.LayoutRequest):
            for form in (self.common, self.more):
                form.align()
        return super().event(event)

    # -- the plan -----------------------------------------------------------------------------

    @property
    def settings(self) -> RoundSettings:
        """The settings as they stand in the form.

        Raises
        ------
        SettingsError
            When values do not fit together.
        """
        shown = self._bench.session.predict_settings
        counts = {"min_object_um2": shown.min_object_um2, "min_confidence": shown.min_confidence}
        return self._first.changed(**self.common.values, **self.more.values, **counts)

    @Slot()
    def ask_for_plan(self, _: object = None) -> None:
        """Say anew what the button would do, a moment after the last change."""
        self._plan_timer.start()

    @Slot()
    def _read_plan(self) -> None:
        self._planned_for = None
        if not self._bench.has_project:
            self._refuse("")
            return
        try:
            planned_for = self._planned_for = self.settings, self.begin.start
        except SettingsError as error:
            self._refuse(str(error))
            return

        def arrive(plan: RoundPlan) -> None:
            if planned_for == self._planned_for:  # else the form has changed meanwhile
                self._show_plan(plan)

        def not_planned(error: BaseException) -> None:
            if planned_for == self._planned_for:
                self._refuse(str(error))

        self._bench.read(
            lambda _: self._bench.session.round_plan(*planned_for), arrive, otherwise=not_planned
        )

    def _show_plan(self, plan: RoundPlan) -> None:
        if not plan.labelled:
            self._refuse(NOTHING_TO_LEARN)
            return
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
        try:
            settings, start = self.settings, self.begin.start
        except SettingsError as error:
            self._refuse(str(error))
            return
        self._show_asked(True)
        self._bench.desk.keep_draft()
        self._bench.write(
            lambda: self._bench.session.start_round(settings, start=start),
            title="Starting the round",
            otherwise=lambda _: self._show_asked(False),
        )

    def _show_asked(self, asked: bool) -> None:
        self._asked = asked
        self.start.setEnabled(not asked)

    @Slot()
    def _on_go_on_clicked(self) -> None:
        if self._unfinished is not None:
            self.go_on.setEnabled(False)  # until the list of rounds is read again
            self.history.resume(self._unfinished)

    @Slot(object)
    def _offer_unfinished(self, lineage: Lineage) -> None:
        last = lineage.rounds[-1] if lineage.rounds else None
        stopped = last is not None and last.state is RoundState.INTERRUPTED
        self._unfinished = last.number if last is not None and stopped else None
        self.go_on.setText(f"Go on with round {self._unfinished}")
        self.go_on.setEnabled(True)
        self.go_on.setVisible(stopped and not self._is_running)

    @Slot(int)
    def _on_round_started(self, number: int) -> None:
        self._asked = False
        self.progress.begin(number)
        self._show_running(True)
        self.begin.reset()
        self.history.refresh()

    @Slot(object)
    def _on_round_finished(self, record: RoundRecord) -> None:
        self.progress.end()
        self._show_running(False)
        text = _ENDED_TEXT.get(record.state, "Round {n} ended.").format(n=record.number)
        if record.state is RoundState.INTERRUPTED and not record.note:  # nothing went wrong
            self._bench.said.emit(PAUSED_TEXT.format(n=record.number))
        elif record.state in (RoundState.FAILED, RoundState.INTERRUPTED):
            note = f" {record.note}" if record.note else ""
            self._bench.failed.emit(text + note)
        elif record.note:  # signs that the network has collapsed
            self._bench.failed.emit(f"Round {record.number} is done. {record.note}")
        else:
            if record.state is RoundState.PROMOTED and not (record.report or {}).get("validation"):
                text += " No validation tile judged it."
            self._bench.said.emit(text)
        if not self._bench.is_changing_project:  # else its number may be that of another round
            self.history.show_end_of(record)
        self.ask_for_plan()

    @Slot()
    def _on_failed(self) -> None:
        """Offer the next round also where the disk refused the end of the last one."""
        if self.start.isHidden() and not self._is_running:
            self.progress.end()
            self._show_running(False)
            self.ask_for_plan()

    @Slot(int)
    def _on_round_left(self, number: int) -> None:
        self._bench.said.emit(
            f"Round {number} goes on in the background. Opening its project brings it back here."
        )

    def _show_running(self, running: bool) -> None:
        self.start.setVisible(not running)
        self.plan.setVisible(not running)
        self.go_on.setVisible(not running and self._unfinished is not None)
        self._form.setVisible(not running)

    @Slot()
    def _on_project_changed(self) -> None:
        self.begin.reset()
        self.progress.clear()
        self.progress.show_running(self._is_running)
        self._show_running(self._is_running)
        self.history.start_anew()
        self.ask_for_plan()

    def set_palette(self, palette: Palette) -> None:
        """Follow the theme."""
        self.progress.plot.set_palette(palette)
        self.rounds.set_palette(palette)
