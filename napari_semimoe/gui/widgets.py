"""Small widgets that every page uses the same way."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel, QPushButton, QSizePolicy


def button(text: str, tooltip: str, role: str = "") -> QPushButton:
    """Return a push button that keyboard shortcuts of the canvas pass by."""
    made = QPushButton(text)
    made.setToolTip(tooltip)
    made.setFocusPolicy(Qt.FocusPolicy.TabFocus)
    if role:
        made.setProperty("role", role)
    return made


def tool(text: str, tooltip: str) -> QPushButton:
    """Return a button that stays pressed."""
    made = button(text, tooltip, "tool")
    made.setCheckable(True)
    return made


def heading(text: str) -> QLabel:
    """Return the title of a group of controls."""
    made = QLabel(text)
    made.setProperty("role", "heading")
    return made


def hint(text: str) -> QLabel:
    """Return a faint line that wraps instead of widening the panel."""
    made = QLabel(text)
    made.setProperty("role", "faint")
    made.setWordWrap(True)
    made.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
    return made
