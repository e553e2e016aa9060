"""Keys on the canvas. None of them is taken by napari's image or labels layers.

napari's own labels keys keep working: P brush, E erase, F fill, L pick, Z move, B protect
neighbours, [ and ] brush size, Ctrl+Z undo. M, P and F do the same by ours: napari's would
count the grey 'do not learn here' value as a gland, and go on painting with it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from napari.layers import Labels

if TYPE_CHECKING:
    from napari_semimoe.gui.brush import Brush
    from napari_semimoe.gui.workbench import Workbench

ACCEPT, NEXT, PREVIOUS = "A", ".", ","
NEW_GLAND, REMOVE, IGNORE_BRUSH = "N", "D", "I"
NEXT_MAP, HIDE_MASK = "W", "H"


class Keys:
    """Binds the keys to a viewer and gives them back at the end.

    Parameters
    ----------
    bench
        What the keys act on.
    brush
        The brush of the active tile.
    show_next_map
        What the key for maps does.
    """

    def __init__(self, bench: Workbench, brush: Brush, show_next_map: Callable[[], None]) -> None:
        self._viewer = bench.viewer
        self._desk = bench.desk
        self._brush = brush
        self._bound: dict[str, Callable[[], None]] = {
            ACCEPT: bench.desk.accept,
            NEXT: bench.desk.take_next,
            PREVIOUS: bench.desk.take_previous,
            NEW_GLAND: brush.new_gland,
            REMOVE: brush.remove,
            IGNORE_BRUSH: brush.ignore,
            NEXT_MAP: show_next_map,
            HIDE_MASK: self._toggle_mask,
        }
        for key, action in self._bound.items():
            self._bind(key, action)
        self._with_m: Labels | None = None
        bench.desk.tile_shown.connect(self._replace_new_label)

    def close(self) -> None:
        """Give the keys back to napari."""
        for key in self._bound:
            self._viewer.bind_key(key, None, overwrite=True)

    def _bind(self, key: str, action: Callable[[], None]) -> None:
        def pressed(viewer: object) -> None:
            if self._desk.view is not None:
                action()

        self._viewer.bind_key(key, pressed, overwrite=True)

    def _replace_new_label(self, _: object = None) -> None:
        layer = self._brush.layer
        if layer is not None and layer is not self._with_m:
            self._with_m = layer
            layer.bind_key("M", lambda _layer: self._brush.new_gland(), overwrite=True)
            layer.bind_key("P", lambda _layer: self._brush.use("paint"), overwrite=True)
            layer.bind_key("F", lambda _layer: self._brush.use("fill"), overwrite=True)

    def _toggle_mask(self) -> None:
        layer = self._brush.layer
        if layer is not None:
            layer.visible = not layer.visible
