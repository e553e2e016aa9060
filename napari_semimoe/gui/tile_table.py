"""The queue of tiles as a table that sorts by a click on a heading."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import (
    QAbstractTableModel,
    QItemSelectionModel,
    QModelIndex,
    QSize,
    Qt,
    Signal,
)
from qtpy.QtGui import QColor, QFont, QFontMetrics
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QMenu, QTableView, QWidget

from napari_semimoe.core.natural import natural_key
from napari_semimoe.core.states import Pool
from napari_semimoe.gui.widgets import FollowsFont, is_enter, row_px
from napari_semimoe.project.pools import WITH_MASK
from napari_semimoe.session.queue import QueueOrder, is_open

if TYPE_CHECKING:
    from qtpy.QtCore import QPoint
    from qtpy.QtGui import QKeyEvent, QResizeEvent

    from napari_semimoe.project.records import TileRecord

COLUMNS = ("Tile", "Pool", "Doubt")
#: Order of the session's queue that goes with sorting by a column.
QUEUE_ORDERS: dict[int, QueueOrder] = {0: "name", 2: "disagreement"}
_TOOLTIPS = (
    "Name of the tile; click to open it",
    "Where the tile stands: only labelled and curated masks teach, validation masks only judge",
    "How much the three experts disagree on the tile; the highest are worth looking at first",
)
POOL_TEXT = {
    Pool.UNLABELLED: "to review",
    Pool.LABELLED: "labelled",
    Pool.CURATED: "curated",
    Pool.VALIDATION: "validation",
    Pool.EXCLUDED: "excluded",
}
#: What the cells of a column may show at most.
_WIDEST = {1: tuple(POOL_TEXT.values()), 2: ("100.0 %",)}
TILE_ID = Qt.ItemDataRole.UserRole
HAS_MASK = Qt.ItemDataRole.UserRole + 1


class TileModel(QAbstractTableModel):
    """Records of tiles as rows."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._tiles: list[TileRecord] = []
        self._row_of: dict[int, int] = {}
        self._order: tuple[int, Qt.SortOrder] = (2, Qt.SortOrder.DescendingOrder)
        self._active: int | None = None
        self._faint = QColor("#808080")

    def set_tiles(self, tiles: Sequence[TileRecord]) -> bool:
        """Show tiles, and return whether others came; else rows move and cells change."""
        tiles = self._in_order(tiles)
        if {tile.id for tile in tiles} != self._row_of.keys():
            self.beginResetModel()
            self._place(tiles)
            self.endResetModel()
            return True
        before = self._tiles
        if [t.id for t in tiles] != [t.id for t in before]:
            self._move(tiles)
            return False
        self._tiles = tiles
        changed = [row for row, tile in enumerate(tiles) if tile != before[row]]
        if changed:
            self._cells_changed(changed[0], changed[-1])
        return False

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        """Sort by a column from now on."""
        self._order = column, order
        self._move(self._in_order(self._tiles))

    def _move(self, tiles: list[TileRecord]) -> None:
        """Lay out the same tiles otherwise; what is selected stays so."""
        self.layoutAboutToBeChanged.emit()
        before = self.persistentIndexList()
        ids = [self._tiles[index.row()].id for index in before]
        self._place(tiles)
        now = [
            self.index(self._row_of[tile_id], index.column())
            for index, tile_id in zip(before, ids, strict=True)
        ]
        self.changePersistentIndexList(before, now)
        self.layoutChanged.emit()

    def _in_order(self, tiles: Sequence[TileRecord]) -> list[TileRecord]:
        column, order = self._order
        falls = order == Qt.SortOrder.DescendingOrder
        return sorted(tiles, key=lambda tile: _sort_key(tile, column), reverse=falls)

    def _place(self, tiles: list[TileRecord]) -> None:
        self._tiles = tiles
        self._row_of = {tile.id: row for row, tile in enumerate(tiles)}

    def set_active(self, tile_id: int | None) -> None:
        """Print the tile on the desk in bold."""
        if tile_id == self._active:
            return
        for changed in (self._active, tile_id):
            self._active = tile_id
            row = self._row_of.get(changed, -1) if changed is not None else -1
            if row >= 0:
                self._cells_changed(row, row)

    def patients(self) -> list[str]:
        """Return the patients of all tiles, as people count."""
        return sorted({tile.patient for tile in self._tiles if tile.patient}, key=natural_key)

    def row_of(self, tile_id: int) -> int:
        """Return the row of a tile, or -1."""
        return self._row_of.get(tile_id, -1)

    def tile(self, tile_id: int) -> TileRecord:
        """Return a tile of the table."""
        return self._tiles[self._row_of[tile_id]]

    def set_faint(self, color: str) -> None:
        """Choose the colour of tiles that take no part."""
        self._faint = QColor(color)

    def _cells_changed(self, first: int, last: int) -> None:
        self.dataChanged.emit(self.index(first, 0), self.index(last, len(COLUMNS) - 1))

    def rowCount(self, parent: QModelIndex | None = None) -> int:
        """Return the number of tiles."""
        return 0 if parent is not None and parent.isValid() else len(self._tiles)

    def columnCount(self, parent: QModelIndex | None = None) -> int:
        """Return the number of columns."""
        return len(COLUMNS)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = 0) -> Any:
        """Return the headings and their tooltips."""
        if orientation == Qt.Orientation.Horizontal:
            if role == Qt.ItemDataRole.DisplayRole:
                return COLUMNS[section]
            if role == Qt.ItemDataRole.ToolTipRole:
                return _TOOLTIPS[section]
            if role == Qt.ItemDataRole.InitialSortOrderRole and section == 2:
                return Qt.SortOrder.DescendingOrder
        return None

    def data(self, index: QModelIndex, role: int = 0) -> Any:
        """Return what a cell shows."""
        tile = self._tiles[index.row()]
        column = index.column()
        if role == Qt.ItemDataRole.DisplayRole:
            return self._text(tile, column)
        if role == TILE_ID:
            return tile.id
        if role == HAS_MASK:
            return tile.annotation_id is not None
        if role == Qt.ItemDataRole.TextAlignmentRole and column == 2:
            return int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        if role == Qt.ItemDataRole.FontRole and tile.id == self._active:
            font = QFont()
            font.setBold(True)
            return font
        if role == Qt.ItemDataRole.ForegroundRole and tile.pool == Pool.EXCLUDED:
            return self._faint
        if role == Qt.ItemDataRole.ToolTipRole:
            return self._tooltip(tile)
        return None

    @staticmethod
    def _text(tile: TileRecord, column: int) -> str:
        if column == 0:
            return tile.name
        if column == 1:
            return POOL_TEXT[tile.pool]
        return "–" if tile.disagreement is None else f"{100 * tile.disagreement:.1f} %"

    @staticmethod
    def _tooltip(tile: TileRecord) -> str:
        height, width = tile.box.shape
        lines = [
            tile.name,
            f"{width} x {height} px at {tile.um_per_px:g} µm per px",
            f"Pool: {POOL_TEXT[tile.pool]}",
        ]
        if tile.patient:
            lines.append(f"Patient: {tile.patient}")
        if tile.seconds_of_effort:
            lines.append(f"Your time on it: {tile.seconds_of_effort:.0f} s")
        return "\n".join(lines)


def _sort_key(tile: TileRecord, column: int) -> Any:
    """Return what a tile sorts by; by doubt, tiles that wait for a person go together."""
    if column == 0:
        return natural_key(tile.name)
    if column == 1:
        return POOL_TEXT[tile.pool]
    return is_open(tile), -1.0 if tile.disagreement is None else tile.disagreement


class TileTable(FollowsFont, QTableView):
    """The queue.

    Attributes
    ----------
    tile_chosen
        A tile was opened by a click on its row, or by Enter.
    pool_chosen
        Ids of tiles and the pool that the person wants them in.
    scale_doubted
        Ids of tiles of which the person wants to correct how large a pixel is.
    patient_asked
        Ids of tiles of which the person wants to say whose they are.
    """

    tile_chosen = Signal(int)
    pool_chosen = Signal(object, object)
    scale_doubted = Signal(object)
    patient_asked = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self.tiles = TileModel(self)
        self._marked: int | None = None
        self.setModel(self.tiles)
        self.setSortingEnabled(True)
        self.sortByColumn(2, Qt.SortOrder.DescendingOrder)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setShowGrid(False)
        self.setWordWrap(False)
        self.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.verticalHeader().hide()
        header = self.horizontalHeader()
        header.setHighlightSections(False)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        for column in _WIDEST:
            header.setSectionResizeMode(column, QHeaderView.ResizeMode.Fixed)
        self.fit_rows()
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.customContextMenuRequested.connect(self._offer)
        self.clicked.connect(self._choose)

    def sizeHint(self) -> QSize:
        """Ask for no more than needed: a scroll area gives a page what its parts ask for."""
        return QSize(super().sizeHint().width(), self.minimumHeight())

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Keep the tile on the desk in sight."""
        super().resizeEvent(event)
        if self._marked is not None:
            self.scrollTo(self.currentIndex())

    def fit_rows(self) -> None:
        """Give rows the height of their letters, and columns the width of what they may show.

        Letting Qt look at the cells takes it to all rows at each change while the table is hidden.
        """
        self.verticalHeader().setDefaultSectionSize(row_px(self))
        font, header = self.font(), self.horizontalHeader()
        font.setBold(True)  # as the tile on the desk is printed
        for column, texts in _WIDEST.items():
            cell = max(map(QFontMetrics(font).horizontalAdvance, texts)) + row_px(self) // 2
            header.resizeSection(column, max(cell, header.sectionSizeHint(column)))

    def show_tiles(self, tiles: Sequence[TileRecord], active: int | None) -> None:
        """Fill the table and mark the tile on the desk."""
        chosen, scrolled = self.selected_ids(), self.verticalScrollBar().value()
        if not self.tiles.set_tiles(tiles):
            self.tiles.set_active(active)
            return
        self._mark(active)
        if chosen:  # other tiles came, which must not take the person elsewhere
            self.clearSelection()
            for tile_id in chosen:
                self._select_also(tile_id)
            self.verticalScrollBar().setValue(scrolled)

    def _select_also(self, tile_id: int) -> None:
        index = self.tiles.index(self.tiles.row_of(tile_id), 0)
        flags = QItemSelectionModel.SelectionFlag
        self.selectionModel().select(index, flags.Select | flags.Rows)

    def mark(self, tile_id: int | None) -> None:
        """Mark another tile on the desk and scroll to it; what else is selected is no more."""
        if tile_id != self._marked:
            self._mark(tile_id)

    def _mark(self, tile_id: int | None) -> None:
        self.tiles.set_active(tile_id)
        self._marked = None
        row = self.tiles.row_of(tile_id) if tile_id is not None else -1
        if row < 0:
            return
        self._marked = tile_id
        index = self.tiles.index(row, 0)
        flags = QItemSelectionModel.SelectionFlag
        self.selectionModel().setCurrentIndex(index, flags.ClearAndSelect | flags.Rows)
        self.scrollTo(index)

    def show_order(self, order: QueueOrder) -> None:
        """Sort as the queue is ordered."""
        column = {order: column for column, order in QUEUE_ORDERS.items()}[order]
        way = Qt.SortOrder.DescendingOrder if column == 2 else Qt.SortOrder.AscendingOrder
        self.sortByColumn(column, way)

    def selected_ids(self) -> list[int]:
        """Return the ids of the selected rows."""
        return [index.data(TILE_ID) for index in self.selectionModel().selectedRows(0)]

    def _all_masked(self) -> bool:
        return all(index.data(HAS_MASK) for index in self.selectionModel().selectedRows(0))

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Open the tile of the row on Enter."""
        if is_enter(event):
            self._choose(self.currentIndex())
            event.accept()
        else:
            super().keyPressEvent(event)

    def _choose(self, index: QModelIndex) -> None:
        is_one = len(self.selected_ids()) == 1  # more are being selected to move them to a pool
        if index.isValid() and is_one:
            self.tile_chosen.emit(index.data(TILE_ID))

    def _offer(self, where: QPoint) -> None:
        chosen = self.selected_ids()
        if not chosen:
            return
        menu = QMenu(self)
        for pool in Pool:
            action = menu.addAction(f"Move to: {POOL_TEXT[pool]}")
            action.setData(pool)
            action.setEnabled(pool not in WITH_MASK or self._all_masked())
        menu.addSeparator()
        patient = menu.addAction("Name the patient…")
        scale = menu.addAction("Correct the pixel size…")
        picked = menu.exec(self.viewport().mapToGlobal(where))
        if picked is scale:
            self.scale_doubted.emit(chosen)
        elif picked is patient:
            self.patient_asked.emit(chosen)
        elif picked is not None:
            self.pool_chosen.emit(chosen, Pool(picked.data()))
        menu.deleteLater()
