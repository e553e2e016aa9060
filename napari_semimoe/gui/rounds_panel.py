"""What was trained so far, and the buttons that put another model in charge."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal, Slot
from qtpy.QtWidgets import QHBoxLayout, QInputDialog, QScrollArea, QVBoxLayout, QWidget

from napari_semimoe.gui.round_report import RoundReport
from napari_semimoe.gui.rounds_tree import RoundsTree
from napari_semimoe.gui.taught_panel import TaughtPanel
from napari_semimoe.gui.tile_difference import TileDifference
from napari_semimoe.gui.widgets import button, heading, hint, single_shot
from napari_semimoe.session.comparison import against_base, tile_ids
from napari_semimoe.session.corrections import Corrections, effort_sentence, read_corrections
from napari_semimoe.session.ledger import TaughtTile, read_ledger
from napari_semimoe.session.lineage import Lineage, read_lineage
from napari_semimoe.session.models import base_name

if TYPE_CHECKING:
    from napari_semimoe.gui.workbench import Workbench
    from napari_semimoe.project.records import RoundRecord


class RoundsPanel(QWidget):
    """Lower part of the third step.

    Parameters
    ----------
    bench
        What the panel shows and forwards to.

    Attributes
    ----------
    listed
        The `Lineage` was read again.
    """

    listed = Signal(object)

    def __init__(self, bench: Workbench) -> None:
        super().__init__()
        self._bench = bench
        self.tree = RoundsTree()
        self.use = button("Use this model", "Let the selected model predict from now on")
        self.starter = button(
            "Back to the starter", "Let the model that came with the plugin predict from now on"
        )
        self.effort = hint("")
        self.effort.setToolTip("Where little is left to correct, more rounds will gain little")
        self.report = RoundReport()
        self.difference = TileDifference(bench, self)
        self.taught = TaughtPanel()
        self._tile_ids: dict[str, int] = {}
        self._corrections: dict[str, Corrections] = {}
        self._into_view = single_shot(self, 50, self._bring_into_view)  # once it is laid out
        buttons = QHBoxLayout()
        buttons.addWidget(self.use)
        buttons.addWidget(self.starter)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(heading("Rounds so far"))
        layout.addWidget(self.tree, 1)
        layout.addLayout(buttons)
        layout.addWidget(self.effort)
        layout.addWidget(self.report)
        layout.addWidget(self.taught)
        self._connect()
        self._show_selected()

    def _connect(self) -> None:
        self._bench.relay.weights_changed.connect(self.refresh)
        self._bench.tiles_listed.connect(self._read_corrections)
        self.tree.itemSelectionChanged.connect(self._show_selected)
        self.report.table.tile_chosen.connect(self._on_tile_chosen)
        self.report.measure_chosen.connect(self._show_report)
        self.taught.table.tile_chosen.connect(self._bench.desk.select)
        self.taught.exclude_wanted.connect(self._on_exclude_wanted)
        self.tree.round_chosen.connect(self._on_round_chosen)
        self.tree.starter_chosen.connect(self._on_starter_chosen)
        self.tree.resume_chosen.connect(self.resume)
        self.tree.name_wanted.connect(self._on_name_wanted)
        self.tree.note_wanted.connect(self._on_note_wanted)
        self.use.clicked.connect(self.tree.use_selected)
        self.starter.clicked.connect(self._on_starter_chosen)

    @Slot()
    def start_anew(self) -> None:
        """Forget the rounds of the project before and read those of the open one."""
        self._corrections = {}
        self._show(Lineage(), {}, None)
        self.refresh()

    @Slot()
    def refresh(self) -> None:
        """Read the list of rounds again."""
        self._read(None)

    def show_end_of(self, record: RoundRecord) -> None:
        """Read the list again and select a round that has just ended."""
        self._read(record.number)

    def _read(self, select: int | None) -> None:
        if not self._bench.has_project:
            self._show(Lineage(), {}, None)
            return
        self._bench.read(
            lambda project: (read_lineage(project), tile_ids(project)),
            lambda found: self._show(*found, select),
        )

    def _show(self, lineage: Lineage, ids: dict[str, int], select: int | None) -> None:
        self._tile_ids = ids
        self.tree.show_rounds(lineage)
        if select is not None:
            self.tree.select_round(select)
        self._show_selected()
        self.listed.emit(lineage)
        if select is not None:
            self._into_view.start()

    @Slot(object)
    def _read_corrections(self, _: object) -> None:
        def arrive(found: dict[str, Corrections]) -> None:
            self._corrections = found
            self._show_effort()

        self._bench.read(read_corrections, arrive)

    def _show_effort(self) -> None:
        """Show the effort of the selected model, or of the one in charge if none is selected."""
        lineage = self.tree.lineage
        model = self.tree.selected_name or base_name(lineage.in_charge)
        text = effort_sentence(self._corrections, model, lineage.base_of(model))
        self.effort.setText(text)
        self.effort.setVisible(bool(text))

    def _bring_into_view(self) -> None:
        """Scroll to the end of a round: it stands below the fold of a low window."""
        around = self.parentWidget()
        while around is not None and not isinstance(around, QScrollArea):
            around = around.parentWidget()
        if around is not None:
            around.ensureWidgetVisible(self.report, 0, 8)

    @Slot()
    def _show_selected(self) -> None:
        record = self.tree.selected
        self.use.setEnabled(self.tree.selected_can_be_used)
        self.starter.setEnabled(self.tree.starter_can_be_used)
        if record is not None:
            self.report.show_measure(record.settings.get("measure", "dice"))
        self._show_effort()
        self._show_report()
        self._show_taught(record)

    def _show_taught(self, record: RoundRecord | None) -> None:
        if record is None or not self._bench.has_project:
            self.taught.show_tiles(())
            return

        def arrive(tiles: tuple[TaughtTile, ...]) -> None:
            if self.tree.selected == record:  # else the person has moved on meanwhile
                self.taught.show_tiles(tiles)

        self._bench.read(lambda project: read_ledger(project, record.number), arrive)

    @Slot()
    def _show_report(self) -> None:
        record, measure = self.tree.selected, self.report.measure
        compared = against_base(record, self._tile_ids, measure) if record else None
        note = self.tree.lineage.notes.get(record.number, "") if record else ""
        self.report.show_comparison(compared, note)

    @Slot(int)
    def _on_exclude_wanted(self, tile_id: int) -> None:
        self._bench.write(
            lambda: self._bench.session.exclude(tile_id),
            lambda _: self._bench.said.emit("The tile is excluded; it teaches no more."),
            title="Excluding the tile",
        )

    @Slot(int)
    def _on_tile_chosen(self, tile_id: int) -> None:
        record = self.tree.selected
        if record is not None:
            self.difference.open(record.number, tile_id)

    @Slot(int)
    def _on_round_chosen(self, number: int) -> None:
        self._change(f"model of round {number}", lambda: self._bench.session.promote(number))

    @Slot()
    def _on_starter_chosen(self) -> None:
        self._change("starter model", self._bench.session.promote_starter)

    def _change(self, name: str, work: Callable[[], None]) -> None:
        self._bench.write(
            work,
            lambda _: self._bench.said.emit(f"The {name} predicts from now on."),
            title=f"Changing to the {name}",
        )

    @Slot(int)
    def resume(self, number: int) -> None:
        """Go on with a round that was paused, cancelled or interrupted."""
        self._bench.write(
            lambda: self._bench.session.resume_round(number),
            title=f"Going on with round {number}",
            otherwise=lambda _: self.refresh(),
        )

    @Slot(int)
    def _on_name_wanted(self, number: int) -> None:
        before = self.tree.lineage.names.get(number, "")
        name, given = QInputDialog.getText(
            self, f"Round {number}", "What you call it; nothing forgets the name", text=before
        )
        if given:
            self._bench.write(
                lambda: self._bench.session.name_round(number, name), lambda _: self.refresh()
            )

    @Slot(int)
    def _on_note_wanted(self, number: int) -> None:
        note, given = QInputDialog.getMultiLineText(
            self,
            f"Note on round {number}",
            "What is worth remembering; nothing forgets the note",
            self.tree.lineage.notes.get(number, ""),
        )
        if given:
            self._bench.write(
                lambda: self._bench.session.note_round(number, note), lambda _: self.refresh()
            )
