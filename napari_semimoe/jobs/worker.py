"""Entry of a child process: ``python -m napari_semimoe.jobs.worker``.

It reads jobs as JSON lines from its input, does them one after another on the main thread, and
ends when its input ends, because then the process that started it is gone. Asked to end by the
system (SIGTERM), it ends in the same way: the running job is stopped and has seconds to save.
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import importlib
import os
import queue
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import IO, Any

from napari_semimoe.core.reports import Observer
from napari_semimoe.core.states import JobState
from napari_semimoe.jobs.sentences import ending_sentence, failed_answer
from napari_semimoe.jobs.wire import Writer, get_ready_to_listen, read_messages

#: Seconds that the running job has to save itself when this process shall end.
_LAST_SECONDS = 4.0
#: Niceness of training: the window and predictions go first.
_TRAIN_NICE = 10

Task = Callable[[Mapping[str, Any], Observer], Mapping[str, Any]]


class PipeObserver:
    """Sends a job's reports to the parent and hears its wish to stop."""

    def __init__(self, worker: Worker, job_id: str) -> None:
        self._worker = worker
        self._job_id = job_id

    def report(self, name: str, data: Mapping[str, Any]) -> None:
        """Send one report."""
        self._worker.tell(self._job_id, name, data)

    def should_stop(self) -> bool:
        """Whether the job was cancelled or this process shall end."""
        return self._worker.is_cancelled(self._job_id)


class Worker:
    """Does jobs of a lane from ``stream`` and answers to ``writer``."""

    def __init__(self, lane: str, stream: IO[bytes], writer: Writer) -> None:
        self._lane = lane
        self._stream = stream
        self._writer = writer
        self._inbox: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._cancelled: set[str] = set()
        self._ending = False

    def tell(self, job_id: str, name: str, data: Mapping[str, Any]) -> None:
        """Send one report of a job."""
        self._writer.send({"job": job_id, "name": name, "data": data})

    def is_cancelled(self, job_id: str) -> bool:
        """Whether the job should stop."""
        return job_id in self._cancelled or self._ending

    def run(self, module_name: str) -> None:
        """Serve until the parent is gone."""
        get_ready_to_listen()
        threading.Thread(target=self._listen, name="listener", daemon=True).start()
        tasks = importlib.import_module(module_name)
        signal.signal(signal.SIGTERM, lambda *_: self._end())  # until here there is nothing to save
        self._writer.send({"name": "ready"})
        while (message := self._inbox.get()) is not None:
            if message["op"] == "warm_up":
                _warm_up(tasks, message["lane"])
            else:
                self._do(message["job"], message["kind"], message["payload"], tasks)

    def _listen(self) -> None:
        for message in read_messages(self._stream):
            if message["op"] == "cancel":
                self._cancelled.add(message["job"])
            else:
                self._inbox.put(message)
        self._end()

    def _end(self) -> None:
        """Stop the running job, and end when it has saved itself or has taken too long."""
        self._ending = True
        self._inbox.put(None)
        timer = threading.Timer(_LAST_SECONDS, os._exit, (1,))
        timer.daemon = True
        timer.start()

    def _do(self, job_id: str, kind: str, payload: Mapping[str, Any], tasks: ModuleType) -> None:
        observer = PipeObserver(self, job_id)
        if observer.should_stop():
            self.tell(job_id, "finished", self._stopped(job_id))
            return
        self.tell(job_id, "begun", {})
        try:
            task: Task = tasks.TASKS[kind]
            result = task(payload, observer)
            end = self._stopped(job_id) if observer.should_stop() else {"state": JobState.DONE}
            self.tell(job_id, "finished", {**end, "result": result})
        except BaseException as error:  # the worker's entry: everything becomes a sentence
            self.tell(job_id, "finished", failed_answer(kind, error))
        self._cancelled.discard(job_id)

    def _stopped(self, job_id: str) -> dict[str, Any]:
        """Return how a job ended that was stopped: as asked, or because this process shall end."""
        if job_id in self._cancelled:
            return {"state": JobState.CANCELLED}
        return {"state": JobState.INTERRUPTED, "error": ending_sentence(self._lane)}


def _warm_up(tasks: ModuleType, lane: str) -> None:
    warm_up = getattr(tasks, "warm_up", None)
    if warm_up is None:
        return
    try:
        warm_up(lane)
    except Exception:  # the worker's entry: the first job will say it to the person
        traceback.print_exc()


def _take_stdout() -> IO[bytes]:
    """Keep the pipe for us and send everything that is printed to the log (stderr)."""
    pipe = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    return pipe


def _serve(worker: Worker, tasks: str) -> int:
    try:
        worker.run(tasks)
    except BaseException:  # the worker's entry: the log is the only one left to tell
        traceback.print_exc()
        return 1
    return 0


def main() -> None:
    """Run a worker."""
    parser = argparse.ArgumentParser(description="Worker of napari-semimoe, started by it.")
    parser.add_argument("--lane", required=True)
    parser.add_argument("--tasks", required=True)
    arguments = parser.parse_args()
    pipe = _take_stdout()
    faulthandler.enable()
    # Ctrl+C, and the end of the terminal, are for the parent: it tells us, or our input ends
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "SIGHUP"):  # not on Windows
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    if arguments.lane == "train" and hasattr(os, "nice"):
        with contextlib.suppress(OSError):
            os.nice(_TRAIN_NICE)
    code = _serve(Worker(arguments.lane, sys.stdin.buffer, Writer(pipe)), arguments.tasks)
    sys.stdout.flush()
    # Not sys.exit: neither a library's thread nor our listener, which still reads, may hold us.
    os._exit(code)


if __name__ == "__main__":
    main()
