"""The queue side of every engine, and the default one: own child processes, without any port."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from napari_semimoe.core.log_file import default_log_dir
from napari_semimoe.jobs.book import JobBook
from napari_semimoe.jobs.child import Child
from napari_semimoe.jobs.lane import Job, Lane, LaneChild
from napari_semimoe.jobs.protocol import JobKind, JobReport, JobStatus
from napari_semimoe.jobs.sentences import write_failure_log
from napari_semimoe.jobs.wire import plain

_LANE_OF: dict[str, str] = {"predict": "predict", "files": "predict", "train": "train"}


class LaneEngine(ABC):
    """Two lanes of jobs, one for predictions and one for training, each done by a child.

    Parameters
    ----------
    log_dir
        Folder for logs; the person's log folder when None.
    tasks
        Importable module whose ``TASKS`` maps a job kind to a job function.
    grace_s
        Seconds before a second cancel ends the process.

    Attributes
    ----------
    failure_dir
        Folder for the logs of failed jobs (a session points it to its project's ``logs``).
    environment
        Variables that let a command of ``semimoe`` work in the same place.
    """

    def __init__(
        self,
        log_dir: Path | None = None,
        *,
        tasks: str = "napari_semimoe.jobs.tasks",
        grace_s: float = 5.0,
    ) -> None:
        self.log_dir = Path(log_dir) if log_dir is not None else default_log_dir()
        self.failure_dir = self.log_dir
        self.environment: Mapping[str, str] = {}
        self._tasks = tasks
        self._grace_s = grace_s
        self._book = JobBook()
        self._lanes = {name: self._lane(name) for name in ("predict", "train")}

    @property
    def on_wake(self) -> Callable[[], None] | None:
        """Called from a listening thread when `poll` has something after it had nothing."""
        return self._book.on_wake

    @on_wake.setter
    def on_wake(self, callback: Callable[[], None] | None) -> None:
        self._book.on_wake = callback

    def submit(self, kind: JobKind, payload: Mapping[str, Any], *, priority: int = 0) -> str:
        """Queue a job and return its id; a higher priority runs first, then the older."""
        lane = self._lanes[_LANE_OF[kind]]
        values = plain(payload)
        job_id = self._book.add(kind)
        lane.put(Job(job_id, kind, values, priority))
        return job_id

    def cancel(self, job_id: str, *, force: bool = False) -> None:
        """Ask a job to stop; a second request after the grace time, or ``force``, ends it."""
        if self._book.is_open(job_id):
            lane = self._lanes[_LANE_OF[self._book.status(job_id).kind]]
            lane.cancel(job_id, force=force)

    def status(self, job_id: str) -> JobStatus:
        """Return the job's present snapshot."""
        return self._book.status(job_id)

    def poll(self) -> list[JobReport]:
        """Return what was reported since the last call, in order; never blocks."""
        return self._book.poll()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until `poll` has something; False when ``timeout`` seconds passed first."""
        return self._book.wait(timeout)

    def warm_up(self, kind: JobKind = "predict") -> None:
        """Let the child that does such jobs import torch ahead of the first one."""
        self._lanes[_LANE_OF[kind]].warm_up()

    def close(self) -> None:
        """End all work and both children; a running round has the grace time to save."""
        for name in ("predict", "train"):
            self._lanes[name].close(self._grace_s if name == "train" else 0.5)

    def _lane(self, name: str) -> Lane:
        return Lane(name, self._book, self._start_child, self._write_log, self._grace_s)

    @abstractmethod
    def _start_child(self, lane: Lane) -> LaneChild: ...

    def _write_log(self, job: Job, text: str, output: Path | None) -> str | None:
        if self.failure_dir == self.log_dir:
            with suppress(OSError):
                self.log_dir.mkdir(parents=True, exist_ok=True)
        return write_failure_log(self.failure_dir, job.kind, job.job_id, text, output)


class ProcessEngine(LaneEngine):
    """Two child processes of this computer, started when needed.

    A child ends by itself when this process is gone, however it went (end of its input).
    """

    @property
    def pids(self) -> dict[str, int]:
        """Process ids of the running children, by lane."""
        return {name: lane.pid for name, lane in self._lanes.items() if lane.pid is not None}

    def _start_child(self, lane: Lane) -> Child:
        return Child(lane.name, self._tasks, self.log_dir / f"{lane.name}.log", lane)
