"""Rounds so far, newest first, with a way back to an older model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QMenu, QTableWidget, QTableWidgetItem

from napari_semimoe.core.states import RoundState

if TYPE_CHECKING:
    from qtpy.QtCore import QPoint

    from napari_semimoe.project.records import RoundRecord

_UNFINISHED = (RoundState.INTERRUPTED, RoundState.CANCELLED, RoundState.FAILED)
_COLUMNS = ("Round", "Dice", "Tiles", "Outcome")
_TOOLTIPS = (
    "Number of the round",
    "Overlap with the masks of the validation tiles, 1 is perfect; none without such tiles",
    "Tiles with a mask that it learned from",
    "Whether its model took over",
)


class RoundsTable(QTableWidget):
    """One row for each round.

    Attributes
    ----------
    round_chosen
        The person wants the model of this round to predict.
    resume_chosen
        The person wants this round, which did not come to its end, to go on.
    """

    round_chosen = Signal(int)
    resume_chosen = Signal(int)

    def __init__(self) -> None:
        super().__init__(0, len(_COLUMNS))
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
        for column in range(3):
            header.setSectionResizeMode(column, QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(3, QHeaderView.ResizeMode.Stretch)
        self.setToolTip("Right-click a round to use its model, or to go on with it")
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.customContextMenuRequested.connect(self._offer)
        self.cellDoubleClicked.connect(lambda row, _: self._choose(row))

    def show_rounds(self, rounds: Sequence[RoundRecord]) -> None:
        """Fill the table."""
        self._rounds = sorted(rounds, key=lambda each: -each.number)
        self.setRowCount(len(self._rounds))
        for row, record in enumerate(self._rounds):
            report = record.report or {}
            score = (report.get("validation") or {}).get("dice")
            tiles = report.get("labelled")
            cells = (
                str(record.number),
                "–" if score is None else f"{score:.3f}",
                "–" if tiles is None else str(tiles),
                str(record.state),
            )
            for column, text in enumerate(cells):
                item = QTableWidgetItem(text)
                item.setToolTip(record.note or "Double-click to use this round's model")
                self.setItem(row, column, item)

    def _choose(self, row: int) -> None:
        record = self._rounds[row]
        if record.weights is not None and record.state != RoundState.RUNNING:
            self.round_chosen.emit(record.number)

    def menu_of(self, row: int) -> QMenu:
        """Return what can be done with a round."""
        record, menu = self._rounds[row], QMenu(self)
        if record.weights is not None:
            use = menu.addAction(f"Use the model of round {record.number}")
            use.triggered.connect(lambda: self.round_chosen.emit(record.number))
        elif record.state in _UNFINISHED:
            go_on = menu.addAction(f"Go on with round {record.number}")
            go_on.triggered.connect(lambda: self.resume_chosen.emit(record.number))
        return menu

    def _offer(self, where: QPoint) -> None:
        row = self.rowAt(where.y())
        if row >= 0:
            menu = self.menu_of(row)
            menu.exec(self.viewport().mapToGlobal(where))
            menu.deleteLater()
