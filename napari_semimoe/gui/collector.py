"""Python's garbage collector, kept from holding the window still.

A full collection looks at every object that may be part of a cycle, and nothing else runs
meanwhile: with napari loaded that takes 0.2 s and more. So what is there when the panel opens is
set aside until it ends.
"""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import napari


def set_aside(viewer: napari.Viewer) -> None:
    """Spare the collector all objects there are, unless a layer is among them.

    A layer is part of a cycle: set aside, it would keep its pixels after it was removed.
    """
    if not viewer.layers:
        gc.freeze()


def give_back() -> None:
    """Let the collector look at everything again."""
    gc.unfreeze()
