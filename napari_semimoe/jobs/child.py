"""One child process that does jobs one after another, and the thread that listens to it."""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from napari_semimoe.jobs.sentences import death_sentence
from napari_semimoe.jobs.wire import Writer, read_messages

if TYPE_CHECKING:
    from napari_semimoe.jobs.lane import LaneChild

logger = logging.getLogger(__name__)

#: A worker's own output is set aside when it has grown beyond this many bytes.
_LOG_LIMIT = 2_000_000


class ChildListener(Protocol):
    """Who hears a child; both calls come from the child's own listening thread."""

    def on_child_message(self, child: LaneChild, message: Mapping[str, Any]) -> None:
        """Hear one message."""
        ...

    def on_child_death(self, child: LaneChild, code: int) -> None:
        """Hear that the process is gone, and its exit code (negative: a signal)."""
        ...


class Child:
    """A running worker process; create it to start it.

    Parameters
    ----------
    lane
        ``predict`` or ``train``; training runs at a lower priority than the window.
    tasks
        Importable module that has the job functions (`TASKS`).
    output
        File that receives everything the worker or its libraries print.
    """

    def __init__(self, lane: str, tasks: str, output: Path, listener: ChildListener) -> None:
        self.output = output
        self.spoke = False
        self._lane = lane
        self._listener = listener
        self._process = _start(lane, tasks, output)
        assert self._process.stdin is not None
        self._writer = Writer(self._process.stdin)
        self._thread = threading.Thread(
            target=self._listen, name=f"semimoe-{lane}-listener", daemon=True
        )
        self._thread.start()

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    def send(self, message: Mapping[str, Any]) -> None:
        """Send a message; when the child is gone, `on_child_death` tells."""
        self._writer.send(message)

    def kill(self) -> None:
        """End the process at once."""
        with contextlib.suppress(OSError):
            self._process.kill()

    def close(self, timeout: float) -> None:
        """Let the process end by itself (end of input), and end it after ``timeout`` seconds."""
        self._writer.close()
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
        if threading.current_thread() is not self._thread:
            self._thread.join(5)

    def last_words(self, code: int) -> str:
        """Return one sentence about the process's death."""
        return death_sentence(self._lane, code, spoke=self.spoke)

    def _listen(self) -> None:
        with self._process.stdout:  # type: ignore[union-attr]
            for message in read_messages(self._process.stdout):  # type: ignore[arg-type]
                self.spoke = True
                with _logged():
                    self._listener.on_child_message(self, message)
        code = self._reap()
        self._writer.close()
        with _logged():
            self._listener.on_child_death(self, code)

    def _reap(self) -> int:
        try:
            return self._process.wait(5)
        except subprocess.TimeoutExpired:  # it closed its pipe but does not end
            self.kill()
            return self._process.wait()


@contextlib.contextmanager
def _logged() -> Iterator[None]:
    """Log a fault of the listener: with its thread the ends of all later jobs would go unheard."""
    try:
        yield
    except Exception:
        logger.exception("Hearing a worker failed")


def _start(lane: str, tasks: str, output: Path) -> subprocess.Popen[bytes]:
    # -P: a file 'random.py' in the person's working folder must not be imported instead.
    command = [sys.executable, "-P", "-X", "utf8", "-m", "napari_semimoe.jobs.worker"]
    command += ["--lane", lane, "--tasks", tasks]
    with _open_output(output) as log:
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env=os.environ | {"PYTHONUNBUFFERED": "1"},
            creationflags=_creation_flags(lane),
        )


def _creation_flags(lane: str) -> int:
    if sys.platform != "win32":
        return 0
    low = subprocess.BELOW_NORMAL_PRIORITY_CLASS if lane == "train" else 0
    return subprocess.CREATE_NO_WINDOW | low


def _open_output(path: Path) -> Any:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and path.stat().st_size > _LOG_LIMIT:
            with contextlib.suppress(OSError):  # still open in another window on Windows
                path.replace(path.with_suffix(".old.log"))
        return path.open("ab")
    except OSError:
        return open(os.devnull, "ab")
