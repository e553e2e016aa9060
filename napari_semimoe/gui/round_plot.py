"""The numbers of a running round as curves over its steps."""

from __future__ import annotations

from bisect import bisect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyqtgraph as pg
from qtpy.QtCore import Qt, Slot
from qtpy.QtWidgets import QComboBox, QLabel, QVBoxLayout, QWidget

from napari_semimoe.gui.theme import Palette

_BLUE, _GREEN, _ORANGE = "#4c8fe6", "#4da35c", "#d08a1c"
#: How a curve of each colour is drawn, and its sign in the legend: not everyone sees the colours.
_LINES = {
    _BLUE: (Qt.PenStyle.SolidLine, "━━"),
    _GREEN: (Qt.PenStyle.DashLine, "╍╍"),
    _ORANGE: (Qt.PenStyle.DotLine, "•••"),
}
#: Longer curves are thinned to every second point, so that a day of steps stays light.
_MOST_POINTS = 2000


@dataclass(frozen=True, slots=True)
class _View:
    """Curves that are shown together: by key, what they are called and their colour.

    ``shares`` are drawn between 0 and 1, other values as they come.
    """

    title: str
    tooltip: str
    curves: Mapping[str, tuple[str, str]]
    shares: bool = False


def _of_experts(kind: str) -> dict[str, tuple[str, str]]:
    return {
        f"{kind}/segmentation": ("segmentation", _BLUE),
        f"{kind}/distance": ("distance", _GREEN),
        f"{kind}/boundary": ("boundary", _ORANGE),
    }


_DICE = "dice"
VIEWS = (
    _View(
        "Losses",
        "How wrong the network is, by step: lower is better",
        {
            "total": ("whole loss", _BLUE),
            "labelled": ("labelled", _GREEN),
            "unlabelled": ("unlabelled", _ORANGE),
        },
    ),
    _View(
        "Weights of the tasks",
        "How much each task counts in the loss, which balances itself",
        _of_experts("weight"),
    ),
    _View(
        "Gates of the mask",
        "Share of each expert in the mask, averaged over the labelled tiles of a step; a share "
        "that stays near 0 or 1 is a bad sign",
        _of_experts("gate"),
        shares=True,
    ),
    _View(
        "Validation Dice",
        "Overlap with the masks of the validation tiles, which never teach: higher is better",
        {_DICE: ("Dice", _BLUE)},
        shares=True,
    ),
)


class RoundPlot(QWidget):
    """One plot and the choice of what it shows."""

    def __init__(self) -> None:
        super().__init__()
        self._points: dict[str, tuple[list[float], list[float]]] = {}
        self._every = 1
        self.choice = QComboBox()
        self.choice.addItems([view.title for view in VIEWS])
        self.choice.setToolTip("What the curves show")
        self._legend = QLabel()
        self._plot = _bare_plot()
        self._curves = {
            key: pg.PlotDataItem(
                pen=pg.mkPen(color, width=2, style=_LINES[color][0]),
                symbol=None,
                symbolBrush=color,
                symbolPen=color,
            )
            for view in VIEWS
            for key, (_, color) in view.curves.items()
        }
        self._curves[_DICE].setSymbol("o")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for each in (self.choice, self._legend, self._plot):
            layout.addWidget(each)
        self.choice.currentIndexChanged.connect(self._show_view)
        self._show_view(0)

    def clear_curves(self) -> None:
        """Begin a new round."""
        self._points = {}
        self._every = 1
        for curve in self._curves.values():
            curve.setData([], [])

    def add_step(self, report: Mapping[str, Any]) -> None:
        """Note one step; ``report`` is a `StepReport` as JSON."""
        step = report["step"]
        if step % self._every:
            return
        self._add("total", step, report["total"])
        for group in ("labelled", "unlabelled"):
            parts = [v for name, v in report["losses"].items() if name.startswith(f"{group}/")]
            if parts:
                self._add(group, step, sum(parts))
        for task, weight in report["weights"].items():
            self._add(f"weight/{task}", step, weight)
        for pair, share in report["gates"].items():
            task, _, expert = pair.partition("<-")
            if task == "segmentation":
                self._add(f"gate/{expert}", step, share)

    def add_validation(self, report: Mapping[str, Any]) -> None:
        """Note one look at the validation tiles; ``report`` is a `ValidationReport` as JSON."""
        self._add(_DICE, report["step"], report["dice"])

    def draw(self) -> None:
        """Draw what was noted."""
        if any(len(steps) > _MOST_POINTS for steps, _ in self._points.values()):
            self._every *= 2
            self._points = {
                key: (x, y) if key == _DICE else (x[::2], y[::2])
                for key, (x, y) in self._points.items()
            }
        for key, (steps, values) in self._points.items():
            self._curves[key].setData(steps, values)
            if key != _DICE:  # a line needs two points
                self._curves[key].setSymbol("o" if len(steps) < 2 else None)

    def drawn(self, key: str) -> list[float]:
        """Return the values of a curve as drawn."""
        values = self._curves[key].getData()[1]
        return [] if values is None else list(values)

    def set_palette(self, palette: Palette) -> None:
        """Follow the theme."""
        self._plot.setBackground(palette.background)
        pen = pg.mkPen(palette.faint)
        for side in ("bottom", "left"):
            axis = self._plot.getPlotItem().getAxis(side)
            axis.setPen(pen)
            axis.setTextPen(pg.mkPen(palette.text))

    @Slot(int)
    def _show_view(self, index: int) -> None:
        chosen = VIEWS[index]
        plot = self._plot.getPlotItem()
        plot.clear()
        for key in chosen.curves:
            plot.addItem(self._curves[key])
        plot.enableAutoRange()
        if chosen.shares:
            plot.setYRange(0, 1)
        self._legend.setText(
            " &nbsp; ".join(
                f'<span style="color:{color}">{_LINES[color][1]}</span> {name}'
                for name, color in chosen.curves.values()
            )
        )
        self._plot.setToolTip(chosen.tooltip)

    def _add(self, key: str, step: float, value: float) -> None:
        if key in self._curves:
            steps, values = self._points.setdefault(key, ([], []))
            place = bisect(steps, step)  # the base, step 0, is scored last
            steps.insert(place, step)
            values.insert(place, value)


def _bare_plot() -> pg.PlotWidget:
    """Return a plot that only shows; it has nothing to drag or to click."""
    widget = pg.PlotWidget()
    widget.setFixedHeight(185)
    widget.setMenuEnabled(False)
    widget.hideButtons()
    widget.setMouseEnabled(False, False)
    plot = widget.getPlotItem()
    plot.setLabel("bottom", "step")
    plot.showGrid(x=False, y=True, alpha=0.2)
    plot.setLimits(xMin=0, yMin=0, minXRange=10)
    return widget
