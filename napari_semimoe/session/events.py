"""What a session tells; a window or a command line listens."""

from __future__ import annotations

from psygnal import Signal

from napari_semimoe.project.records import RoundRecord


class SessionEvents:
    """Signals of a session, emitted in the thread in which the thing happened."""

    tiles_changed = Signal()
    prediction_ready = Signal(int)
    prediction_failed = Signal(int, str)
    round_started = Signal(int)
    round_progress = Signal(dict)
    round_validation = Signal(dict)
    round_stage = Signal(dict)
    round_finished = Signal(RoundRecord)
    round_left = Signal(int)
    weights_changed = Signal()
    failed = Signal(str)
