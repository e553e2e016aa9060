"""Sessions and background jobs as the commands use them."""

from __future__ import annotations

import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

import typer

from napari_semimoe.cli.output import progress, remark
from napari_semimoe.core.errors import (
    JobError,
    ProjectCutOffError,
    ProjectLockedError,
    StorageError,
)
from napari_semimoe.core.states import JobState, RoundState
from napari_semimoe.jobs.choice import cluster_settings, make_engine
from napari_semimoe.jobs.protocol import Engine, JobKind, JobReport
from napari_semimoe.project.project import Project
from napari_semimoe.project.records import counted
from napari_semimoe.session.models import lost_weights
from napari_semimoe.session.session import Session

#: Exit code after Ctrl+C, as shells expect it.
INTERRUPTED = 130
#: How often a waiting command looks up, so that Ctrl+C is answered on Windows too.
TICK_SECONDS = 0.2


def opened_to_read(path: Path) -> Project:
    """Open a project to read it, once it is in order."""
    try:
        opened = Project.open(path, read_only=True)
    except ProjectCutOffError:
        Project.open(path).close()
        return Project.open(path, read_only=True)
    if any(record.state is RoundState.RUNNING for record in opened.rounds()):
        with suppress(ProjectLockedError, StorageError):  # it runs indeed; the disk is read-only
            Project.open(path).close()  # says of a round whose process was killed that it ended
    return opened


@contextmanager
def engine() -> Iterator[Engine]:
    """Yield an engine, here or where the environment says, that ends with the command."""
    running = make_engine(cluster_settings(os.environ))
    try:
        with ends_as_ctrl_c():
            yield running
    finally:
        running.close()


@contextmanager
def ends_as_ctrl_c() -> Iterator[None]:
    """Let a wish of the system to end, or a terminal that is closed, save what was done, too."""
    usual = {}
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)  # Windows has no SIGHUP
        if number is not None and signal.getsignal(number) is signal.SIG_DFL:  # else: nohup
            usual[number] = signal.signal(number, signal.default_int_handler)
    try:
        yield
    finally:
        for number, handler in usual.items():
            signal.signal(number, handler)


@contextmanager
def asked_to_stop() -> Iterator[Callable[[], bool]]:
    """Yield what says whether Ctrl+C, or the system, asked to end after the file at hand.

    Asked a second time, the command ends at once.
    """
    asked = threading.Event()

    def hear(number: int, frame: FrameType | None) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()

    names = ("SIGINT", "SIGTERM", "SIGHUP")
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    numbers = [each for each in numbers if signal.getsignal(each) is signal.default_int_handler]
    for number in numbers:
        signal.signal(number, hear)
    try:
        yield asked.is_set
    finally:
        for number in numbers:
            signal.signal(number, signal.default_int_handler)


@contextmanager
def session(project: Path, author: str | None = None) -> Iterator[Session]:
    """Yield a session with a project open; the project's own author accepts masks when None."""
    with engine() as running:
        opened = Session(running, author=author)
        if lost := lost_weights(opened.open(project)):
            remark(lost)
        try:
            yield opened
        finally:
            opened.close()


def pump(opened: Session, busy: Callable[[], bool]) -> None:
    """Let a session hear its engine until it has nothing more to wait for."""
    while busy():
        opened.engine.wait(TICK_SECONDS)
        opened.process()


def run_job(
    running: Engine, kind: JobKind, payload: Mapping[str, Any], description: str
) -> dict[str, Any]:
    """Run one job with a progress bar and return its result.

    Ctrl+C asks the job to stop, waits for it, and ends the command with exit code 130.
    """
    with progress() as bar:
        task = bar.add_task(description, total=None)
        job = running.submit(kind, payload)
        unheard: deque[JobReport] = deque()
        try:
            end = _follow(running, job, unheard, lambda data: _show(bar, task, data, description))
        except KeyboardInterrupt:
            running.cancel(job)
            end = _follow(running, job, unheard, lambda data: None)
            written = len((end.get("result") or {}).get("written", ()))
            remark(f"Interrupted after writing {counted(written, 'file')}.")
            raise typer.Exit(INTERRUPTED) from None
        bar.update(task, total=1, completed=1)
    if end["state"] != JobState.DONE:
        raise JobError(end["error"] or f"The work ended early ({end['state']}). Try again.")
    return end["result"]


def _follow(
    running: Engine,
    job: str,
    unheard: deque[JobReport],
    hear: Callable[[Mapping[str, Any]], None],
) -> Mapping[str, Any]:
    """Return how the job ended; what an interruption leaves ``unheard`` is for the next call."""
    while True:
        unheard.extend(running.poll())
        while unheard:
            report = unheard.popleft()
            if report.job_id == job and report.name == "finished":
                return report.data
            if report.job_id == job and report.name == "progress":
                hear(report.data)
        running.wait(TICK_SECONDS)


def _show(bar: Any, task: Any, data: Mapping[str, Any], description: str) -> None:
    text = f"{description} {data.get('text', '')}".strip()
    bar.update(task, total=1, completed=data.get("fraction", 0), description=text)
