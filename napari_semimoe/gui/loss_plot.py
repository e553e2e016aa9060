"""The losses of a running round as curves."""

from __future__ import annotations

from collections.abc import Mapping

import pyqtgraph as pg
from qtpy.QtWidgets import QWidget

from napari_semimoe.gui.theme import Palette

_COLORS = {"total": "#4c8fe6", "labelled": "#4da35c", "unlabelled": "#d08a1c"}
_NAMES = {"total": "whole loss", "labelled": "labelled", "unlabelled": "unlabelled"}
#: Names of the curves in their colours, to stand above the plot.
LEGEND = " &nbsp; ".join(
    f'<span style="color:{color}">━ {_NAMES[name]}</span>' for name, color in _COLORS.items()
)
#: Longer curves are thinned to every second point, so that a day of steps stays light.
_MOST_POINTS = 2000


class LossPlot(pg.PlotWidget):
    """Total loss and the parts of labelled and unlabelled tiles, over steps."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._points: dict[str, tuple[list[float], list[float]]] = {}
        self._every = 1
        self.setFixedHeight(190)
        self.setMenuEnabled(False)
        self.hideButtons()
        self.setMouseEnabled(False, False)
        self.setToolTip("How wrong the network is, by step: lower is better")
        plot = self.getPlotItem()
        plot.setLabel("bottom", "step")
        plot.showGrid(x=False, y=True, alpha=0.2)
        plot.setLimits(yMin=0)
        self._curves = {
            name: plot.plot(pen=pg.mkPen(color, width=2)) for name, color in _COLORS.items()
        }

    def clear_curves(self) -> None:
        """Begin a new round."""
        self._points = {}
        self._every = 1
        for curve in self._curves.values():
            curve.setData([], [])

    def add_step(self, step: int, total: float, losses: Mapping[str, float]) -> None:
        """Note one step.

        Parameters
        ----------
        step
            Number of the step.
        total
            What was minimised.
        losses
            ``labelled/<task>`` and ``unlabelled/<task>``; each group is summed.
        """
        if step % self._every:
            return
        self._add("total", step, total)
        for group in ("labelled", "unlabelled"):
            parts = [loss for name, loss in losses.items() if name.startswith(f"{group}/")]
            if parts:
                self._add(group, step, sum(parts))

    def draw(self) -> None:
        """Draw what was noted."""
        if any(len(steps) > _MOST_POINTS for steps, _ in self._points.values()):
            self._every *= 2
            self._points = {n: (x[::2], y[::2]) for n, (x, y) in self._points.items()}
        for name, (steps, values) in self._points.items():
            self._curves[name].setData(steps, values)

    def _add(self, name: str, step: float, value: float) -> None:
        steps, values = self._points.setdefault(name, ([], []))
        steps.append(step)
        values.append(value)

    def set_palette(self, palette: Palette) -> None:
        """Follow the theme."""
        self.setBackground(palette.background)
        pen = pg.mkPen(palette.faint)
        for side in ("bottom", "left"):
            axis = self.getPlotItem().getAxis(side)
            axis.setPen(pen)
            axis.setTextPen(pg.mkPen(palette.text))
