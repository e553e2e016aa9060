"""The one bridge between the window and slow work: worker threads.

Whatever may take longer than a blink (opening a project, writing a mask, reading a prediction)
runs in one of them, one after the other, and its result comes back to the window's own thread.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from qtpy.QtCore import QObject, Qt, Signal, Slot

from napari_semimoe.core.errors import SemiMoEError

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Task:
    title: str
    work: Callable[[], Any]
    then: Callable[[Any], None] | None
    otherwise: Callable[[BaseException], None] | None


@dataclass(frozen=True, slots=True)
class _Outcome:
    task: _Task
    result: Any
    error: BaseException | None


class Background(QObject):
    """Runs callables in one worker thread and hands results to the window's thread.

    Attributes
    ----------
    busy_changed
        Title of the visible work under way, empty when there is none.
    progressed
        Steps done, steps in all, what is being done.
    failed
        One sentence for the person; the whole is in the log.
    """

    busy_changed = Signal(str)
    progressed = Signal(int, int, str)
    failed = Signal(str)
    _ended = Signal(object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="semimoe-window")
        self._titles: list[str] = []
        self._open = True
        self._cancelled = False
        self._turn = threading.Lock()
        self._free = threading.Event()
        self._free.set()
        #: Pieces of work that are queued or under way.
        self.pending = 0
        self._ended.connect(self._on_ended, Qt.ConnectionType.QueuedConnection)

    def run(
        self,
        work: Callable[[], Any],
        then: Callable[[Any], None] | None = None,
        *,
        title: str = "",
        otherwise: Callable[[BaseException], None] | None = None,
    ) -> None:
        """Queue ``work``; call ``then`` with its result in the window's thread.

        Parameters
        ----------
        work
            Runs in the worker thread; must not touch Qt or napari.
        then
            Hears the result, unless ``work`` failed or the window has closed.
        title
            What the person reads while this runs; work without a title stays silent.
        otherwise
            Hears the error, after it was logged and shown.
        """
        if not self._open:
            return
        self.pending += 1
        if title:
            self._titles.append(title)
            self.busy_changed.emit(self.busy)
        self._pool.submit(self._execute, _Task(title, work, then, otherwise))

    @property
    def busy(self) -> str:
        """Title of the visible work under way, empty when there is none."""
        return self._titles[0] if self._titles else ""

    def report(self, done: int, total: int, text: str) -> None:
        """Tell the window how far the running work is; safe from the worker thread."""
        self.progressed.emit(done, total, text)

    def cancel(self) -> None:
        """Ask the work under way to stop; what waits behind it is done all the same."""
        self._cancelled = True

    def should_stop(self) -> bool:
        """Whether the work under way shall stop; long work asks this between two pieces."""
        return self._cancelled or not self._open

    @contextmanager
    def held(self) -> Iterator[None]:
        """Let nothing run here meanwhile; what is under way is asked to stop, and waited for."""
        self._free.clear()
        self.cancel()
        try:
            with self._turn:
                yield
        finally:
            self._free.set()

    def close(self) -> None:
        """Finish what is queued, then end the thread. Later work is refused in silence."""
        self._open = False
        self._pool.shutdown(wait=True)

    def _execute(self, task: _Task) -> None:
        self._free.wait()
        with self._turn:
            self._cancelled = not self._free.is_set()
            try:
                outcome = _Outcome(task, task.work(), None)
            except Exception as error:  # the bridge to the window: everything is logged and shown
                logger.exception("%s failed", task.title or "Background work")
                outcome = _Outcome(task, None, error)
        self._ended.emit(outcome)

    @Slot(object)
    def _on_ended(self, outcome: _Outcome) -> None:
        task = outcome.task
        self.pending -= 1
        if task.title:
            self._titles.remove(task.title)
            self.busy_changed.emit(self.busy)
        if outcome.error is not None:
            self._tell(task, outcome.error)
        elif task.then is not None and self._open:
            task.then(outcome.result)

    def _tell(self, task: _Task, error: BaseException) -> None:
        self.failed.emit(sentence_of(error))
        if task.otherwise is not None and self._open:
            task.otherwise(error)


def sentence_of(error: BaseException) -> str:
    """Return what a person should read about an error.

    Our own errors are written as sentences; any other is named and points to the log.
    """
    if isinstance(error, SemiMoEError):
        return str(error)
    detail = str(error).strip() or type(error).__name__
    return f"Something unexpected happened: {detail}. The log has the whole story."
