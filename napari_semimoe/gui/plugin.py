"""What the manifest names: four menu entries that lead to one panel.

napari docks one widget for every widget entry of a plugin. Here each entry is a `Doorway`: it
opens the shared panel at its step and leaves again, so there is one dock whatever was clicked,
and an entry always leads to its own step instead of hiding the dock at the second click.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, ClassVar

from qtpy.QtCore import QEvent
from qtpy.QtWidgets import QDockWidget, QWidget

from napari_semimoe.gui.collector import set_aside
from napari_semimoe.gui.steps import Step

if TYPE_CHECKING:
    import napari

    from napari_semimoe.gui.panel import Panel


class Doorway(QWidget):
    """Opens the shared panel at one step and takes its own empty dock away.

    Parameters
    ----------
    napari_viewer
        The viewer whose window gets the panel.
    """

    step: ClassVar[Step] = Step.PREDICT

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        super().__init__()
        if "napari_semimoe.gui.opening" not in sys.modules:  # its import makes many objects
            set_aside(napari_viewer)
        from napari_semimoe.gui.opening import bare_viewer, open_panel
        from napari_semimoe.gui.widgets import single_shot

        self._leaving = single_shot(self, 0, self._leave)
        self._viewer = bare_viewer(napari_viewer)
        self.panel: Panel = open_panel(self._viewer, self.step)

    def event(self, event: QEvent) -> bool:
        """Hide the dock that napari is about to add, before it is ever drawn."""
        dock = self.parent()
        if event.type() == QEvent.Type.ParentChange and isinstance(dock, QDockWidget):
            dock.hide()
            self._leaving.start()
        return super().event(event)

    def _leave(self) -> None:
        dock = self.parent()
        if isinstance(dock, QDockWidget):
            self._viewer.window.remove_dock_widget(dock)
        self.deleteLater()


class PredictWidget(Doorway):
    """Plugins > Semi-MoE > Predict."""

    step = Step.PREDICT


class RefineWidget(Doorway):
    """Plugins > Semi-MoE > Refine."""

    step = Step.REFINE


class RetrainWidget(Doorway):
    """Plugins > Semi-MoE > Retrain."""

    step = Step.RETRAIN


class ExportWidget(Doorway):
    """Plugins > Semi-MoE > Export curated masks."""

    step = Step.EXPORT
