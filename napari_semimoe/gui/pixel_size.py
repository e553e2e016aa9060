"""The question how large a pixel is."""

from __future__ import annotations

from qtpy.QtWidgets import QInputDialog, QWidget


def ask_pixel_size(parent: QWidget, why: str, um_per_px: float = 0.5) -> float | None:
    """Return the microns per pixel that the person gives; None where they cancel."""
    value, given = QInputDialog.getDouble(
        parent,
        "How large is a pixel?",
        f"{why}\nMicrons per pixel (a 20x scan has about 0.5, a 40x scan about 0.25):",
        um_per_px,
        0.02,
        100.0,
        4,
    )
    return value if given else None
