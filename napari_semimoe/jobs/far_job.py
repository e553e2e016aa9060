"""What runs on the other machine: one job, from its parcel to its answer."""

from __future__ import annotations

import importlib
import os
import shutil
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_semimoe.core.states import JobState
from napari_semimoe.jobs.far_parcel import FarJob, missing_weights, pack_answer, unpack_job
from napari_semimoe.jobs.sentences import failed_answer
from napari_semimoe.jobs.wire import plain

if TYPE_CHECKING:
    from distributed import Nanny, Worker

#: Names the folder of ``semimoe worker`` to its processes.
FOLDER_VARIABLE = "SEMIMOE_WORKER_FOLDER"
#: Checkpoints that are kept so that they need not travel with every tile.
_KEPT_WEIGHTS = 8
#: Rounds that nobody went on with are removed after these seconds.
_KEPT_SECONDS = 14 * 24 * 3600.0


class FarObserver:
    """Sends a job's reports through the scheduler and hears the wish to stop.

    Parameters
    ----------
    worker
        The process that does the job.
    name
        Key of the job's task.
    topic
        Where its sender listens.
    """

    def __init__(self, worker: Worker, name: str, topic: str) -> None:
        from distributed import Event, get_client

        self._worker, self._name, self._topic = worker, name, topic
        client = get_client()
        self._stop = Event(stop_event(name), client=client)
        self._begun = Event(begun_event(name), client=client)

    def report(self, name: str, data: Mapping[str, Any]) -> None:
        """Send one report."""
        message = {"job": self._name, "name": name, "data": plain(data)}
        self._worker.log_event(self._topic, message)

    def should_stop(self) -> bool:
        """Whether the job was cancelled or nobody waits for it any more."""
        try:
            return not self.is_wanted() or self._stop.is_set()
        except (OSError, RuntimeError):  # the scheduler is gone
            return True

    def is_wanted(self) -> bool:
        """Whether the sender is still connected and waits for the answer."""
        task = self._worker.state.tasks.get(self._name)
        return task is not None and task.state == "executing"

    def begin(self) -> bool:
        """Say that the job begins; False if it began before, on a worker that died of it."""
        if self._begun.is_set():
            return False
        self._begun.set()
        self.report("begun", {"worker": self._worker.address})
        return True


def stop_event(name: str) -> str:
    """Return the name of the event that asks a job to stop."""
    return f"{name}-stop"


def begun_event(name: str) -> str:
    """Return the name of the event that says that a job began."""
    return f"{name}-begun"


def run_job(parcel: bytes, name: str, topic: str, tasks: str, round_key: str | None) -> bytes:
    """Do one job and return the parcel with its answer.

    The answer is ``{"missing": [...]}`` when weights must be sent first, and
    ``{"again": True}`` when the scheduler tries to repeat a job whose worker died.

    Parameters
    ----------
    parcel
        What `pack_job` returned.
    name, topic
        See `FarObserver`.
    tasks
        Importable module with the job functions.
    round_key
        Names the folder of a round, so that an interrupted one finds its state again.
    """
    from distributed import get_worker

    worker = get_worker()
    root = Path(os.environ.get(FOLDER_VARIABLE) or worker.local_directory)
    missing = missing_weights(parcel, root / "weights")
    if missing:
        return pack_answer({"missing": missing}, None)
    observer = FarObserver(worker, name, topic)
    if not observer.begin():
        return pack_answer({"again": True}, None)
    # dask removes the folder of a process that died, so a killed job leaves nothing behind
    folder = root / "rounds" / round_key if round_key else Path(worker.local_directory) / name
    answer = _do(parcel, folder, root / "weights", tasks, observer)
    if observer.is_wanted() or not round_key:
        shutil.rmtree(folder, ignore_errors=True)
    _sweep(root)
    return answer


def end_process(dask_worker: Nanny) -> None:
    """End the process that a keeper (a nanny) keeps; the keeper starts another."""
    if dask_worker.pid:
        os.kill(dask_worker.pid, getattr(signal, "SIGKILL", signal.SIGTERM))


def _do(parcel: bytes, folder: Path, cache: Path, tasks: str, observer: FarObserver) -> bytes:
    job: FarJob | None = None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        job = unpack_job(parcel, folder, cache)
        if observer.should_stop():
            return pack_answer({"state": JobState.CANCELLED}, job)
        task = importlib.import_module(tasks).TASKS[job.kind]
        result = task(job.payload, observer)
        state = JobState.CANCELLED if observer.should_stop() else JobState.DONE
        return pack_answer({"state": state, "result": plain(result)}, job)
    except BaseException as error:  # the worker's entry: everything becomes a sentence
        return pack_answer(failed_answer(job.kind if job else "", error), job)


def _sweep(root: Path) -> None:
    """Remove weights not used lately, and rounds that nobody went on with."""
    weights = sorted(_folders(root / "weights"), key=_changed, reverse=True)
    oldest = time.time() - _KEPT_SECONDS
    rounds = [folder for folder in _folders(root / "rounds") if _changed(folder) < oldest]
    for folder in weights[_KEPT_WEIGHTS:] + rounds:
        shutil.rmtree(folder, ignore_errors=True)


def _folders(root: Path) -> list[Path]:
    return [path for path in root.iterdir() if path.is_dir()] if root.is_dir() else []


def _changed(folder: Path) -> float:
    try:
        return folder.stat().st_mtime
    except OSError:  # the other process has just removed it
        return 0.0
