"""Top of the panel: which project, which model, which device."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt, Slot
from qtpy.QtWidgets import QHBoxLayout, QMenu, QSizePolicy, QVBoxLayout, QWidget
from superqt import QElidingLabel

from napari_semimoe.gui.widgets import button, hint
from napari_semimoe.session.models import STARTER

if TYPE_CHECKING:
    from napari_semimoe.gui.project_actions import ProjectActions
    from napari_semimoe.gui.workbench import Workbench


class Header(QWidget):
    """Project name, a menu of what can be done with it, and the model in use."""

    def __init__(self, bench: Workbench, actions: ProjectActions) -> None:
        super().__init__()
        self._bench = bench
        self.name = QElidingLabel("No project is open")
        self.name.setElideMode(Qt.TextElideMode.ElideRight)
        self.name.setProperty("role", "title")
        self.menu_button = button(
            "Project ▾", "Make, open or close a project, and add images to it", "menu"
        )
        self._menu = QMenu(self.menu_button)
        for group in actions.groups:
            self._menu.addSeparator()  # none is shown above the first
            self._menu.addActions(group)
        self.menu_button.setMenu(self._menu)
        self.model = hint("")
        row = QHBoxLayout()
        row.addWidget(self.name, 1)
        row.addWidget(self.menu_button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(8, 8, 8, 0)
        layout.setSpacing(2)
        layout.addLayout(row)
        layout.addWidget(self.model)
        bench.project_changed.connect(self.refresh)
        bench.relay.weights_changed.connect(self.refresh)
        bench.relay.prediction_ready.connect(self.refresh)  # the device is known by then
        bench.relay.round_started.connect(self._on_round_started)
        bench.relay.round_progress.connect(self._on_round_progress)
        bench.relay.round_finished.connect(self.refresh)
        bench.relay.failed.connect(self.refresh)
        self._round = ""
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Maximum)
        self.refresh()

    @Slot(int)
    def _on_round_started(self, number: int) -> None:
        self._round = f"round {number} starts"
        self.refresh()

    @Slot(object)
    def _on_round_progress(self, report: Mapping[str, Any]) -> None:
        percent = 100 * int(report["step"]) // max(int(report["steps"]), 1)
        text = f"round {self._bench.session.running_round} at {percent} %"
        if text != self._round and self._bench.session.running_round is not None:
            self._round = text
            self.refresh()

    @Slot()
    def refresh(self, _: object = None) -> None:
        """Say what is open and what predicts."""
        if self._bench.session.running_round is None:
            self._round = ""
        self.name.setText(self._bench.project_name or "No project is open")
        self.name.setToolTip(
            str(self._bench.session.project.path) if self._bench.session.project else ""
        )
        self.model.setVisible(self._bench.has_project)
        if self._bench.has_project:
            line = model_line(self._bench.session.model_name, self._bench.session.device_text)
            self.model.setText(f"{line} · {self._round}" if self._round else line)


def model_line(name: str | None, device: str) -> str:
    """Say which model predicts and where it runs."""
    if name is None:
        return "No model yet: accept a few tiles, then retrain"
    model = "Starter model" if name.startswith(STARTER) else f"Model of {name}"
    return f"{model} · running on {device}" if device else model
