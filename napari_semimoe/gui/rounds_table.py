"""Rounds so far, newest first, with a way back to an older model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QMenu, QTableWidget, QTableWidgetItem

from napari_semimoe.core.states import RoundState
from napari_semimoe.session.lineage import Lineage
from napari_semimoe.session.models import base_name

if TYPE_CHECKING:
    from qtpy.QtCore import QPoint

    from napari_semimoe.project.records import RoundRecord

_UNFINISHED = (RoundState.INTERRUPTED, RoundState.CANCELLED, RoundState.FAILED)
_COLUMNS = ("Round", "Dice", "Tiles", "Outcome", "From")
_OUTCOME = _COLUMNS.index("Outcome")
_NAME_LENGTH = 12  # letters of a round's name that fit; the tooltip has them all
_TOOLTIPS = (
    "Number of the round; bold where its model predicts",
    "Overlap with the masks of the validation tiles, 1 is perfect; none without such tiles",
    "Tiles with a mask that it learned from",
    "Whether its model took over when it ended",
    "The model that it began from",
)


class RoundsTable(QTableWidget):
    """One row for each round; the one whose model predicts is bold.

    Attributes
    ----------
    round_chosen
        The person wants the model of this round to predict.
    starter_chosen
        The person wants the starter model to predict.
    resume_chosen
        The person wants this round, which did not come to its end, to go on.
    name_wanted
        The person wants to give this round a name.
    """

    round_chosen = Signal(int)
    starter_chosen = Signal()
    resume_chosen = Signal(int)
    name_wanted = Signal(int)

    def __init__(self) -> None:
        super().__init__(0, len(_COLUMNS))
        self.lineage = Lineage()
        self._rounds: list[RoundRecord] = []
        self.setHorizontalHeaderLabels(_COLUMNS)
        for column, tip in enumerate(_TOOLTIPS):
            self.horizontalHeaderItem(column).setToolTip(tip)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setShowGrid(False)
        self.setMinimumHeight(110)
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(24)
        header = self.horizontalHeader()
        for column in range(len(_COLUMNS)):
            header.setSectionResizeMode(column, QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(_OUTCOME, QHeaderView.ResizeMode.Stretch)
        self.setToolTip("Right-click a round to use its model, or to go on with it")
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.customContextMenuRequested.connect(self._offer)
        self.cellDoubleClicked.connect(lambda row, _: self._choose(row))

    def show_rounds(self, lineage: Lineage) -> None:
        """Fill the table; the selected round stays selected."""
        selected = self.selected
        self.lineage = lineage
        self._rounds = sorted(lineage.rounds, key=lambda each: -each.number)
        self.setRowCount(len(self._rounds))
        for row, record in enumerate(self._rounds):
            self._show_round(row, record)
        if selected is not None:
            self.select_round(selected.number)

    def select_round(self, number: int) -> None:
        """Select a round's row; without one nothing is selected."""
        self.clearSelection()
        for row, record in enumerate(self._rounds):
            if record.number == number:
                self.selectRow(row)

    def _show_round(self, row: int, record: RoundRecord) -> None:
        in_charge = self.lineage.is_in_charge(record)
        tip = record.note or "Double-click to use this round's model"
        name = self.lineage.names.get(record.number, "")
        if in_charge:
            tip = f"This round's model predicts now. {record.note}".strip()
        for column, text in enumerate(_cells(record, name)):
            item = QTableWidgetItem(text)
            item.setToolTip(f"{name}: {tip}" if name else tip)
            font = item.font()
            font.setBold(in_charge)
            item.setFont(font)
            self.setItem(row, column, item)

    @property
    def selected(self) -> RoundRecord | None:
        """The round whose row is selected."""
        rows = self.selectionModel().selectedRows()
        return self._rounds[rows[0].row()] if rows and rows[0].row() < len(self._rounds) else None

    def can_be_used(self, record: RoundRecord | None) -> bool:
        """Whether a round has a model that could take over."""
        return (
            record is not None
            and record.weights is not None
            and record.state != RoundState.RUNNING
            and not self.lineage.is_in_charge(record)
        )

    @property
    def starter_can_be_used(self) -> bool:
        """Whether the starter model could take over."""
        return self.lineage.has_starter and not self.lineage.starter_in_charge

    def _choose(self, row: int) -> None:
        if self.can_be_used(self._rounds[row]):
            self.round_chosen.emit(self._rounds[row].number)

    def menu_of(self, row: int) -> QMenu:
        """Return what can be done with a round, or with none when ``row`` is below the last."""
        menu = QMenu(self)
        record = self._rounds[row] if 0 <= row < len(self._rounds) else None
        if record is not None and self.can_be_used(record):
            use = menu.addAction(f"Use the model of round {record.number}")
            use.triggered.connect(lambda: self.round_chosen.emit(record.number))
        if record is not None and record.weights is None and record.state in _UNFINISHED:
            go_on = menu.addAction(f"Go on with round {record.number}")
            go_on.triggered.connect(lambda: self.resume_chosen.emit(record.number))
        elif self.starter_can_be_used:
            starter = menu.addAction("Use the starter model")
            starter.triggered.connect(self.starter_chosen.emit)
        if record is not None and record.weights is not None:
            name = menu.addAction(f"Name round {record.number}…")
            name.triggered.connect(lambda: self.name_wanted.emit(record.number))
        return menu

    def _offer(self, where: QPoint) -> None:
        menu = self.menu_of(self.rowAt(where.y()))
        if menu.actions():
            menu.exec(self.viewport().mapToGlobal(where))
        menu.deleteLater()


def _cells(record: RoundRecord, name: str) -> tuple[str, ...]:
    report = record.report or {}
    score = (report.get("validation") or {}).get("dice")
    tiles = report.get("labelled")
    return (
        f"{record.number} {_short(name)}".strip(),
        "–" if score is None else f"{score:.3f}",
        "–" if tiles is None else str(tiles),
        str(record.state),
        base_name(record.base),
    )


def _short(name: str) -> str:
    return name if len(name) <= _NAME_LENGTH else f"{name[: _NAME_LENGTH - 1].rstrip()}…"
