"""Which round began from which, with a way back to any of their models."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, cast

from qtpy.QtCore import QSignalBlocker, QSize, Qt, Signal
from qtpy.QtGui import QFont
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QMenu, QTreeWidget, QTreeWidgetItem

from napari_semimoe.core.states import RoundState
from napari_semimoe.gui.branch_lines import LEVEL_PX, BranchItem, paint_branch
from napari_semimoe.gui.widgets import FollowsFont, is_enter
from napari_semimoe.session.lineage import Line, Lineage
from napari_semimoe.session.models import STARTER, base_name, model_name

if TYPE_CHECKING:
    from qtpy.QtCore import QModelIndex, QPoint, QRect
    from qtpy.QtGui import QKeyEvent, QPainter

    from napari_semimoe.gui.theme import Palette
    from napari_semimoe.project.records import RoundRecord

_COLUMNS = (
    ("Round", "Rounds below what they began from; the filled dot is the model that predicts"),
    ("Dice", "Overlap with the masks of the validation tiles, 1 is perfect; none without them"),
    ("Tiles", "Tiles with a mask that it learned from"),
    ("Outcome", "Whether its model took over, by itself or as you chose, or is in use now"),
    ("Note", "✎ where you wrote a note; point at it to read it"),
)
_ROW_PX = 22
_MOST_PX = 192
_ROOT_TIPS = {
    STARTER: "The model that came with the plugin.",
    "nothing": "Rounds that began with random weights.",
}
_USE_TIP = "Double-click, or press Enter, to use this model."


class RoundsTree(FollowsFont, QTreeWidget):
    """One row for each round below what it began from; the one whose model predicts is marked.

    A round that goes on from the one before it stays on its level; see `Lineage.lines_from`.

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
    note_wanted
        The person wants to write a note to this round.
    """

    round_chosen = Signal(int)
    starter_chosen = Signal()
    resume_chosen = Signal(int)
    name_wanted = Signal(int)
    note_wanted = Signal(int)

    def __init__(self) -> None:
        super().__init__()
        self.lineage = Lineage()
        self._rows: dict[str, BranchItem] = {}
        self._records: dict[str, RoundRecord] = {}
        self._palette: Palette | None = None
        self._show_columns()
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setIndentation(LEVEL_PX)
        self.setItemsExpandable(False)
        self.setExpandsOnDoubleClick(False)
        self.setUniformRowHeights(True)
        self.setMinimumHeight(110)
        self.setToolTip("Right-click a round to use its model, name it, or write a note to it")
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.customContextMenuRequested.connect(self._offer)
        self.itemDoubleClicked.connect(lambda item, _: self._use(item))

    def _show_columns(self) -> None:
        self.setHeaderLabels([name for name, _ in _COLUMNS])
        for column, (_, tip) in enumerate(_COLUMNS):
            self.headerItem().setToolTip(column, tip)
        header = self.header()
        header.setStretchLastSection(False)
        header.setSectionsMovable(False)
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)

    def set_palette(self, palette: Palette) -> None:
        """Follow the theme."""
        self._palette = palette
        self.viewport().update()

    def sizeHint(self) -> QSize:
        """Ask for the height of the rows, within limits: the page scrolls for what is asked."""
        rows = self.header().sizeHint().height() + len(self._rows) * self._row_px + 4
        height = max(self.minimumHeight(), min(rows, _MOST_PX))
        return QSize(super().sizeHint().width(), height)

    @property
    def _row_px(self) -> int:
        return max(_ROW_PX, self.fontMetrics().height() + 6)

    def fit_rows(self) -> None:
        """Give rows the height of their letters."""
        for row in self._rows.values():
            row.setSizeHint(0, QSize(0, self._row_px))
        self.updateGeometry()

    # -- the rows -----------------------------------------------------------------------------

    def show_rounds(self, lineage: Lineage) -> None:
        """Fill the tree; what is selected stays so, and the rows stay where they are.

        Only when there is a round more than before, the newest comes into view.
        """
        chosen, scrolled = self._chosen, self.verticalScrollBar().value()
        has_new = len(lineage.rounds) > len(self.lineage.rounds)
        with QSignalBlocker(self):
            self._fill(lineage)
            if chosen is not None and chosen.name in self._rows:
                self.setCurrentItem(self._rows[chosen.name])
        self.updateGeometry()  # it asks for the height of its rows
        self.doItemsLayout()  # type: ignore[attr-defined]
        self.verticalScrollBar().setValue(scrolled)
        if has_new:
            self.scrollToItem(self._rows[model_name(lineage.rounds[-1])])

    def select_round(self, number: int) -> None:
        """Select a round's row; without one nothing is selected."""
        self.clearSelection()
        row = self.row_of(number)
        if row is not None:
            self.setCurrentItem(row)

    def row_of(self, number: int) -> BranchItem | None:
        """Return the row of a round."""
        return self._rows.get(f"round {number}")

    def _fill(self, lineage: Lineage) -> None:
        self.clear()
        self.lineage = lineage
        self._records = {model_name(record): record for record in lineage.rounds}
        self._rows = {}
        for name in lineage.roots:
            root = self._root(name)
            self.addTopLevelItem(root)
            root.setFirstColumnSpanned(not root.is_marked)
            self._hang(root, lineage.lines_from(name))
        self.expandAll()

    def _hang(self, parent: BranchItem, lines: tuple[Line, ...]) -> None:
        for line in lines:
            for place, stop in enumerate(line):
                row = self._round(stop.record, goes_on=place > 0)
                parent.addChild(row)
                self._hang(row, stop.beside)

    def _root(self, name: str) -> BranchItem:
        is_used = name == STARTER and self.lineage.starter_in_charge
        texts = (name, "", "", "in use" if is_used else "", "")
        row = BranchItem(texts, name=name, is_marked=is_used)
        about = _ROOT_TIPS.get(name, f"The weights file {name}.")
        can_be_used = name == STARTER and self.starter_can_be_used
        return self._complete(
            row,
            about,
            "It predicts now." if is_used else "",
            _USE_TIP if can_be_used else "",
        )

    def _round(self, record: RoundRecord, *, goes_on: bool) -> BranchItem:
        name = self.lineage.names.get(record.number, "")
        note = self.lineage.notes.get(record.number, "")
        is_used = self.lineage.is_in_charge(record)
        texts = _texts(record, name, note, is_used=is_used)
        row = BranchItem(texts, name=model_name(record), goes_on=goes_on, is_marked=is_used)
        return self._complete(
            row,
            f"Round {record.number}: {name}" if name else f"Round {record.number}",
            f"Began from {base_name(record.base)}.",
            "Its model predicts now." if is_used else "",
            record.note,
            note,
            _USE_TIP if self.can_be_used(record) else "",
        )

    def _complete(self, row: BranchItem, *about: str) -> BranchItem:
        lines = [line for text in about for line in text.splitlines() if line]
        font = QFont()  # its size is the tree's
        font.setBold(row.is_marked)
        row.setSizeHint(0, QSize(0, self._row_px))
        for column in range(len(_COLUMNS)):
            row.setFont(column, font)
            row.setToolTip(column, f"<p>{'<br>'.join(map(escape, lines))}</p>")
        self._rows[row.name] = row
        return row

    def drawBranches(self, painter: QPainter, rect: QRect, index: QModelIndex) -> None:
        """Draw the lines of the rounds where a plain tree has its arrows."""
        item = self.itemFromIndex(index)
        if self._palette is not None and isinstance(item, BranchItem):
            paint_branch(painter, rect, item, self._palette)

    # -- what can be done with a row ----------------------------------------------------------

    @property
    def _chosen(self) -> BranchItem | None:
        chosen = self.selectedItems()
        return cast(BranchItem, chosen[0]) if chosen else None

    @property
    def selected(self) -> RoundRecord | None:
        """The round whose row is selected."""
        return self._record(self._chosen)

    @property
    def selected_name(self) -> str | None:
        """What the model of the selected row is called."""
        return self._chosen.name if self._chosen is not None else None

    def _record(self, item: QTreeWidgetItem | None) -> RoundRecord | None:
        return self._records.get(item.name) if isinstance(item, BranchItem) else None

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

    @property
    def selected_can_be_used(self) -> bool:
        """Whether the selected row has a model that could take over."""
        chosen = self._chosen
        is_starter = chosen is not None and chosen.name == STARTER
        return self.starter_can_be_used if is_starter else self.can_be_used(self.selected)

    def use_selected(self) -> None:
        """Want the model of the selected row to predict, if it has one that could."""
        if self._chosen is not None:
            self._use(self._chosen)

    def _use(self, item: QTreeWidgetItem) -> None:
        record = self._record(item)
        if record is not None and self.can_be_used(record):
            self.round_chosen.emit(record.number)
        elif record is None and item is self._rows.get(STARTER) and self.starter_can_be_used:
            self.starter_chosen.emit()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Use the model of the row on Enter."""
        if is_enter(event):
            self.use_selected()
            event.accept()
        else:
            super().keyPressEvent(event)

    def menu_of(self, item: QTreeWidgetItem | None) -> QMenu:
        """Return what can be done with a row, or below the last one."""
        menu = QMenu(self)
        record = self._record(item)
        if record is not None and self.can_be_used(record):
            use = menu.addAction(f"Use the model of round {record.number}")
            use.triggered.connect(lambda: self.round_chosen.emit(record.number))
        if record is not None and record.can_go_on:
            go_on = menu.addAction(f"Go on with round {record.number}")
            go_on.triggered.connect(lambda: self.resume_chosen.emit(record.number))
        elif self.starter_can_be_used:
            starter = menu.addAction("Use the starter model")
            starter.triggered.connect(self.starter_chosen.emit)
        if record is not None:
            self._offer_words(menu, record)
        return menu

    def _offer_words(self, menu: QMenu, record: RoundRecord) -> None:
        if record.weights is not None:
            name = menu.addAction(f"Name round {record.number}…")
            name.triggered.connect(lambda: self.name_wanted.emit(record.number))
        note = menu.addAction(f"Note on round {record.number}…")
        note.triggered.connect(lambda: self.note_wanted.emit(record.number))

    def _offer(self, where: QPoint) -> None:
        menu = self.menu_of(self.itemAt(where))
        if menu.actions():
            menu.exec(self.viewport().mapToGlobal(where))
        menu.deleteLater()


def _texts(record: RoundRecord, name: str, note: str, *, is_used: bool) -> tuple[str, ...]:
    report = record.report or {}
    score = (report.get("validation") or {}).get("dice")
    tiles = report.get("labelled")
    return (
        f"{record.number} {name}".strip(),
        "–" if score is None else f"{score:.3f}",
        "–" if tiles is None else str(tiles),
        "in use" if is_used else str(record.state),
        "✎" if note else "",
    )
