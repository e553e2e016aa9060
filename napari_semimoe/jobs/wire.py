"""JSON lines: how parent and child talk over their pipe."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import PurePath
from typing import IO, Any

import numpy as np


def _plain(value: Any) -> Any:
    """Turn the few non-JSON values that job functions use into JSON."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, PurePath):
        return str(value)
    raise TypeError(f"A report may hold only plain values, got {type(value).__name__}.")


def encode(message: Mapping[str, Any]) -> bytes:
    """Return the message as one line."""
    return json.dumps(message, default=_plain).encode() + b"\n"


def plain(values: Any) -> Any:
    """Return a copy that holds only JSON values; refuses what cannot travel."""
    return json.loads(json.dumps(values, default=_plain))


def get_ready_to_listen() -> None:
    """Load what looks at this process's input as it is loaded, before a thread reads there.

    Fortran's runtime does, of which parts of scipy have a copy each. On Windows it would wait until
    the thread has read something, which may be never (numpy/numpy#24290).
    """
    if os.name == "nt":
        import scipy.interpolate  # noqa: F401 - with scipy.linalg, all copies that we ever load


def read_messages(stream: IO[bytes]) -> Iterator[dict[str, Any]]:
    """Yield messages until the other side is gone; a half line at the end is dropped."""
    for line in stream:
        try:
            message = json.loads(line)
        except ValueError:
            continue  # the other side was killed while writing
        if isinstance(message, dict):
            yield message


class Writer:
    """Writes whole messages from several threads; a dead reader is not an error here."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._lock = threading.Lock()

    def send(self, message: Mapping[str, Any]) -> None:
        """Send one message; where the other side is gone, its death is told elsewhere."""
        line = encode(message)
        with self._lock, suppress(OSError, ValueError):
            self._stream.write(line)
            self._stream.flush()

    def close(self) -> None:
        """Close the pipe: the other side reads end of input."""
        with self._lock, suppress(OSError):
            self._stream.close()
