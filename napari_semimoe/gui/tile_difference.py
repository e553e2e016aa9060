"""A layer over a validation tile that shows what a round made better and what worse."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Labels
from napari.utils.colormaps import DirectLabelColormap
from numpy.typing import NDArray
from qtpy.QtCore import QObject, Slot

from napari_semimoe.session.differences import BETTER, WORSE, read_difference

if TYPE_CHECKING:
    from napari_semimoe.gui.tile_view import TileView
    from napari_semimoe.gui.workbench import Workbench

NAME = "green better, orange worse"
#: Told apart by colour-blind people, and both absent from H&E and DAB.
_COLORS = {
    None: (0, 0, 0, 0),
    0: (0, 0, 0, 0),
    BETTER: (0, 0.62, 0.45, 1),
    WORSE: (0.95, 0.5, 0, 1),
}


class TileDifference(QObject):
    """Opens a tile with its difference, and takes the difference away with the tile.

    Parameters
    ----------
    bench
        Whose desk and viewer are used.
    """

    def __init__(self, bench: Workbench, parent: QObject) -> None:
        super().__init__(parent)
        self._bench = bench
        self._asked: tuple[int, int] | None = None
        self._layer: Labels | None = None
        bench.desk.tile_moving.connect(self._take_away)  # else the view is fitted to it, too
        bench.desk.tile_shown.connect(self._on_tile_shown)

    def open(self, number: int, tile_id: int) -> None:
        """Put a tile on the desk and show what round ``number`` changed there."""
        self._take_away()
        self._asked = number, tile_id
        self._bench.desk.select(tile_id)

    @Slot(object)
    def _on_tile_shown(self, view: TileView | None) -> None:
        shown = None if view is None else view.tile.id
        if self._layer is not None and self._layer.metadata["tile"] != shown:
            self._take_away()
        asked, self._asked = self._asked, None
        if asked is None or asked[1] != shown:
            return
        self._bench.read(
            lambda project: read_difference(project, *asked),
            lambda found: self._show(found, *asked),
        )

    def _show(self, found: NDArray[np.uint8] | None, number: int, tile_id: int) -> None:
        desk = self._bench.desk
        mask = desk.layers.labels_layer
        if desk.tile_id != tile_id or mask is None:
            return  # the person has moved on meanwhile
        if found is None:
            desk.said.emit(
                f"Where round {number} differs is not known: it began from nothing, or an "
                "earlier version trained it."
            )
            return
        self._take_away()
        self._layer = Labels(
            found,
            name=NAME,
            colormap=DirectLabelColormap(color_dict=_COLORS),
            opacity=0.8,
            scale=mask.scale,
            units=mask.units,
            metadata={"tile": tile_id},
        )
        self._bench.viewer.add_layer(self._layer)
        self._layer.editable = False
        desk.layers.set_covered(True)
        desk.layers.make_active()
        desk.said.emit(
            f"Green: only round {number} is right. Orange: only the model before it was right."
        )

    def _take_away(self) -> None:
        layer, self._layer = self._layer, None
        self._bench.desk.layers.set_covered(False)
        if layer is not None and layer in self._bench.viewer.layers:
            self._bench.viewer.layers.remove(layer)
