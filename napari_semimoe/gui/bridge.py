"""The one bridge between the window and slow work: a single worker thread.

Whatever may take longer than a blink (opening a project, writing a mask, reading a prediction)
runs here, one after the other, and its result comes back to the window's own thread.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
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

    def close(self) -> None:
        """Finish what is queued, then end the thread. Later work is refused in silence."""
        self._open = False
        self._pool.shutdown(wait=True)

    def _execute(self, task: _Task) -> None:
        try:
            outcome = _Outcome(task, task.work(), None)
        except Exception as error:  # the bridge to the window: everything is logged and shown
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
        logger.error("%s failed", task.title or "Background work", exc_info=error)
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
