"""What the panel shows while no project is open."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_semimoe.gui.widgets import button, heading, hint

if TYPE_CHECKING:
    from qtpy.QtGui import QAction
    from qtpy.QtWidgets import QPushButton

    from napari_semimoe.gui.project_actions import ProjectActions


class StartPage(QWidget):
    """Three ways to begin."""

    def __init__(self, actions: ProjectActions) -> None:
        super().__init__()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(8, 8, 8, 8)
        layout.setSpacing(8)
        layout.addWidget(
            hint(
                "Teach a network to outline glands: it predicts a tile, you correct it, "
                "it learns from your corrections and from the tiles that nobody labelled."
            )
        )
        layout.addWidget(heading("Begin"))
        self.new = self._button(actions.new, "primary")
        self.open = self._button(actions.open)
        self.demo = self._button(actions.demo)
        for each in (self.new, self.open, self.demo):
            layout.addWidget(each)
        layout.addWidget(hint("Or drop a project folder here."))
        layout.addStretch(1)

    @staticmethod
    def _button(action: QAction, role: str = "") -> QPushButton:
        made = button(action.text(), action.toolTip(), role)
        made.clicked.connect(lambda _=False: action.trigger())
        return made
