"""Carries the session's signals, which may come from any thread, into the window's thread."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psygnal
from qtpy.QtCore import QObject, Signal

from napari_semimoe.session.events import SessionEvents

if TYPE_CHECKING:
    from napari_semimoe.session.session import Session


#: Names of the session's signals; the relay has a Qt signal for each.
SIGNALS = tuple(
    name for name, value in vars(SessionEvents).items() if isinstance(value, psygnal.Signal)
)


class SessionRelay(QObject):
    """A Qt signal for each signal of the session, under the same name.

    A Qt signal that is emitted in another thread is queued, so whoever listens here runs in
    the window's thread. ``engine_woke`` says that the session has something to process.
    """

    tiles_changed = Signal()
    prediction_ready = Signal(int)
    prediction_failed = Signal(int, str)
    round_started = Signal(int)
    round_progress = Signal(object)
    round_validation = Signal(object)
    round_stage = Signal(object)
    round_finished = Signal(object)
    round_left = Signal(int)
    weights_changed = Signal()
    failed = Signal(str)
    engine_woke = Signal()

    def __init__(self, session: Session, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._connected: list[tuple[Any, Any]] = []
        for name in SIGNALS:
            source = getattr(session, name)
            forward = self._forward(name)
            source.connect(forward)
            self._connected.append((source, forward))

    def _forward(self, name: str) -> Any:
        target = getattr(self, name)

        def forward(*args: Any) -> None:
            target.emit(*args)

        return forward

    def close(self) -> None:
        """Stop listening to the session."""
        for source, forward in self._connected:
            source.disconnect(forward, missing_ok=True)
        self._connected.clear()
