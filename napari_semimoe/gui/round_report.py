"""A round against the model that it began from, tile by tile; a click opens the tile."""

from __future__ import annotations

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QComboBox, QVBoxLayout, QWidget

from napari_semimoe.core.measures import MEASURES, WORDS, Measure
from napari_semimoe.gui.widgets import RowTable, hint
from napari_semimoe.session.comparison import Comparison, TileChange, capital

_COLUMNS = (
    ("Tile", "Validation tile; the one that lost most comes first"),
    ("Before", "Score of the model that the round began from"),
    ("After", "Score of the round's model"),
    ("Change", "What the tile gained, or lost"),
)
_MEASURE_TOOLTIP = (
    "Dice and object Dice: 1 is perfect overlap. Object F1: 1 when every gland is found and none "
    "is invented. Object Hausdorff: how far outlines are apart at most, 0 is perfect"
)


class RoundReport(QWidget):
    """The person's note, one sentence, and one row for each validation tile.

    Attributes
    ----------
    measure_chosen
        The person wants to see another score.
    """

    measure_chosen = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._measure: Measure = "dice"
        self.measures = QComboBox()
        for measure in MEASURES:
            self.measures.addItem(capital(WORDS[measure].name), measure)
        self.measures.setToolTip(_MEASURE_TOOLTIP)
        self.note = hint("")
        self.note.setTextFormat(Qt.TextFormat.PlainText)  # a person may write brackets
        self.sentence = hint("")
        self.experts = hint("")
        self.table = RowTable(_COLUMNS)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for each in (self.note, self.measures, self.sentence, self.experts, self.table):
            layout.addWidget(each)
        self.measures.activated.connect(self.measure_chosen)
        self.show_comparison(None)

    @property
    def measure(self) -> Measure:
        """The score that the person wants to see."""
        return self.measures.currentData()

    def show_measure(self, measure: Measure) -> None:
        """Choose a score as the person would; nothing is filled in anew."""
        self.measures.setCurrentIndex(MEASURES.index(measure))

    def show_comparison(self, compared: Comparison | None, note: str = "") -> None:
        """Fill the table; without a comparison and a note there is nothing to see."""
        self.setVisible(compared is not None or bool(note))
        self.note.setText(f"✎ {note}")
        self.note.setVisible(bool(note))
        for each in (self.measures, self.sentence):
            each.setVisible(compared is not None)
        tiles = compared.tiles if compared is not None else ()
        self._measure = compared.measure if compared is not None else "dice"
        self.sentence.setText(compared.sentence if compared is not None else "")
        self.experts.setText(compared.experts_sentence if compared is not None else "")
        self.experts.setVisible(bool(self.experts.text()))
        self.table.show_rows(
            [self._cells(tile) for tile in tiles],
            tile_ids=[tile.tile_id for tile in tiles],
            bold=[tile.is_worse for tile in tiles],
            tip="Click to open this tile and see what changed",
        )

    def _cells(self, tile: TileChange) -> tuple[str, ...]:
        words = WORDS[self._measure]
        before, after = (
            "–" if score is None else words.text(score) for score in (tile.before, tile.after)
        )
        change = "–" if tile.change is None else words.signed(tile.change)
        return tile.name, before, after, change
