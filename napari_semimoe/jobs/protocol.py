"""What every engine of background work promises, whoever does the work."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from napari_semimoe.core.states import JobState

#: ``predict``: one tile of a project; ``files``: images outside a project; ``train``: one round.
JobKind = Literal["predict", "files", "train"]


@dataclass(frozen=True, slots=True)
class JobReport:
    """One thing that a job said.

    Attributes
    ----------
    job_id
        The job, as `Engine.submit` returned it.
    name
        ``started``, ``step``, ``validation``, ``stage``, ``progress`` or ``finished``. A job
        says ``finished`` exactly once, and nothing after it.
    data
        Plain JSON. Of ``finished``: ``state`` (`JobState`), ``result`` (what the job function
        returned, or None), ``error`` (one sentence, or None), ``log`` (file with the whole
        story, or None).
    """

    job_id: str
    name: str
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class JobStatus:
    """Immutable snapshot of one job."""

    job_id: str
    kind: JobKind
    state: JobState


class Engine(Protocol):
    """Runs job functions elsewhere, so that the window stays smooth.

    ``on_wake`` is called, from any thread, when `poll` has something after it had nothing.
    ``failure_dir`` is the folder for the logs of failed jobs. ``environment`` holds variables
    that let a command of ``semimoe`` work in the same place.
    """

    on_wake: Callable[[], None] | None
    failure_dir: Path
    environment: Mapping[str, str]

    def submit(self, kind: JobKind, payload: Mapping[str, Any], *, priority: int = 0) -> str:
        """Queue a job and return its id; a higher priority runs first, then the older."""
        ...

    def cancel(self, job_id: str, *, force: bool = False) -> None:
        """Ask a job to stop; a second request after the grace time, or ``force``, ends it."""
        ...

    def status(self, job_id: str) -> JobStatus:
        """Return the job's present snapshot."""
        ...

    def poll(self) -> list[JobReport]:
        """Return what was reported since the last call, in order; never blocks."""
        ...

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until `poll` has something; False when ``timeout`` seconds passed first."""
        ...

    def warm_up(self, kind: JobKind = "predict") -> None:
        """Begin now what the first job of this kind would otherwise wait for."""
        ...

    def close(self) -> None:
        """End all work. Unfinished jobs finish as cancelled or interrupted."""
        ...
