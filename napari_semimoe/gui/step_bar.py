"""The four steps as one row of buttons."""

from __future__ import annotations

from qtpy.QtCore import Signal, Slot
from qtpy.QtWidgets import QButtonGroup, QHBoxLayout, QWidget

from napari_semimoe.gui.steps import Step
from napari_semimoe.gui.widgets import tool

_TIPS = {
    Step.PREDICT: "See what the network makes of the tiles",
    Step.REFINE: "Correct the mask with the brush and accept it",
    Step.RETRAIN: "Teach the network what was accepted",
    Step.EXPORT: "Write the masks for other programs",
}


class StepBar(QWidget):
    """Numbered steps; the one on show is underlined.

    Attributes
    ----------
    chosen
        A step was clicked, or set by `show_step`.
    """

    chosen = Signal(int)

    def __init__(self) -> None:
        super().__init__()
        self._group = QButtonGroup(self)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(8, 4, 8, 4)
        layout.setSpacing(0)
        for number, step in enumerate(Step):
            each = tool(f"{number + 1}  {step.value}", _TIPS[step])
            each.setProperty("role", "step")
            self._group.addButton(each, number)
            layout.addWidget(each, 1)
        self._group.button(0).setChecked(True)
        self._group.idClicked.connect(self.chosen)

    @property
    def step(self) -> Step:
        """The step on show."""
        return list(Step)[self._group.checkedId()]

    @Slot(object)
    def show_step(self, step: Step) -> None:
        """Turn to a step."""
        number = list(Step).index(step)
        self._group.button(number).setChecked(True)
        self.chosen.emit(number)
