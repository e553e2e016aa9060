"""Small widgets that every page uses the same way."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from qtpy.QtCore import QEvent, QObject, Qt, QTimer, Signal, Slot
from qtpy.QtGui import QKeyEvent
from qtpy.QtWidgets import (
    QAbstractItemView,
    QAbstractSlider,
    QAbstractSpinBox,
    QComboBox,
    QHeaderView,
    QLabel,
    QPushButton,
    QScrollBar,
    QSizePolicy,
    QTableWidget,
    QTableWidgetItem,
    QWidget,
)

_ROWS_SHOWN = 4
_FIELDS = (QComboBox, QAbstractSpinBox, QAbstractSlider)
#: Qt searches these by letters that are typed over them.
_SEARCHED = (QComboBox, QAbstractItemView)


def row_px(view: QWidget) -> int:
    """Return how high a row is in the font of a table."""
    return max(24, view.fontMetrics().height() + 8)


def show_rows_whole(table: QTableWidget, count: int) -> None:
    """Make a table as high as so many of its rows, in its font."""
    header, row = table.horizontalHeader().sizeHint().height(), row_px(table)
    table.verticalHeader().setDefaultSectionSize(row)
    table.setFixedHeight(header + count * row + 4)


class FollowsFont:
    """Mixed into a view: its rows are fitted anew when the font changes."""

    fit_rows: Callable[[], None]

    def changeEvent(self, event: QEvent) -> None:
        """Follow the font."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.FontChange:
            self.fit_rows()


class RowTable(FollowsFont, QTableWidget):
    """Rows on tiles, to read and to choose: a name, then numbers.

    Parameters
    ----------
    columns
        Header and tooltip of each column.

    Attributes
    ----------
    tile_chosen
        The person wants to see the tile of a row, by a click or by Enter.
    """

    tile_chosen = Signal(int)

    def __init__(self, columns: Sequence[tuple[str, str]]) -> None:
        super().__init__(0, len(columns))
        self._tile_ids: Sequence[int | None] = ()
        self.cellClicked.connect(self._choose)
        self.setHorizontalHeaderLabels([header for header, _ in columns])
        for column, (_, tip) in enumerate(columns):
            self.horizontalHeaderItem(column).setToolTip(tip)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setShowGrid(False)
        self.verticalHeader().hide()
        header = self.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)

    def show_rows(
        self,
        rows: Sequence[Sequence[str]],
        *,
        tile_ids: Sequence[int | None],
        bold: Sequence[bool],
        tip: str,
    ) -> None:
        """Replace all rows; without one there is nothing to see.

        Parameters
        ----------
        rows
            Texts of the cells.
        tile_ids
            The tile of each row; None for one that is not there any more.
        bold
            Which rows are printed in bold.
        tip
            What the tooltip of all cells says.
        """
        self.setVisible(bool(rows))
        self.setRowCount(0)  # else every new cell measures all the old ones
        self._tile_ids = tile_ids
        self.setRowCount(len(rows))
        for row, texts in enumerate(rows):
            for column, text in enumerate(texts):
                self.setItem(row, column, _cell(text, column, bold=bold[row], tip=tip))
        self.fit_rows()

    def fit_rows(self) -> None:
        """Be as high as a few rows."""
        show_rows_whole(self, min(self.rowCount(), _ROWS_SHOWN))

    @property
    def selected_tile(self) -> int | None:
        """The tile of the selected row."""
        rows = self.selectionModel().selectedRows()
        return self._tile_ids[rows[0].row()] if rows else None

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Choose the tile of the row on Enter."""
        if is_enter(event):
            self._choose(self.currentRow())
            event.accept()
        else:
            super().keyPressEvent(event)

    @Slot(int, int)
    def _choose(self, row: int, _: int = 0) -> None:
        tile_id = self._tile_ids[row] if 0 <= row < len(self._tile_ids) else None
        if tile_id is not None:
            self.tile_chosen.emit(tile_id)


def _cell(text: str, column: int, *, bold: bool, tip: str) -> QTableWidgetItem:
    item = QTableWidgetItem(text)
    item.setToolTip(tip)
    if column:
        item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
    font = item.font()
    font.setBold(bold)
    item.setFont(font)
    return item


class InputGuard(QObject):
    """Keeps fields and tables from taking what is meant for the page or for the canvas.

    The wheel scrolls the page, except over a field that has the focus. Letters typed over a
    choice or a table go on to the canvas, where they are shortcuts, instead of searching it.

    Parameters
    ----------
    parent
        All fields and tables in it are guarded.
    """

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        for each in parent.findChildren(QWidget):
            if isinstance(each, QScrollBar) or not isinstance(each, (*_FIELDS, QAbstractItemView)):
                continue
            if isinstance(each, QComboBox):
                each.setFocusPolicy(Qt.FocusPolicy.TabFocus)  # a click leaves it where it is
            elif isinstance(each, _FIELDS):
                each.setFocusPolicy(Qt.FocusPolicy.StrongFocus)  # not by the wheel
            each.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Pass on to what is around it."""
        if event.type() == QEvent.Type.Wheel:
            passes = isinstance(watched, _FIELDS) and not watched.hasFocus()
        elif isinstance(event, QKeyEvent) and event.type() == QEvent.Type.KeyPress:
            passes = isinstance(watched, _SEARCHED) and _is_letter(event)
        else:
            return False
        if passes:
            event.ignore()
        return passes


def is_enter(key: QKeyEvent) -> bool:
    """Whether a key is Enter, on which Qt calls a row activated everywhere but on macOS."""
    return key.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter)


def _is_letter(key: QKeyEvent) -> bool:
    """Whether a key prints something; Ctrl with a letter does not."""
    text, control = key.text(), Qt.KeyboardModifier.ControlModifier
    return text.isprintable() and bool(text.strip()) and key.modifiers() != control


def button(text: str, tooltip: str, role: str = "") -> QPushButton:
    """Return a push button that keyboard shortcuts of the canvas pass by."""
    made = QPushButton(text)
    made.setToolTip(tooltip)
    made.setFocusPolicy(Qt.FocusPolicy.TabFocus)
    if role:
        made.setProperty("role", role)
    return made


class SingleClicks(QObject):
    """Lets the second click of a double click press nothing.

    Parameters
    ----------
    buttons
        After a click each is about something else, which was not looked at yet.
    """

    def __init__(self, *buttons: QPushButton) -> None:
        super().__init__(buttons[0])
        for each in buttons:
            each.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Take the event away."""
        return event.type() == QEvent.Type.MouseButtonDblClick


def tool(text: str, tooltip: str) -> QPushButton:
    """Return a button that stays pressed."""
    made = button(text, tooltip, "tool")
    made.setCheckable(True)
    return made


def heading(text: str) -> QLabel:
    """Return the title of a group of controls."""
    made = QLabel(text)
    made.setProperty("role", "heading")
    return made


def hint(text: str) -> QLabel:
    """Return a faint line that wraps instead of widening the panel."""
    made = QLabel(text)
    made.setProperty("role", "faint")
    made.setWordWrap(True)
    made.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
    return made


def single_shot(parent: QObject, milliseconds: int, slot: Callable[[], None]) -> QTimer:
    """Return a timer that calls ``slot`` once, so long after it was last started.

    It goes with its parent, and then calls nothing any more.
    """
    timer = QTimer(parent)
    timer.setSingleShot(True)
    timer.setInterval(milliseconds)
    timer.timeout.connect(slot)
    return timer
