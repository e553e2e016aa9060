"""A lane: jobs in order of priority, done one at a time by at most one child process."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from napari_semimoe.core.states import JobState
from napari_semimoe.jobs.book import JobBook
from napari_semimoe.jobs.sentences import was_killed

logger = logging.getLogger(__name__)

#: Children that die over their job one after another before what waits is given up.
_MOST_DEATHS = 2


@dataclass(slots=True)
class Job:
    """A job on its way through a lane."""

    job_id: str
    kind: str
    payload: Mapping[str, Any]
    priority: int
    cancel_asked: float | None = None  # monotonic seconds
    begun: bool = False  # the child has taken it
    sent_again: bool = False


class LaneChild(Protocol):
    """Whoever does a lane's jobs one after another, here or on another machine."""

    @property
    def pid(self) -> int | None:
        """Process id, or None where the process is not on this computer."""
        ...

    @property
    def output(self) -> Path | None:
        """File with what the process printed, or None."""
        ...

    @property
    def spoke(self) -> bool:
        """Whether it was ever heard, so that a job may be given to its successor."""
        ...

    def send(self, message: Mapping[str, Any]) -> None:
        """Pass on ``run``, ``cancel`` or ``warm_up``; never blocks."""
        ...

    def kill(self) -> None:
        """End its present work at once."""
        ...

    def close(self, timeout: float) -> None:
        """Let it end by itself, and end it after ``timeout`` seconds."""
        ...

    def last_words(self, code: int) -> str:
        """Return one sentence about its death."""
        ...


class Lane:
    """Keeps the queue on the parent's side: a killed child loses only the running job.

    Parameters
    ----------
    name
        ``predict`` or ``train``.
    book
        Where everything that happens is written.
    start_child
        Starts the lane's process.
    write_log
        ``(job, text, output file) -> path``: stores a failed job's whole story.
    grace_s
        Seconds that a job may take to stop by itself before a second cancel ends its process.
    """

    def __init__(
        self,
        name: str,
        book: JobBook,
        start_child: Callable[[Lane], LaneChild],
        write_log: Callable[[Job, str, Path | None], str | None],
        grace_s: float,
    ) -> None:
        self.name = name
        self._book = book
        self._start_child = start_child
        self._write_log = write_log
        self._grace_s = grace_s
        self._lock = threading.RLock()
        self._waiting: list[Job] = []
        self._running: Job | None = None
        self._child: LaneChild | None = None
        self._closed = False
        self._deaths = 0  # over a job, since the last answer

    @property
    def pid(self) -> int | None:
        """Process id of the lane's child, if one is running."""
        with self._lock:
            return self._child.pid if self._child else None

    def put(self, job: Job) -> None:
        """Queue a job and start it if the lane is free."""
        with self._lock:
            if self._closed:
                self._book.finish(job.job_id, JobState.CANCELLED)
                return
            self._waiting.append(job)
            self._pump()

    def warm_up(self) -> None:
        """Start the child now and let it import what its jobs need."""
        with self._lock:
            if self._child is None and not self._closed:
                try:
                    self._child = self._start_child(self)
                except OSError:
                    return  # the first job will say it
                self._child.send({"op": "warm_up", "lane": self.name})

    def cancel(self, job_id: str, *, force: bool) -> None:
        """Drop a waiting job; ask a running one to stop, or end its process."""
        with self._lock:
            waiting = [job for job in self._waiting if job.job_id == job_id]
            if waiting:
                self._waiting.remove(waiting[0])
                self._book.finish(job_id, JobState.CANCELLED)
            elif self._running is not None and self._running.job_id == job_id:
                self._cancel_running(self._running, force)

    def close(self, timeout: float) -> None:
        """Drop what waits, stop what runs, end the child."""
        with self._lock:
            self._closed = True
            waiting, self._waiting = self._waiting, []
            child, self._child = self._child, None
            running, self._running = self._running, None
        for job in waiting:
            self._book.finish(job.job_id, JobState.CANCELLED)
        if child is not None:
            child.close(timeout)
        if running is not None:
            asked = running.cancel_asked is not None
            state = JobState.CANCELLED if asked else JobState.INTERRUPTED
            self._book.finish(running.job_id, state)

    def on_child_message(self, child: LaneChild, message: Mapping[str, Any]) -> None:
        """Take what the running job said; anything else is late and dropped."""
        with self._lock:
            job = self._running
            if child is not self._child or job is None or message.get("job") != job.job_id:
                return
            if message["name"] == "begun":
                job.begun = True
                self._book.report(job.job_id, "started", {})
                return
            if message["name"] != "finished":
                self._book.report(job.job_id, message["name"], message["data"])
                return
            self._running = None
            self._deaths = 0
            self._finish(job, child, message["data"])
            self._pump()

    def on_child_death(self, child: LaneChild, code: int) -> None:
        """Finish the job that the child was doing; the next job gets a new child.

        Where one child after another dies, the jobs that wait end with it: so would they.
        """
        with self._lock:
            if child is not self._child:
                return
            self._child = None
            job, self._running = self._running, None
            if job is not None and self._was_dead_already(job, child):
                job.sent_again = True
                self._waiting.insert(0, job)
            elif job is not None:
                self._finish_dead(job, child, code)
            self._pump()

    def _was_dead_already(self, job: Job, child: LaneChild) -> bool:
        """Whether an idle child died unnoticed just before it was given the job."""
        untouched = not job.begun and not job.sent_again and job.cancel_asked is None
        return child.spoke and untouched and not self._closed

    def _pump(self) -> None:
        if self._running is not None or self._closed or not self._waiting:
            return
        job = max(self._waiting, key=lambda job: job.priority)  # the first of equals: the oldest
        self._waiting.remove(job)
        self._running = job
        try:
            if self._child is None:
                self._child = self._start_child(self)
        except OSError as error:
            self._running = None
            self._finish_unstarted(job, error)
            self._pump()
            return
        self._child.send({"op": "run", "job": job.job_id, "kind": job.kind, "payload": job.payload})

    def _cancel_running(self, job: Job, force: bool) -> None:
        now = time.monotonic()
        overdue = job.cancel_asked is not None and now - job.cancel_asked >= self._grace_s
        if (force or overdue) and self._child is not None:
            child, self._child, self._running = self._child, None, None
            child.kill()
            self._book.finish(job.job_id, JobState.CANCELLED)
            self._pump()
        elif job.cancel_asked is None and self._child is not None:
            job.cancel_asked = now
            self._book.mark(job.job_id, JobState.CANCELLING)
            self._child.send({"op": "cancel", "job": job.job_id})

    def _finish(self, job: Job, child: LaneChild, data: Mapping[str, Any]) -> None:
        log = None
        if data.get("traceback"):
            log = self._log(job, data["traceback"], child.output)
        state, error = JobState(data["state"]), data.get("error")
        if state is JobState.INTERRUPTED and job.cancel_asked is not None:
            state, error = JobState.CANCELLED, None  # its process was asked to end as well
        self._book.finish(job.job_id, state, result=data.get("result"), error=error, log=log)

    def _finish_dead(self, job: Job, child: LaneChild, code: int) -> None:
        if job.cancel_asked is not None:
            self._book.finish(job.job_id, JobState.CANCELLED)
            return
        sentence = child.last_words(code)
        log = self._log(job, sentence, child.output)
        interrupted = child.spoke or was_killed(code)
        state = JobState.INTERRUPTED if interrupted else JobState.FAILED
        self._deaths += 1
        ended = [job]
        if self._deaths >= _MOST_DEATHS:
            ended += self._waiting
            self._waiting = []
        for each in ended:
            self._book.finish(each.job_id, state, error=sentence, log=log)

    def _finish_unstarted(self, job: Job, error: OSError) -> None:
        sentence = f"The {self.name} process could not start: {error}. Check the installation."
        log = self._log(job, sentence, None)
        self._book.finish(job.job_id, JobState.FAILED, error=sentence, log=log)

    def _log(self, job: Job, text: str, output: Path | None) -> str | None:
        """Write a failed job's story; whatever happens there, the job must still end."""
        try:
            return self._write_log(job, text, output)
        except Exception:
            logger.exception("The log of job %s could not be written", job.job_id)
            return None
