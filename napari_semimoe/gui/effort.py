"""Seconds that a person spends on a tile."""

from __future__ import annotations

import time
from collections.abc import Callable

#: A pause longer than this (a phone call, a coffee) does not count as work.
PAUSE_SECONDS = 60.0


class EffortClock:
    """Adds up the time between signs of activity on one tile.

    Parameters
    ----------
    now
        Monotonic clock in seconds; replaced in tests.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._seconds = 0.0
        self._last: float | None = None

    def start(self, seconds: float = 0.0) -> None:
        """Begin with a tile, with the seconds that it had before."""
        self._seconds = seconds
        self._last = self._now()

    def touch(self) -> None:
        """Note a sign of activity: a stroke, a key, a click."""
        if self._last is not None:
            now = self._now()
            self._seconds += min(now - self._last, PAUSE_SECONDS)
            self._last = now

    def stop(self) -> float:
        """End with the tile and return its seconds."""
        self.touch()
        self._last = None
        return self._seconds

    @property
    def is_running(self) -> bool:
        """Whether a tile is being worked on."""
        return self._last is not None

    @property
    def seconds(self) -> float:
        """Seconds so far, the running pause included up to its limit."""
        if self._last is None:
            return self._seconds
        return self._seconds + min(self._now() - self._last, PAUSE_SECONDS)
