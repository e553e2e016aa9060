"""What unlabelled tiles taught in a round; a click opens the tile, a button excludes it."""

from __future__ import annotations

from qtpy.QtCore import Signal, Slot
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_semimoe.gui.widgets import RowTable, button, heading
from napari_semimoe.session.ledger import TaughtTile

_COLUMNS = (
    ("Tile", "Unlabelled tile; the one whose pseudo-label changed most comes first"),
    ("Gland", "Share of its pixels that were taught as gland"),
    ("Teaches", "Share of its pixels on which the experts agreed enough to teach"),
    ("Weight", "How much a pixel counted on average: sure ones count more"),
    ("Changed", "Share of its pixels that were taught otherwise in the round before"),
)


class TaughtPanel(QWidget):
    """One row for each unlabelled tile of a round.

    Attributes
    ----------
    exclude_wanted
        This tile shall teach no more.
    """

    exclude_wanted = Signal(int)

    def __init__(self) -> None:
        super().__init__()
        self.table = RowTable(_COLUMNS)
        self.exclude = button(
            "Exclude this tile", "Let the selected tile teach no more; its pool can be changed back"
        )
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for each in (heading("What unlabelled tiles taught"), self.table, self.exclude):
            layout.addWidget(each)
        self.table.itemSelectionChanged.connect(self._on_selection_changed)
        self.exclude.clicked.connect(self._on_exclude_clicked)
        self.show_tiles(())

    def show_tiles(self, tiles: tuple[TaughtTile, ...]) -> None:
        """Fill the table; without tiles there is nothing to see."""
        self.setVisible(bool(tiles))
        self.table.clearSelection()
        self.table.show_rows(
            [_cells(tile) for tile in tiles],
            tile_ids=[tile.tile_id for tile in tiles],
            bold=[False] * len(tiles),
            tip="Click to open this tile; correct and accept it, and its mask teaches instead",
        )
        self._on_selection_changed()

    @Slot()
    def _on_selection_changed(self) -> None:
        self.exclude.setEnabled(self.table.selected_tile is not None)

    @Slot()
    def _on_exclude_clicked(self) -> None:
        tile_id = self.table.selected_tile
        if tile_id is not None:
            self.exclude_wanted.emit(tile_id)


def _cells(tile: TaughtTile) -> tuple[str, ...]:
    shares = (tile.foreground, tile.coverage, tile.weight, tile.changed)
    return tile.name, *("–" if share is None else f"{share:.0%}" for share in shares)
