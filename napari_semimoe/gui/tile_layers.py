"""The fixed set of napari layers that shows the active tile."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Labels, Layer
from napari.utils.colormaps import Colormap
from numpy.typing import NDArray

from napari_semimoe.core.values import Prediction
from napari_semimoe.gui.label_colors import instance_colors, one_class_colors
from napari_semimoe.gui.tile_view import TileView

if TYPE_CHECKING:
    import napari

IMAGE = "image"
_EXPERT = "expert: "
SEGMENTATION = f"{_EXPERT}segmentation"
DISTANCE = f"{_EXPERT}distance"
BOUNDARY = f"{_EXPERT}boundary"
DISAGREEMENT = "disagreement"
LABELS = "pseudo-label"
#: Bottom to top.
NAMES = (IMAGE, SEGMENTATION, DISTANCE, BOUNDARY, DISAGREEMENT, LABELS)
#: Of the filled mask: colours of neighbours differ, and nuclei can still be judged.
_FILL_OPACITY = 0.38
MAPS = (SEGMENTATION, DISTANCE, BOUNDARY, DISAGREEMENT)

#: Diverging, in two colours that H&E does not have: brown outside glands, teal inside.
DISTANCE_COLORS = Colormap(
    [
        [0.50, 0.28, 0.02, 1],
        [0.87, 0.72, 0.45, 1],
        [1, 1, 1, 1],
        [0.45, 0.80, 0.76, 1],
        [0, 0.40, 0.37, 1],
    ],
    name="brown to teal",
)
_LOOKS: dict[str, dict[str, Any]] = {
    SEGMENTATION: {"colormap": "viridis", "contrast_limits": (0, 1)},
    DISTANCE: {"colormap": DISTANCE_COLORS, "contrast_limits": (-1, 1)},
    BOUNDARY: {"colormap": "inferno", "contrast_limits": (0, 1)},
    DISAGREEMENT: {"colormap": "magma", "contrast_limits": (0, 1)},
}


def warm_up() -> None:
    """Make one layer of each kind for nobody, away from the window's thread.

    The first layers of a program load napari's slicing, colours and table of units and make
    vispy's dashes, which takes seconds on a slow computer; the person is still looking for a
    project meanwhile.
    """
    from vispy.visuals.line.dash_atlas import DashAtlas

    place = {"scale": (1, 1), "units": ("um", "um")}
    Image(np.zeros((2, 2, 3), np.uint8), rgb=True, **place)
    for look in _LOOKS.values():
        Image(np.zeros((2, 2), np.float32), **look, **place)
    Labels(np.zeros((2, 2), np.uint16), **place)
    DashAtlas()
    one_class_colors()


class TileLayers:
    """Six layers, made once and refilled for each tile.

    A layer that the person deleted comes back with the next tile; layers of other origin are
    never touched.

    Parameters
    ----------
    viewer
        Where the layers live.
    """

    def __init__(self, viewer: napari.Viewer) -> None:
        self._viewer = viewer
        self._layers: dict[str, Layer] = {}
        self._view: TileView | None = None
        self.on_new_labels_layer: Callable[[Labels], None] = lambda layer: None
        #: Whether the layers are being filled, so that their events are not the person's.
        self.filling = False
        self._outlines = self._covered = False
        self._colored: tuple[Any, ...] = ()
        # Now, for its first letters take vispy an eighth of a second, in which no tile should
        # wait. It also keeps napari 0.9 alive under software OpenGL, which crashes in a canvas
        # that is empty after the brush was used.
        viewer.canvas.overlays.scale_bar.visible = True

    @property
    def labels_layer(self) -> Labels | None:
        """The editable layer, unless there is no tile or the person deleted it."""
        layer = self._layers.get(LABELS)
        return layer if layer is not None and layer in self._viewer.layers else None

    @property
    def labels(self) -> NDArray[np.uint16] | None:
        """The mask as it stands now, also when its layer was deleted."""
        layer = self._layers.get(LABELS)
        return None if layer is None else layer.data

    @property
    def is_active(self) -> bool:
        """Whether brush and keys act on the mask, and not on a layer chosen in napari's list."""
        layer = self.labels_layer
        return layer is not None and self._viewer.layers.selection.active is layer

    @property
    def line(self) -> Any:
        """What draws a line around a gland, if there is any; napari has no public word for it."""
        return getattr(self.labels_layer, "_overlays", {}).get("brush_stroke")

    @property
    def is_drawing_around(self) -> bool:
        """Whether a line around a gland was begun and is not closed yet."""
        return bool(getattr(self.line, "active", False))

    def give_up_line(self) -> None:
        """Take back a line around a gland that is not closed yet, and keep the brush in hand."""
        layer = self.labels_layer
        if layer is not None and self.is_drawing_around:
            layer.mode = "pan_zoom"
            layer.mode = "paint"

    def show(self, view: TileView, *, n_classes: int = 2) -> None:
        """Put a tile into the layers, with no undo history from the tile before."""
        self.filling = True
        try:
            self._show(view, n_classes)
        finally:
            self.filling = False

    def make_one(self, view: TileView) -> bool:
        """Make the first layer that is missing, and return whether one was.

        Each takes napari a tenth of a second or more, so the first tile makes one in each turn
        of the event loop.
        """
        missing = next((name for name in NAMES if not self._has(name)), None)
        if missing is not None:
            self._fill(missing, view, self._data(missing, view))
        return missing is not None

    def _show(self, view: TileView, n_classes: int) -> None:
        fresh = not all(self._has(name) for name in NAMES)
        before, self._view = self._view, view
        moved = before is None or before.tile.id != view.tile.id
        mode = self._end_stroke()
        for name in NAMES:
            self._fill(name, view, self._data(name, view))
        self.show_labels_colors(view.classes, n_classes)
        self._forget_strokes(mode)
        if fresh:
            self._arrange()
        if moved:
            self.reveal_mask()
        if before is None or moved or before.tile.um_per_px != view.tile.um_per_px:
            self._viewer.reset_view()
        self.make_active()

    def show_prediction(self, prediction: Prediction) -> None:
        """Replace the maps of the shown tile and leave the mask alone.

        A map that was deleted would be made above the mask, and be in hand: it stays away.
        """
        if self._view is not None:
            self._view = replace(self._view, prediction=prediction)
            for name in filter(self._has, MAPS):
                self._fill(name, self._view, self._data(name, self._view))

    def replace_labels(self, labels: NDArray[np.uint16]) -> None:
        """Put another mask under the brush as a step that can be undone."""
        layer = self.labels_layer
        if layer is not None:
            changed = np.nonzero(layer.data != labels)
            if changed[0].size:
                layer.data_setitem(changed, labels[changed])

    def show_labels_colors(self, classes: Mapping[int, int], n_classes: int) -> None:
        """Colour the instances; costs a redraw of the layer, so only where colours change."""
        layer = self.labels_layer
        shown = (id(layer), n_classes, dict(classes) if n_classes > 2 else {})
        if layer is not None and shown != self._colored:
            self._colored = shown
            layer.colormap = instance_colors(classes, n_classes)

    def clear(self) -> None:
        """Take the layers of the project away, for instance when it is closed."""
        self._end_stroke()  # napari goes on drawing the circle of a brush whose layer is gone
        for layer in self._layers.values():
            if layer in self._viewer.layers:
                self._viewer.layers.remove(layer)
        self._layers.clear()
        self._view = None

    def show_only_map(self, name: str | None) -> None:
        """Show one of the maps above the image and hide the others."""
        for each in MAPS:
            layer = self._layers.get(each)
            if layer is not None and layer.visible != (each == name):  # setting it draws all anew
                layer.visible = each == name
        self._style_mask()

    def set_outlines(self, on: bool) -> None:
        """Draw glands as outlines always, not only over a map."""
        self._outlines = on
        self._style_mask()

    def set_covered(self, on: bool) -> None:
        """Draw glands as outlines while another layer over the tissue is to be seen."""
        self._covered = on
        self._style_mask()

    def _style_mask(self) -> None:
        """Draw outlines where a filled mask would hide what is under it."""
        layer = self.labels_layer
        if layer is not None:
            outlined = self._outlines or self._covered or self.visible_map() is not None
            if outlined != bool(layer.contour):
                layer.contour = 2 if outlined else 0
                layer.opacity = 0.9 if outlined else _FILL_OPACITY

    def visible_map(self) -> str | None:
        """Return the topmost map that is visible."""
        shown = [name for name in MAPS if name in self._layers and self._layers[name].visible]
        return shown[-1] if shown else None

    def _has(self, name: str) -> bool:
        return name in self._layers and self._layers[name] in self._viewer.layers

    @staticmethod
    def _data(name: str, view: TileView) -> NDArray[Any]:
        if name in (IMAGE, LABELS):
            return view.image if name == IMAGE else view.labels
        empty = np.zeros(view.shape, np.float32)
        if view.prediction is None:
            return empty
        if name == DISAGREEMENT:
            return view.prediction.disagreement
        return view.prediction.experts.get(name.removeprefix(_EXPERT), empty)

    def _fill(self, name: str, view: TileView, data: NDArray[Any]) -> None:
        if not self._has(name):
            self._layers[name] = self._make(name, view, data)
            return
        layer = self._layers[name]
        resized = layer.data.shape != data.shape
        if name in MAPS and not resized:
            # Most tiles are of one size, and new data costs napari far more than a refresh. Not
            # the image: layers that a person split off from it are views of its pixels.
            np.copyto(layer.data, data)
            layer.refresh(extent=False)
        else:
            layer.data = data.copy() if name in MAPS else data
        # Setting the scale costs as much as the data; by it napari sees a hidden layer's new size.
        if resized or tuple(layer.scale[-2:]) != self._scale(view):
            layer.scale = self._scale(view)
        if not _lies_in_place(layer):
            _put_in_place(layer)

    def _make(self, name: str, view: TileView, data: NDArray[Any]) -> Layer:
        place = {"name": name, "scale": self._scale(view), "units": ("um", "um")}
        if name == LABELS:
            layer = Labels(data, opacity=_FILL_OPACITY, **place)
            layer.brush_size = 12
            self.on_new_labels_layer(layer)
        elif name == IMAGE:
            layer = Image(data, rgb=True, **place)
        else:
            layer = Image(data.copy(), visible=False, opacity=0.75, **_LOOKS[name], **place)
        return self._viewer.add_layer(layer)

    def _arrange(self) -> None:
        """Bring the layers into their order, below whatever else the person has open."""
        layers = self._viewer.layers
        for position, name in enumerate(NAMES):
            layers.move(layers.index(self._layers[name]), position)

    def _end_stroke(self) -> str:
        """End a stroke that is under way while its own tile is there; return the tool."""
        layer = self.labels_layer
        if layer is None:
            return ""
        for held in ("_mouse_drag_gen", "_persisted_mouse_event"):  # napari has no public word
            getattr(layer, held, {}).clear()  # else a button still held paints in the next tile
        polygon = getattr(layer, "_overlays", {}).get("polygon")
        if polygon is not None:
            polygon.points = []
        mode = str(layer.mode)
        layer.mode = "pan_zoom"
        return mode

    def _forget_strokes(self, mode: str) -> None:
        # Setting data keeps the undo history, so an undo would write strokes of the previous
        # tile into this one; switching editable off and on is the public way to drop it.
        layer = self.labels_layer
        if layer is not None:
            layer.editable = False
            layer.editable = True
            if mode:
                layer.mode = mode

    @property
    def shows_mask(self) -> bool:
        """Whether the mask can be seen: neither hidden, nor transparent, nor below the tissue."""
        mask, image = self._layers.get(LABELS), self._layers.get(IMAGE)
        layers = self._viewer.layers
        if mask is None or mask not in layers or not mask.visible or not mask.opacity:
            return False
        return image not in layers or layers.index(mask) > layers.index(image)

    def put_in_place(self) -> bool:
        """Undo what napari's transform tool did to our layers; return whether it did anything."""
        moved = [layer for layer in self._layers.values() if not _lies_in_place(layer)]
        for layer in moved:
            _put_in_place(layer)
        return bool(moved)

    def reveal_mask(self) -> None:
        """Let the mask be seen."""
        if self.labels_layer is None or self.shows_mask:  # setting takes the tool out of hand
            return
        layer = self._layers[LABELS]
        layer.visible = True
        layer.opacity = layer.opacity or _FILL_OPACITY
        if all(self._has(name) for name in NAMES):
            self._arrange()
        elif not self.shows_mask:  # some of ours were deleted
            self._viewer.layers.move(self._viewer.layers.index(layer), -1)

    def make_active(self) -> None:
        """Select the mask's layer, so that brush and keys act on it."""
        layer = self.labels_layer
        if layer is not None:
            self._viewer.layers.selection.active = layer

    @staticmethod
    def _scale(view: TileView) -> tuple[float, float]:
        return view.tile.um_per_px, view.tile.um_per_px


def _lies_in_place(layer: Layer) -> bool:
    """Whether a layer is neither moved nor turned, sheared or scaled by hand."""
    corners = np.array([(0, 0), (0, 1), (1, 0)], float)
    return np.allclose([layer.data_to_world(each) for each in corners], corners * layer.scale[-2:])


def _put_in_place(layer: Layer) -> None:
    layer.affine = np.eye(3)
    layer.translate, layer.rotate, layer.shear = (0, 0), 0, (0,)
