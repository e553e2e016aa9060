"""The parent's book of jobs: statuses, unread reports, and 'finished' exactly once."""

from __future__ import annotations

import logging
import threading
import uuid
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from napari_semimoe.core.errors import JobError
from napari_semimoe.core.states import JobState
from napari_semimoe.jobs.protocol import JobKind, JobReport, JobStatus

logger = logging.getLogger(__name__)

#: Snapshots of ended jobs that are kept for `JobBook.status`.
KEPT_STATUSES = 500


class JobBook:
    """Thread-safe record of what jobs are doing, shared by every engine.

    Reports about a job that is unknown or has finished are dropped: they are late.
    """

    def __init__(self) -> None:
        self.on_wake: Callable[[], None] | None = None
        self._statuses: dict[str, JobStatus] = {}
        self._unread: deque[JobReport] = deque()
        self._ended: deque[str] = deque()
        self._changed = threading.Condition()

    def add(self, kind: JobKind) -> str:
        """Register a queued job and return its new id."""
        job_id = uuid.uuid4().hex
        with self._changed:
            self._statuses[job_id] = JobStatus(job_id, kind, JobState.QUEUED)
            while len(self._ended) > KEPT_STATUSES:
                del self._statuses[self._ended.popleft()]
        return job_id

    def status(self, job_id: str) -> JobStatus:
        """Return the job's snapshot."""
        with self._changed:
            if job_id not in self._statuses:
                raise JobError(
                    f"There is no job {job_id!r}: it was never submitted or is long over."
                )
            return self._statuses[job_id]

    def is_open(self, job_id: str) -> bool:
        """Whether the job is known and has not finished."""
        with self._changed:
            status = self._statuses.get(job_id)
            return status is not None and not status.state.is_final

    def mark(self, job_id: str, state: JobState) -> None:
        """Move an open job to another state."""
        with self._changed:
            if self.is_open(job_id):
                self._statuses[job_id] = replace(self._statuses[job_id], state=state)

    def report(self, job_id: str, name: str, data: Mapping[str, Any]) -> None:
        """Record what an open job said."""
        with self._changed:
            if not self.is_open(job_id):
                return
            if name == "started" and self._statuses[job_id].state is JobState.QUEUED:
                self.mark(job_id, JobState.RUNNING)
            woke = self._push(JobReport(job_id, name, data))
        self._wake(woke)

    def finish(
        self,
        job_id: str,
        state: JobState,
        *,
        result: Mapping[str, Any] | None = None,
        error: str | None = None,
        log: str | None = None,
    ) -> None:
        """End an open job; a second end is dropped."""
        data = {"state": state, "result": result, "error": error, "log": log}
        with self._changed:
            if not self.is_open(job_id):
                return
            self.mark(job_id, state)
            self._ended.append(job_id)
            woke = self._push(JobReport(job_id, "finished", data))
        self._wake(woke)

    def poll(self) -> list[JobReport]:
        """Take all unread reports."""
        with self._changed:
            taken = list(self._unread)
            self._unread.clear()
        return taken

    def wait(self, timeout: float | None) -> bool:
        """Wait until there is something unread."""
        with self._changed:
            return self._changed.wait_for(lambda: bool(self._unread), timeout)

    def _push(self, report: JobReport) -> bool:
        was_empty = not self._unread
        self._unread.append(report)
        self._changed.notify_all()
        return was_empty

    def _wake(self, woke: bool) -> None:
        # Outside the lock: the receiver may poll from this very call.
        if not woke or self.on_wake is None:
            return
        try:
            self.on_wake()
        except Exception:  # a broken listener must not end the thread that hears the worker
            logger.exception("Waking the listener of background work failed")
