"""The brush: the few tools of napari's Labels layer that correcting a mask needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Signal, Slot

from napari_semimoe.core.values import IGNORE

if TYPE_CHECKING:
    from napari.layers import Labels

    from napari_semimoe.gui.desk import Desk


@dataclass(frozen=True, slots=True)
class Tool:
    """One button: its text, the layer's mode, napari's key for it, and what it is for."""

    text: str
    mode: str
    key: str
    tip: str


TOOLS = (
    Tool("Brush", "paint", "P", "Paint the selected gland"),
    Tool("Erase", "erase", "E", "Wipe away: what is left is background"),
    Tool("Fill", "fill", "F", "Give a whole connected region to the selected gland"),
    Tool("Pick", "pick", "L", "Click a gland to go on painting it"),
    Tool("Move", "pan_zoom", "Z", "Drag to move the picture, wheel to zoom; hold Space meanwhile"),
)


class Brush(QObject):
    """Sets the tools of the pseudo-label layer and tells when the person changed them there.

    Attributes
    ----------
    changed
        The mode, the label under the brush or the brush's size changed.
    """

    changed = Signal()

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self._desk = desk
        self._watched: Labels | None = None
        desk.tile_shown.connect(self._on_tile_shown)

    @property
    def layer(self) -> Labels | None:
        """The layer under the brush."""
        return self._desk.layers.labels_layer

    @property
    def mode(self) -> str:
        """The layer's mode, empty without a layer."""
        return "" if self.layer is None else str(self.layer.mode)

    @property
    def is_ignoring(self) -> bool:
        """Whether the brush paints 'do not learn here'."""
        return self.layer is not None and self.layer.selected_label == IGNORE

    def use(self, mode: str) -> None:
        """Take a tool."""
        if self.layer is not None:
            self._desk.layers.make_active()
            self.layer.mode = mode

    def new_gland(self) -> None:
        """Paint with an id that no gland has yet."""
        if self.layer is not None:
            self.layer.selected_label = self._desk.free_label()
            self.use("paint")

    def ignore(self) -> None:
        """Paint 'do not learn here'; the same key again goes back to a gland."""
        if self.layer is None:
            return
        if self.is_ignoring:
            self.layer.selected_label = max(1, self._desk.free_label() - 1)
        else:
            self.layer.selected_label = IGNORE
        self.use("paint")

    def set_size(self, size: int) -> None:
        """Set the brush's diameter in pixels."""
        if self.layer is not None:
            self.layer.brush_size = size

    def set_outlines(self, on: bool) -> None:
        """Draw glands as outlines, so that the tissue under them can be judged."""
        if self.layer is not None:
            self.layer.contour = 2 if on else 0
            self.layer.opacity = 0.9 if on else 0.45

    def set_protect(self, on: bool) -> None:
        """Paint over background only, so that neighbours keep their pixels."""
        if self.layer is not None:
            self.layer.preserve_labels = on

    @Slot(object)
    def _on_tile_shown(self, _: object) -> None:
        layer = self.layer
        if layer is not None and layer is not self._watched:
            self._watched = layer
            for event in ("mode", "selected_label", "brush_size", "preserve_labels", "contour"):
                getattr(layer.events, event).connect(self._on_layer_event)
        self.changed.emit()

    def _on_layer_event(self, event: object = None) -> None:
        self.changed.emit()
