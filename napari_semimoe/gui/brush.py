"""The brush: the few tools of napari's Labels layer that correcting a mask needs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QObject, Signal, Slot

from napari_semimoe.core.values import IGNORE

if TYPE_CHECKING:
    from napari.layers import Labels

    from napari_semimoe.gui.desk import Desk
    from napari_semimoe.gui.tile_view import TileView


@dataclass(frozen=True, slots=True)
class Tool:
    """One button: its text, the layer's mode, napari's key for it, and what it is for."""

    text: str
    mode: str
    key: str
    tip: str


TOOLS = (
    Tool(
        "Brush",
        "paint",
        "P",
        "Start in a gland to extend it; start outside all glands to draw a new one",
    ),
    Tool("Erase", "erase", "E", "Wipe away: what is left is background"),
    Tool("Pick", "pick", "L", "Click a gland; the next stroke or fill belongs to it"),
    Tool("Fill", "fill", "F", "Click a region to give it all to the picked gland (merge)"),
    Tool("Move", "pan_zoom", "Z", "Drag to move the picture; hold Space to do so for a moment"),
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
        self._chosen = False  # the person chose the label of the next stroke
        self._following = False  # the brush itself is choosing it
        self._known = 0  # the label under the brush as it was last
        self._unprotected = False  # neighbours, for the stroke that is under way
        self._class_of_new = 1
        self._labels: NDArray[np.uint16] | None = None  # that the ids under the brush are of
        desk.tile_shown.connect(self._on_tile_shown)

    @property
    def layer(self) -> Labels | None:
        """The layer under the brush."""
        return self._desk.layers.labels_layer

    @property
    def mode(self) -> str:
        """The layer's mode, empty while no layer or another one is in hand."""
        layer = self.layer
        return str(layer.mode) if layer is not None and self._desk.layers.is_active else ""

    @property
    def label(self) -> int:
        """The label under the brush, 0 without a layer."""
        return 0 if self.layer is None else int(self.layer.selected_label)

    @property
    def is_removing(self) -> bool:
        """Whether a click takes a whole gland away."""
        return self.mode == "fill" and self.label == 0

    @property
    def is_ignoring(self) -> bool:
        """Whether the brush paints 'do not learn here'."""
        return self.label == IGNORE

    def use(self, mode: str) -> None:
        """Take a tool; brush and fill are for glands, whatever the label was for before."""
        self._desk.bring_mask()
        if self.layer is not None:
            self._desk.layers.make_active()
            not_a_gland = {"paint": (IGNORE,), "fill": (0, IGNORE)}
            if self.layer.selected_label in not_a_gland.get(mode, ()):
                self.layer.selected_label = self._desk.free_label()
            self.layer.mode = mode
        self.changed.emit()  # also where nothing did: the button that was clicked follows it

    def new_gland(self) -> None:
        """Paint with an id that no gland has yet, wherever the next stroke starts."""
        self._take("paint")
        self._chosen = True

    def remove(self) -> None:
        """Take whole glands away, one at each click."""
        self._take("fill", 0)

    def ignore(self) -> None:
        """Paint 'do not learn here'; the same key again goes back to glands."""
        self._take("paint", None if self.is_ignoring and self.mode == "paint" else IGNORE)

    def _take(self, mode: str, label: int | None = None) -> None:
        """Take a tool and the label for it, a free one where none is said."""
        self._desk.bring_mask()
        if self.layer is not None:
            self._desk.layers.give_up_line()  # else its rest would be of the new label
            self._desk.layers.make_active()
            self.layer.selected_label = self._desk.free_label() if label is None else label
            self.layer.mode = mode
            self._chosen = False
        self.changed.emit()

    @property
    def gland_class(self) -> int:
        """Class of the gland that was picked, or of the next new one."""
        return self._desk.class_of(self.label) if self._is_picked() else self._class_of_new

    def set_class(self, class_index: int) -> None:
        """Give the gland that was picked a class; new glands get it too from now on.

        One that was only painted last keeps its own: whoever chooses means the next.
        """
        self._class_of_new = class_index
        if self._is_picked():
            self._desk.set_class(self.label, class_index)
        elif self._is_painted():
            name = self._desk.class_names[class_index]
            self._desk.said.emit(f"New ones are {name} from now on. To change one, pick it (L).")

    def _is_picked(self) -> bool:
        return self._chosen and self._is_painted()

    def _is_painted(self) -> bool:
        """Whether the label under the brush is a gland that has pixels."""
        return self.layer is not None and 0 < self.label < IGNORE and self.label in self.layer.data

    def set_size(self, size: int) -> None:
        """Set the brush's diameter in pixels."""
        if self.layer is not None:
            self.layer.brush_size = size

    @property
    def protects(self) -> bool:
        """Whether neighbours keep their pixels, also while one stroke may take some."""
        return self.layer is not None and (self._unprotected or bool(self.layer.preserve_labels))

    def set_protect(self, on: bool) -> None:
        """Let brush strokes paint over background only, so that neighbours keep their pixels."""
        if self.layer is not None:
            self.layer.preserve_labels = on

    @Slot(object)
    def _on_tile_shown(self, view: TileView | None) -> None:
        if view is None:  # the next project may have other classes
            self._class_of_new = 1
        layer = self.layer
        if layer is not None and layer is not self._watched:
            self._watched = layer
            for event in ("mode", "selected_label", "brush_size", "preserve_labels"):
                getattr(layer.events, event).connect(self._on_layer_event)
            layer.mouse_drag_callbacks.insert(0, self._on_press)  # before napari's own brush
            if self._desk.layers.line is not None:
                self._desk.layers.line.events.active.connect(self._protect_again)
        labels = None if view is None else view.labels
        if layer is not None and labels is not self._labels and not self.is_removing:
            # Also when grey was painted: nobody expects it to go on in another tile.
            layer.selected_label = self._desk.free_label()
        self._labels = labels
        self._chosen = False
        self.changed.emit()

    def _on_layer_event(self, event: object = None) -> None:
        if getattr(event, "type", "") == "preserve_labels":
            self._unprotected = False
        if getattr(event, "type", "") == "selected_label":
            if not self._following and self.label != self._known:  # other colours say it, too
                self._chosen = True
            self._known = self.label
        self.changed.emit()

    def _on_press(self, layer: Labels, event: Any) -> Iterator[None]:
        """Give the stroke that begins here to the gland under the brush, or to a new one.

        A gland that was picked, or the id of *New gland*, counts for one stroke whatever lies
        under it. Without this, every stroke would go to the id that happens to be selected,
        and a correction in one gland would become part of another. The right button draws
        around a gland, from one press to the end; what is pressed meanwhile moves the picture.
        """
        begins = event.button == 1 or (event.button == 2 and layer.mode == "paint")
        if not begins or self._desk.layers.is_drawing_around:
            return
        if not self.is_ignoring:
            self._begin(layer, event)
        self._protect_again()
        if layer.preserve_labels and self._takes_from_glands(layer, event):
            self._set_protected(layer, False)
            yield
            while event.type == "mouse_move":
                yield
            self._protect_again()

    def _begin(self, layer: Labels, event: Any) -> None:
        if layer.mode == "pick":
            self._chosen = True
        elif layer.mode == "paint" or self._begins_polygon(layer):
            self._begin_stroke(layer, event)
        if layer.mode in ("paint", "fill", "polygon") and not self._is_painted():
            self._desk.set_class(self.label, self._class_of_new)

    @staticmethod
    def _begins_polygon(layer: Labels) -> bool:
        """Whether the click that comes is the first corner of napari's polygon tool."""
        points = getattr(getattr(layer, "_overlays", {}).get("polygon"), "points", None)
        return layer.mode == "polygon" and not points

    def _takes_from_glands(self, layer: Labels, event: Any) -> bool:
        """Whether what begins here is meant for pixels of glands, protected or not."""
        if layer.mode == "paint" and not self.is_ignoring:
            return self._gland_at(layer, event.position) not in (0, self.label)
        return layer.mode in ("paint", "erase", "fill")

    def _set_protected(self, layer: Labels, on: bool) -> None:
        """Protect neighbours or not for a while; the person's setting is shown as it was."""
        self._unprotected = not on
        with layer.events.preserve_labels.blocker():
            layer.preserve_labels = on

    def _protect_again(self, event: object = None) -> None:
        layer = self.layer
        if self._unprotected and layer is not None and not self._desk.layers.is_drawing_around:
            self._set_protected(layer, True)

    def _begin_stroke(self, layer: Labels, event: Any) -> None:
        if not self._chosen or self.label == 0:
            under = self._label_under(layer, event.position)
            self._following = True
            try:
                layer.selected_label = under or self._desk.free_label()
            finally:
                self._following = False
        self._chosen = False

    @staticmethod
    def _gland_at(layer: Labels, position: Sequence[float]) -> int:
        """Return the gland at a position of the world, else 0."""
        y, x = _pixel(layer, position)
        height, width = layer.data.shape
        inside = 0 <= y < height and 0 <= x < width
        return int(layer.data[y, x]) if inside and layer.data[y, x] != IGNORE else 0

    def _label_under(self, layer: Labels, position: Sequence[float]) -> int:
        """Return the gland at a position, else the one that the brush touches most, else 0."""
        under = self._gland_at(layer, position)
        if under:
            return under
        y, x = _pixel(layer, position)
        radius = max(int(layer.brush_size) // 2, 0)
        near = layer.data[
            max(0, y - radius) : max(0, y + radius + 1), max(0, x - radius) : max(0, x + radius + 1)
        ]
        touched = near[(near > 0) & (near != IGNORE)]
        return int(np.bincount(touched).argmax()) if touched.size else 0


def _pixel(layer: Labels, position: Sequence[float]) -> tuple[int, int]:
    y, x = layer.world_to_data(position)[-2:]
    return round(float(y)), round(float(x))
