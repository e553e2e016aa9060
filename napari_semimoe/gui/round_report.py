"""A round against the model that it began from, tile by tile; a click opens the tile."""

from __future__ import annotations

from qtpy.QtCore import Qt, Signal, Slot
from qtpy.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_semimoe.gui.widgets import hint
from napari_semimoe.session.comparison import Comparison, TileChange

_COLUMNS = ("Tile", "Before", "After", "Change")
_TOOLTIPS = (
    "Validation tile; the one that lost most comes first",
    "Dice of the model that the round began from",
    "Dice of the round's model",
    "What the tile gained, or lost",
)
_ROW_PX = 24
_ROWS_SHOWN = 4


class RoundReport(QWidget):
    """One sentence and one row for each validation tile.

    Attributes
    ----------
    tile_chosen
        The person wants to see this tile.
    """

    tile_chosen = Signal(int)

    def __init__(self) -> None:
        super().__init__()
        self._tiles: tuple[TileChange, ...] = ()
        self.sentence = hint("")
        self.table = _table()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.sentence)
        layout.addWidget(self.table)
        self.table.cellClicked.connect(self._on_cell_clicked)
        self.show_comparison(None)

    def show_comparison(self, compared: Comparison | None) -> None:
        """Fill the table; without a comparison there is nothing to see."""
        self.setVisible(compared is not None)
        self._tiles = compared.tiles if compared is not None else ()
        self.sentence.setText(compared.sentence if compared is not None else "")
        self.table.setVisible(bool(self._tiles))
        self.table.setRowCount(len(self._tiles))
        for row, tile in enumerate(self._tiles):
            self._show_tile(row, tile)
        rows = min(len(self._tiles), _ROWS_SHOWN)
        header = self.table.horizontalHeader().sizeHint().height()
        self.table.setFixedHeight(header + rows * _ROW_PX + 4)

    def _show_tile(self, row: int, tile: TileChange) -> None:
        for column, text in enumerate(_cells(tile)):
            item = QTableWidgetItem(text)
            item.setToolTip("Click to open this tile" if tile.tile_id is not None else "")
            if column:
                item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
            font = item.font()
            font.setBold(tile.is_worse)
            item.setFont(font)
            self.table.setItem(row, column, item)

    @Slot(int, int)
    def _on_cell_clicked(self, row: int, _: int) -> None:
        tile_id = self._tiles[row].tile_id
        if tile_id is not None:
            self.tile_chosen.emit(tile_id)


def _cells(tile: TileChange) -> tuple[str, ...]:
    change = "–" if tile.change is None else f"{tile.change:+.3f}"
    return tile.name, _number(tile.before), _number(tile.after), change


def _number(dice: float | None) -> str:
    return "–" if dice is None else f"{dice:.3f}"


def _table() -> QTableWidget:
    table = QTableWidget(0, len(_COLUMNS))
    table.setHorizontalHeaderLabels(_COLUMNS)
    for column, tip in enumerate(_TOOLTIPS):
        table.horizontalHeaderItem(column).setToolTip(tip)
    table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
    table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
    table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
    table.setShowGrid(False)
    table.verticalHeader().hide()
    table.verticalHeader().setDefaultSectionSize(_ROW_PX)
    header = table.horizontalHeader()
    header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
    header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
    return table
