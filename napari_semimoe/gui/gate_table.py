"""The gates of a tile: which expert each of the three answers listens to."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import Qt
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem

from napari_semimoe.gui.theme import Palette, blended
from napari_semimoe.gui.widgets import FollowsFont, show_rows_whole


class GateTable(FollowsFont, QTableWidget):
    """Rows are answers, columns are experts, cells are shares; a row adds up to 100 %."""

    def __init__(self) -> None:
        super().__init__()
        self._palette: Palette | None = None
        self._gates: Sequence[Sequence[float]] = ()
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
        self.horizontalHeader().setSectionsClickable(False)
        self.verticalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        self.verticalHeader().setSectionsClickable(False)
        self.verticalHeader().setDefaultAlignment(
            Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
        )
        self.setToolTip(
            "How much each answer of the network (row) listens to each expert (column) on this "
            "tile. Equal shares of 33 % mean that no expert is preferred."
        )

    def show_gates(self, names: Sequence[str], gates: Sequence[Sequence[float]]) -> None:
        """Fill the table.

        Parameters
        ----------
        names
            Experts, in the order of both axes.
        gates
            ``(task, expert)`` shares in [0, 1].
        """
        self._gates = gates
        self.setRowCount(len(names))
        self.setColumnCount(len(names))
        self.setHorizontalHeaderLabels(list(names))
        self.setVerticalHeaderLabels(list(names))
        for row, shares in enumerate(gates):
            for column, share in enumerate(shares):
                item = QTableWidgetItem(f"{100 * float(share):.0f} %")
                item.setTextAlignment(Qt.AlignmentFlag.AlignCenter)
                item.setFlags(Qt.ItemFlag.ItemIsEnabled)
                item.setToolTip(
                    f"The {names[row]} answer takes {100 * float(share):.1f} % from the "
                    f"{names[column]} expert"
                )
                self.setItem(row, column, item)
        self._tint()
        self.fit_rows()

    def set_palette(self, palette: Palette) -> None:
        """Follow the theme."""
        self._palette = palette
        self._tint()

    def _tint(self) -> None:
        if self._palette is None:
            return
        palette = self._palette
        for row, shares in enumerate(self._gates):
            for column, share in enumerate(shares):
                item = self.item(row, column)
                if item is not None:
                    color = blended(palette.foreground, palette.accent, 0.9 * float(share))
                    item.setBackground(QColor(color))
                    item.setForeground(QColor(palette.text_on(color)))

    def fit_rows(self) -> None:
        """Be as high as all rows."""
        show_rows_whole(self, self.rowCount())
