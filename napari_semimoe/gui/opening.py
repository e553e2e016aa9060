"""Where the one panel of a viewer lives, how it is brought to the front, and how it ends."""

from __future__ import annotations

import atexit
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from qtpy.QtWidgets import QApplication, QDockWidget

from napari_semimoe.core.log_file import LogFile
from napari_semimoe.gui.collector import give_back, set_aside
from napari_semimoe.gui.panel import Panel
from napari_semimoe.gui.preferences import preferred_cluster
from napari_semimoe.gui.steps import Step
from napari_semimoe.gui.tile_layers import warm_up
from napari_semimoe.gui.workbench import Workbench
from napari_semimoe.jobs import make_engine
from napari_semimoe.session.session import Session

if TYPE_CHECKING:
    import napari

DOCK_NAME = "Semi-MoE"

# napari gives a plugin no place on the viewer to keep its own objects, so they are kept here
# until the viewer's window goes.
_PANELS: WeakKeyDictionary[napari.Viewer, Panel] = WeakKeyDictionary()


def bare_viewer(viewer: napari.Viewer) -> napari.Viewer:
    """Return the viewer itself, without the proxy that napari hands to plugins."""
    return getattr(viewer, "__wrapped__", viewer)


def panel_of(viewer: napari.Viewer) -> Panel | None:
    """Return the viewer's panel if it was ever opened."""
    return _PANELS.get(bare_viewer(viewer))


def open_panel(viewer: napari.Viewer, step: Step, bench: Workbench | None = None) -> Panel:
    """Show the panel of this viewer at a step, making it on first use.

    Parameters
    ----------
    viewer
        The viewer, with or without napari's proxy.
    step
        The page to show.
    bench
        What the panel works on, used only when the panel is made now; a new one otherwise.
    """
    viewer = bare_viewer(viewer)
    panel = _PANELS.get(viewer)
    if panel is None:
        panel = _PANELS[viewer] = Panel(bench or make_bench(viewer))
        _bring_to_front(viewer, panel)
        _end_with_window(viewer, panel)
        set_aside(viewer)
    else:
        _bring_to_front(viewer, panel)
    panel.show_step(step)
    return panel


def make_bench(viewer: napari.Viewer) -> Workbench:
    """Return a workbench whose work is done by other processes, where the person prefers."""
    engine = make_engine(preferred_cluster())
    log = LogFile(engine.log_dir / "window.log")

    def close() -> None:
        engine.close()
        log.close()

    bench = Workbench(viewer, Session(engine), on_close=close, log=log.path)
    engine.on_wake = bench.relay.engine_woke.emit
    bench.heed_preferences()

    def get_ready() -> None:
        engine.warm_up()  # its process starts while the person looks for a project
        warm_up()

    bench.long_work.run(get_ready)
    return bench


def _bring_to_front(viewer: napari.Viewer, panel: Panel) -> None:
    dock = panel.parent()
    if not isinstance(dock, QDockWidget):  # first time, or the person closed the dock
        dock = viewer.window.add_dock_widget(
            panel, name=DOCK_NAME, area="right", add_vertical_stretch=False
        )
    dock.show()
    dock.raise_()


def _end_with_window(viewer: napari.Viewer, panel: Panel) -> None:
    """End the work with the window or the program, whichever goes first.

    A docked widget hears nothing when its window closes, so its close event is no use. A script
    that runs past its end never quits the application, so Python's own exit counts as well.
    """
    application, window = QApplication.instance(), panel.window()

    def end() -> None:
        if _PANELS.pop(viewer, None) is not None:
            application.aboutToQuit.disconnect(end)
            atexit.unregister(end)
            try:
                panel.close_bench()
            finally:
                give_back()

    application.aboutToQuit.connect(end)
    window.destroyed.connect(end)
    atexit.register(end)
