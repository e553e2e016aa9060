"""What was trained so far, and the buttons that put another model in charge."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal, Slot
from qtpy.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from napari_semimoe.gui.rounds_table import RoundsTable
from napari_semimoe.gui.widgets import button, heading
from napari_semimoe.session.lineage import Lineage, read_lineage

if TYPE_CHECKING:
    from napari_semimoe.gui.workbench import Workbench


class RoundsPanel(QWidget):
    """Lower part of the third step.

    Parameters
    ----------
    bench
        What the panel shows and forwards to.

    Attributes
    ----------
    listed
        The `Lineage` was read again.
    """

    listed = Signal(object)

    def __init__(self, bench: Workbench) -> None:
        super().__init__()
        self._bench = bench
        self.table = RoundsTable()
        self.use = button("Use this model", "Let the selected round's model predict from now on")
        self.starter = button(
            "Back to the starter", "Let the model that came with the plugin predict from now on"
        )
        buttons = QHBoxLayout()
        buttons.addWidget(self.use)
        buttons.addWidget(self.starter)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(heading("Rounds so far"))
        layout.addWidget(self.table, 1)
        layout.addLayout(buttons)
        self._connect()
        self._show_buttons()

    def _connect(self) -> None:
        self._bench.relay.weights_changed.connect(self.refresh)
        self.table.itemSelectionChanged.connect(self._show_buttons)
        self.table.round_chosen.connect(self._on_round_chosen)
        self.table.starter_chosen.connect(self._on_starter_chosen)
        self.table.resume_chosen.connect(self._on_resume_chosen)
        self.use.clicked.connect(self._on_use_clicked)
        self.starter.clicked.connect(self._on_starter_chosen)

    @Slot()
    def refresh(self) -> None:
        """Read the list of rounds again."""
        project = self._bench.session.project
        if project is None:
            self._show(Lineage())
        else:
            self._bench.background.run(lambda: read_lineage(project), self._show)

    def _show(self, lineage: Lineage) -> None:
        self.table.show_rounds(lineage)
        self._show_buttons()
        self.listed.emit(lineage)

    @Slot()
    def _show_buttons(self) -> None:
        self.use.setEnabled(self.table.can_be_used(self.table.selected))
        self.starter.setEnabled(self.table.starter_can_be_used)

    @Slot()
    def _on_use_clicked(self) -> None:
        chosen = self.table.selected
        if chosen is not None:
            self._on_round_chosen(chosen.number)

    @Slot(int)
    def _on_round_chosen(self, number: int) -> None:
        self._change(f"model of round {number}", lambda: self._bench.session.promote(number))

    @Slot()
    def _on_starter_chosen(self) -> None:
        self._change("starter model", self._bench.session.promote_starter)

    def _change(self, name: str, work: Callable[[], None]) -> None:
        self._bench.background.run(
            work,
            lambda _: self._bench.said.emit(f"The {name} predicts from now on."),
            title=f"Changing to the {name}",
        )

    @Slot(int)
    def _on_resume_chosen(self, number: int) -> None:
        self._bench.background.run(
            lambda: self._bench.session.resume_round(number), title=f"Going on with round {number}"
        )
