"""One line at the foot of the panel: what is being done, and what went wrong."""

from __future__ import annotations

import re
import time
from html import escape

from qtpy.QtCore import Qt, Signal, Slot
from qtpy.QtGui import QAction, QKeyEvent, QKeySequence
from qtpy.QtWidgets import (
    QApplication,
    QFrame,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)
from superqt import QElidingLabel

from napari_semimoe.gui.durations import time_left

#: Seconds in which too little was done to tell how long the rest takes.
_TOO_SOON = 3.0
_MAY_BREAK = "\u200b"  # a space without width
_AFTER_WHICH_TO_BREAK = re.compile(r"[_.\-/\\](?=\S)")


class _Sentence(QLabel):
    """Wraps within long names, too; what is copied from it are the names themselves."""

    def __init__(self) -> None:
        super().__init__()
        self.sentence = ""
        self.setTextFormat(Qt.TextFormat.PlainText)  # a name may hold brackets
        self.setWordWrap(True)
        self.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.ActionsContextMenu)
        copy = QAction("Copy", self)
        copy.triggered.connect(self._copy)
        self.addAction(copy)

    def show_sentence(self, sentence: str) -> None:
        """Replace the sentence."""
        self.sentence = sentence
        self.setText(_AFTER_WHICH_TO_BREAK.sub(rf"\g<0>{_MAY_BREAK}", sentence))
        self.setToolTip(f"<p>{escape(sentence)}</p>")  # plain text would be one long line

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Copy what is selected."""
        if event.matches(QKeySequence.StandardKey.Copy):
            self._copy()
        else:
            super().keyPressEvent(event)

    @Slot()
    def _copy(self) -> None:
        selected = self.selectedText().replace(_MAY_BREAK, "")
        QApplication.clipboard().setText(selected or self.sentence)


class MessageBar(QWidget):
    """Shows a sentence until it is dismissed or replaced, and the work under way.

    Attributes
    ----------
    cancelled
        The person asks the work under way to stop.
    """

    cancelled = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._frame = QFrame()
        self._sign = QLabel()  # who does not tell the colours apart tells these
        self._text = _Sentence()
        dismiss = QToolButton()
        dismiss.setText("✕")
        dismiss.setAutoRaise(True)
        dismiss.setToolTip("Dismiss this message")
        dismiss.clicked.connect(self.dismiss)
        row = QHBoxLayout(self._frame)
        row.setContentsMargins(8, 6, 4, 6)
        row.addWidget(self._sign, 0, Qt.AlignmentFlag.AlignTop)
        row.addWidget(self._text, 1)
        row.addWidget(dismiss, 0, Qt.AlignmentFlag.AlignTop)

        self._busy = QWidget()
        self._busy_text = QElidingLabel()
        self._busy_text.setProperty("role", "faint")
        self.cancel = QToolButton()
        self.cancel.setText("Cancel")
        self.cancel.setToolTip("Stop after the file at hand; what is done so far stays")
        self.cancel.clicked.connect(self._on_cancel)
        self._busy_bar = QProgressBar()
        self._busy_bar.setTextVisible(False)
        self._busy_bar.setFixedHeight(6)
        self._title, self._since = "", 0.0
        words = QHBoxLayout()
        words.addWidget(self._busy_text, 1)
        words.addWidget(self.cancel)
        column = QVBoxLayout(self._busy)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(2)
        column.addLayout(words)
        column.addWidget(self._busy_bar)

        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self._frame)
        layout.addWidget(self._busy)
        self._frame.hide()
        self._busy.hide()

    @property
    def text(self) -> str:
        """The sentence on show, empty when there is none."""
        return "" if self._frame.isHidden() else self._text.sentence

    @property
    def is_error(self) -> bool:
        """Whether the sentence on show is about something that went wrong."""
        return not self._frame.isHidden() and self._frame.property("role") == "message-bad"

    @property
    def busy_text(self) -> str:
        """What is said of the work under way, empty when there is none."""
        return "" if self._busy.isHidden() else self._busy_text.text()

    @Slot(str)
    def say(self, sentence: str) -> None:
        """Show good news; it takes the place of an older sentence."""
        self._show(sentence, "message-good", "✓")

    @Slot(str)
    def complain(self, sentence: str) -> None:
        """Show what went wrong; it stays until dismissed or until something succeeds."""
        self._show(sentence, "message-bad", "!")

    @Slot()
    def dismiss(self) -> None:
        """Take the sentence away."""
        self._frame.hide()

    def retract(self, sentence: str) -> None:
        """Take a sentence away that is no longer true, if it is still on show."""
        if sentence == self.text:
            self.dismiss()

    def show_busy(self, title: str, *, can_cancel: bool = False) -> None:
        """Show what is being done, and whether it can be cancelled; an empty title ends it."""
        if title == self._title:
            return
        self._title = title
        self._busy_text.setText(f"{title}…" if title else "")
        self._busy_bar.setRange(0, 0)
        self._busy.setVisible(bool(title))
        self.cancel.setVisible(can_cancel)
        self.cancel.setEnabled(True)

    @Slot(int, int, str)
    def show_progress(self, done: int, total: int, text: str) -> None:
        """Show how far the work under way is, and how long the rest takes."""
        self._busy_bar.setRange(0, max(total, 0))
        self._busy_bar.setValue(done)
        if done == 0:
            self._since = time.monotonic()
            self.cancel.setEnabled(True)  # also where another piece of the same kind begins
        if text:
            counted = f"{done} of {total}{self._left(done, total)}: " if total else ""
            self._busy_text.setText(f"{counted}{text}")

    def _left(self, done: int, total: int) -> str:
        spent = time.monotonic() - self._since
        if not 0 < done < total or spent < _TOO_SOON:
            return ""
        return f", {time_left(spent / done * (total - done))}"

    @Slot()
    def _on_cancel(self) -> None:
        self.cancel.setEnabled(False)
        self._busy_text.setText("Stopping after the file at hand…")
        self.cancelled.emit()

    def _show(self, sentence: str, role: str, sign: str) -> None:
        self._sign.setText(sign)
        self._text.show_sentence(sentence)
        self._frame.setProperty("role", role)
        self._frame.style().unpolish(self._frame)
        self._frame.style().polish(self._frame)
        self._frame.show()
