"""The choice of what the next round begins from."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import QSignalBlocker, Signal, Slot
from qtpy.QtWidgets import QComboBox, QFileDialog

from napari_semimoe.session.lineage import Lineage
from napari_semimoe.session.start_from import ENCODER_SUFFIXES, StartFrom, StartKind

_CURRENT = ("the model in use", StartFrom())
_STARTER = ("the starter model", StartFrom(StartKind.STARTER))
_IMAGENET = ("an encoder trained on ImageNet", StartFrom(StartKind.IMAGENET))
_NOTHING = ("nothing (random weights)", StartFrom(StartKind.NOTHING))
_BROWSE = "a weights file…"
_PATTERNS = " ".join(f"*{suffix}" for suffix in ENCODER_SUFFIXES)


class StartBox(QComboBox):
    """Offers the model in use, the starter, every round's model, encoders, nothing, and any file.

    Attributes
    ----------
    start_changed
        The person chose otherwise.
    """

    start_changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._lineage = Lineage()
        self._files: dict[StartFrom, str] = {}
        self._starts: list[StartFrom | None] = []  # None: choose a file
        self._chosen = StartFrom()
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.setMinimumContentsLength(16)
        self.setToolTip("The model whose weights the round begins with")
        self.activated.connect(self._on_activated)
        self._fill()

    @property
    def start(self) -> StartFrom:
        """What the person chose."""
        return self._chosen

    def show_lineage(self, lineage: Lineage) -> None:
        """Offer the models of a project; what is gone is no longer chosen."""
        self._lineage = lineage
        self._fill()

    @Slot()
    def reset(self) -> None:
        """Choose the model in use, so that an unusual choice holds for one round only."""
        self._choose(StartFrom())

    def choose_file(self, path: Path) -> None:
        """Begin from a weights file or from a pretrained encoder."""
        start = StartFrom.of_chosen(path)
        self._files[start] = path.name
        self._choose(start)

    def _choose(self, start: StartFrom) -> None:
        before, self._chosen = self._chosen, start
        self._fill()
        if self._chosen != before:
            self.start_changed.emit()

    def _fill(self) -> None:
        rounds = [each for each in reversed(self._lineage.rounds) if each.weights is not None]
        entries: list[tuple[str, StartFrom | None]] = [
            _CURRENT,
            *([_STARTER] if self._lineage.has_starter else []),
            *((f"round {each.number}", StartFrom.of_round(each.number)) for each in rounds),
            *((name, start) for start, name in self._files.items()),
            *([_IMAGENET] if self._lineage.has_imagenet else []),
            _NOTHING,
            (_BROWSE, None),
        ]
        self._starts = [start for _, start in entries]
        if self._chosen not in self._starts:
            self._chosen = StartFrom()
        blocker = QSignalBlocker(self)
        self.clear()
        self.addItems([text for text, _ in entries])
        self.setCurrentIndex(self._starts.index(self._chosen))
        blocker.unblock()

    @Slot(int)
    def _on_activated(self, index: int) -> None:
        start = self._starts[index]
        if start is not None:
            self._choose(start)
            return
        name, _ = QFileDialog.getOpenFileName(
            self, "Weights to begin with", "", f"Weights and encoders ({_PATTERNS})"
        )
        if name:
            self.choose_file(Path(name))
        else:
            self._fill()  # back to what was chosen before
