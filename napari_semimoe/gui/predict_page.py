"""Predict: the queue of tiles, and what the network says about the one on the desk."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Slot
from qtpy.QtWidgets import (
    QButtonGroup,
    QGridLayout,
    QHBoxLayout,
    QInputDialog,
    QVBoxLayout,
    QWidget,
)

from napari_semimoe.core.states import Pool
from napari_semimoe.gui import tile_layers
from napari_semimoe.gui.gate_table import GateTable
from napari_semimoe.gui.pixel_size import ask_pixel_size
from napari_semimoe.gui.theme import Palette
from napari_semimoe.gui.tile_table import POOL_TEXT, QUEUE_ORDERS, TileTable
from napari_semimoe.gui.widgets import button, heading, hint, tool
from napari_semimoe.project.records import counted

if TYPE_CHECKING:
    from napari_semimoe.gui.project_actions import ProjectActions
    from napari_semimoe.gui.tile_view import TileView
    from napari_semimoe.gui.workbench import Workbench
    from napari_semimoe.project.records import TileRecord

_MAPS = (
    ("None", None, "Show the tissue and the mask only"),
    ("Probability", tile_layers.SEGMENTATION, "Segmentation expert: how likely a pixel is gland"),
    ("Distance", tile_layers.DISTANCE, "Distance expert: teal inside glands, brown outside"),
    ("Boundary", tile_layers.BOUNDARY, "Boundary expert: the outer ring of each gland"),
    ("Doubt", tile_layers.DISAGREEMENT, "Where the experts disagree"),
)


class PredictPage(QWidget):
    """The first step.

    Parameters
    ----------
    bench
        What the page shows and forwards to.
    """

    def __init__(self, bench: Workbench, actions: ProjectActions) -> None:
        super().__init__()
        self._bench = bench
        self._names: dict[int, str] = {}
        self._not_predicted: int | None = None  # the tile of the last prediction that failed
        self.summary = hint("")
        self.add = button("Add a folder of images…", actions.add_folder.toolTip(), "primary")
        self.add.clicked.connect(actions.add_folder.trigger)
        self.add.hide()
        self.table = TileTable()
        self.table.setMinimumHeight(160)
        self.previous = button("◀  Previous", "Open the previous tile of the queue  (key: ,)")
        self.predict = button("Predict", "Predict this tile, unless the model in use has done so")
        self.next = button("Next  ▶", "Open the next tile that waits for review  (key: .)")
        self.gates = GateTable()
        self.gate_hint = hint("Shown once the tile is predicted.")
        self.maps = self._map_buttons()
        self._lay_out()
        self._connect()

    def _map_buttons(self) -> QButtonGroup:
        group = QButtonGroup(self)
        group.setExclusive(True)
        for number, (text, _, tip) in enumerate(_MAPS):
            each = tool(text, f"{tip}  (key: W shows the next map)")
            each.setParent(self)
            group.addButton(each, number)
        group.button(0).setChecked(True)
        return group

    def _lay_out(self) -> None:
        moves = QHBoxLayout()
        moves.addWidget(self.previous)
        moves.addWidget(self.predict)
        moves.addWidget(self.next)
        maps = QGridLayout()
        maps.setSpacing(2)
        for number, each in enumerate(self.maps.buttons()):
            maps.addWidget(each, 0, number)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 8, 6, 8)
        layout.addWidget(self.summary)
        layout.addWidget(self.add)
        layout.addWidget(self.table, 1)
        layout.addLayout(moves)
        layout.addWidget(heading("Map over the tissue"))
        layout.addLayout(maps)
        layout.addWidget(heading("Who is heard on this tile"))
        layout.addWidget(self.gate_hint)
        layout.addWidget(self.gates)
        self.gates.hide()

    def _connect(self) -> None:
        bench, desk = self._bench, self._bench.desk
        bench.project_changed.connect(self._on_project_changed)
        bench.tiles_listed.connect(self._on_tiles_listed)
        desk.tile_shown.connect(self._on_tile_shown)
        self.table.tile_chosen.connect(self._on_tile_chosen)
        self.table.pool_chosen.connect(bench.set_pool)
        self.table.scale_doubted.connect(self._correct_scale)
        self.table.patient_asked.connect(self._name_patient)
        self.table.horizontalHeader().sortIndicatorChanged.connect(self._on_sorted)
        self.previous.clicked.connect(desk.take_previous)
        self.next.clicked.connect(desk.take_next)
        self.predict.clicked.connect(self._on_predict)
        bench.relay.prediction_failed.connect(self._on_prediction_failed)
        self.maps.idClicked.connect(lambda i: desk.layers.show_only_map(_MAPS[i][1]))

    def show_next_map(self) -> None:
        """Go through the maps, one at each press of the key."""
        self.maps.button((self.maps.checkedId() + 1) % len(_MAPS)).click()

    def set_palette(self, palette: Palette) -> None:
        """Follow the theme."""
        self.gates.set_palette(palette)
        self.table.tiles.set_faint(palette.faint)

    @Slot(object)
    def _correct_scale(self, tile_ids: list[int]) -> None:
        now = self.table.tiles.tile(tile_ids[0]).um_per_px
        value = ask_pixel_size(self, "The images of the chosen tiles get another scale.", now)
        if value is not None:
            self._bench.set_um_per_px(tile_ids, value)

    @Slot(object)
    def _name_patient(self, tile_ids: list[int]) -> None:
        now = self.table.tiles.tile(tile_ids[0]).patient or ""
        known = self.table.tiles.patients()
        name, given = QInputDialog.getItem(
            self,
            "Whose tissue is it?",
            "All tiles of a patient teach, or all of them judge.\n"
            "Of an image that was cut into tiles all are meant.\n"
            "The patient's name; leave it empty where it is not known:",
            ["", *known],
            known.index(now) + 1 if now else 0,
            True,
        )
        if given:
            self._bench.set_patient(tile_ids, name.strip() or None)

    @Slot()
    def _on_project_changed(self) -> None:
        self.table.show_tiles([], None)  # those of the project before
        if self._bench.has_project:
            self.table.show_order(self._bench.session.queue_order)

    @Slot(object)
    def _on_tiles_listed(self, tiles: list[TileRecord]) -> None:
        self.table.show_tiles(tiles, self._bench.desk.tile_id)
        self.summary.setText(summary_of(tiles))
        self.add.setVisible(not tiles)

    @Slot()
    def _on_predict(self) -> None:
        self._not_predicted = None
        self._show_waiting()
        self._bench.predict()

    def _show_waiting(self) -> None:
        tile_id = self._bench.desk.tile_id
        if tile_id is None or self._bench.session.weights is None:
            self.gate_hint.setText("Shown once a tile is predicted.")
        elif tile_id == self._not_predicted:
            self.gate_hint.setText("Not predicted. Press Predict to try again.")
        else:
            self.gate_hint.setText("Being predicted…")

    @Slot(int, str)
    def _on_prediction_failed(self, tile_id: int, _: str) -> None:
        if tile_id == self._bench.desk.wanted_id:
            self._not_predicted = tile_id
            self._show_waiting()

    @Slot(int, Qt.SortOrder)
    def _on_sorted(self, column: int, _: Qt.SortOrder) -> None:
        if column in QUEUE_ORDERS:
            self._bench.set_queue_order(QUEUE_ORDERS[column])

    @Slot(int)
    def _on_tile_chosen(self, tile_id: int) -> None:
        if tile_id != self._bench.desk.wanted_id:
            self._not_predicted = None
            self._bench.desk.select(tile_id)

    @Slot(object)
    def _on_tile_shown(self, view: TileView | None) -> None:
        prediction = None if view is None else view.prediction
        for each in (self.previous, self.next, self.predict, *self.maps.buttons()):
            each.setEnabled(view is not None)
        self.gates.setVisible(prediction is not None)
        self.gate_hint.setVisible(prediction is None)
        self._show_waiting()
        if prediction is not None:
            self.gates.show_gates(prediction.expert_names, prediction.gates.tolist())
        self.table.mark(None if view is None else view.tile.id)
        self._bench.desk.layers.show_only_map(_MAPS[max(self.maps.checkedId(), 0)][1])


def summary_of(tiles: list[TileRecord]) -> str:
    """Say how many tiles there are and where they stand."""
    if not tiles:
        return "No tiles yet. Add images, or drop them here."
    counts = Counter(tile.pool for tile in tiles)
    parts = [f"{counts[pool]} {POOL_TEXT[pool]}" for pool in Pool if counts[pool]]
    return f"{counted(len(tiles), 'tile')}: " + ", ".join(parts)
