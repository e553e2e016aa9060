"""A lane's hand on another machine: packs jobs, sends them, hears them, takes answers home."""

from __future__ import annotations

import logging
import queue
import threading
import time
import uuid
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from napari_semimoe.core.errors import JobError, UnreachableError
from napari_semimoe.core.settings import ClusterSettings
from napari_semimoe.core.states import JobState
from napari_semimoe.jobs.cluster import RESOURCES, connect, serves
from napari_semimoe.jobs.far_job import begun_event, end_process, run_job, stop_event
from napari_semimoe.jobs.home_parcel import pack_job, round_key, unpack_answer
from napari_semimoe.jobs.sentences import failed_answer, far_death_sentence

if TYPE_CHECKING:
    from distributed import Client, Future

    from napari_semimoe.jobs.child import ChildListener

logger = logging.getLogger(__name__)

#: How often a waiting child looks whether there is anyone to do its job.
_TICK_SECONDS = 0.5
#: How long a job may wait for the first worker of its kind.
_PATIENCE_SECONDS = 30.0
#: Seconds for a client to take its leave.
_LEAVE_SECONDS = 2.0


class DaskChild:
    """One connection to a scheduler that does a lane's jobs one after another.

    Everything that may block happens on its own thread. It dies, as a process does, when the
    worker that does its job dies or the connection is lost; the lane then starts another.

    Parameters
    ----------
    lane
        ``predict`` or ``train``.
    tasks
        Importable module, on the other machine, that has the job functions.
    cluster
        The scheduler and the certificates.
    listener
        Who hears it.
    """

    pid = None
    output = None

    def __init__(
        self, lane: str, tasks: str, cluster: ClusterSettings, listener: ChildListener
    ) -> None:
        self.spoke = False
        self._lane, self._tasks, self._cluster, self._listener = lane, tasks, cluster, listener
        self._topic = f"semimoe-{uuid.uuid4().hex}"
        self._inbox: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        self._client: Client | None = None
        self._job: Mapping[str, Any] | None = None  # the lane's message
        self._future: Future | None = None
        self._worker: str | None = None  # address, once it has begun
        self._lost = False
        self._refusal: Mapping[str, Any] | None = None  # the answer to all jobs that wait
        self._deadline: float | None = None
        self._over = False
        self._thread = threading.Thread(target=self._serve, name=f"semimoe-{lane}", daemon=True)
        self._thread.start()

    def send(self, message: Mapping[str, Any]) -> None:
        """Pass on ``run``, ``cancel`` or ``warm_up``; never blocks."""
        self._inbox.put((message["op"], message))

    def kill(self) -> None:
        """Give up the job and end the process that does it, which its keeper starts anew."""
        self._inbox.put(("kill", None))

    def close(self, timeout: float) -> None:
        """Ask the job to stop, take its answer home if it comes in time, and disconnect."""
        self._inbox.put(("close", timeout))
        if threading.current_thread() is not self._thread:
            self._thread.join(timeout + _LEAVE_SECONDS + 1)

    def last_words(self, code: int) -> str:
        """Return one sentence about its death."""
        return far_death_sentence(self._lane, self._cluster.scheduler, lost=self._lost)

    def _serve(self) -> None:
        turns: dict[str, Callable[[Any], None]] = {
            "warm_up": self._on_warm_up,
            "run": self._on_run,
            "cancel": self._on_cancel,
            "said": self._on_said,
            "ended": self._on_ended,
            "kill": self._on_kill,
            "close": self._on_close,
        }
        while not self._over:
            if self._inbox.empty():
                self._refusal = None  # what waited has its answer; whoever comes now, tries anew
            try:
                with suppress(queue.Empty):
                    verb, value = self._inbox.get(timeout=_TICK_SECONDS)
                    turns[verb](value)
                self._look_around()
            except Exception as error:  # the worker's entry on this side: a job ends in words
                self._fail(error)
        self._disconnect()

    def _on_warm_up(self, _: object) -> None:
        with suppress(JobError):  # the first job will say it
            self._connected()

    def _on_run(self, message: Mapping[str, Any]) -> None:
        self._job = message
        if self._refusal is not None:
            self._finish(self._refusal)
        else:
            self._submit()

    def _submit(self, wanted: Collection[str] = ()) -> None:
        """Send the job, with the weights that the other machine asked for."""
        import dask

        assert self._job is not None
        client, payload = self._connected(), self._job["payload"]
        parcel = pack_job(self._job["kind"], payload, wanted)
        name = f"semimoe-{uuid.uuid4().hex}"
        client.subscribe_topic(self._topic, lambda event: self._inbox.put(("said", event[1])))
        with dask.config.set({"distributed.admin.large-graph-warning-threshold": "1TB"}):
            self._future = client.submit(
                run_job,
                *(parcel, name, self._topic, self._tasks, round_key(payload)),
                key=name,
                pure=False,
                resources={RESOURCES[self._lane]: 1},
            )
        self._worker, self._since = None, time.monotonic()
        self._future.add_done_callback(lambda future: self._inbox.put(("ended", future)))

    def _on_cancel(self, _: object) -> None:
        from distributed import Event

        if self._future is None:
            return  # late
        if self._worker is None:  # it waits behind others; should it begin now, it is not wanted
            self._forget()
            self._finish({"state": JobState.CANCELLED})
            return
        with suppress(OSError):  # a lost connection is told by the future
            Event(stop_event(str(self._future.key)), client=self._client).set()

    def _on_said(self, message: Mapping[str, Any]) -> None:
        if self._future is None or message["job"] != self._future.key:
            return  # late
        if message["name"] == "begun":
            self._worker = message["data"]["worker"]
        self._tell(message["name"], message["data"])

    def _on_ended(self, future: Future) -> None:
        from distributed.scheduler import KilledWorker

        if future is not self._future:
            return  # late
        self._lost = future.status in ("cancelled", "lost")
        if self._lost:
            self._die()
        elif future.status == "error" and isinstance(future.exception(), KilledWorker):
            self._die(begun=self._has_begun(future))
        else:
            self._take_home(future)

    def _has_begun(self, future: Future) -> bool:
        """Ask the scheduler: the worker's own word is lost when it dies at once."""
        from distributed import Event

        with suppress(OSError, RuntimeError):
            return bool(Event(begun_event(str(future.key)), client=self._client).is_set())
        return True  # not known, and nothing that may have begun is repeated

    def _take_home(self, future: Future) -> None:
        assert self._job is not None
        answer = unpack_answer(future.result(), self._job["payload"])
        self._forget()
        if answer.get("missing"):
            self._submit(answer["missing"])
        elif answer.get("again"):  # its worker died, and the scheduler gave it to another
            self._die(begun=True)
        else:
            self._finish(answer)

    def _on_kill(self, _: object) -> None:
        future, worker, client = self._future, self._worker, self._client
        self._over = True
        if future is None or client is None:
            return
        with suppress(OSError):
            busy = worker is not None and future.key in client.processing([worker])[worker]
            self._forget()  # first: the scheduler must not give it to another worker
            if worker is not None and busy:
                client.run(end_process, workers=[worker], nanny=True)

    def _on_close(self, timeout: float) -> None:
        self._on_cancel(None)
        self._deadline = time.monotonic() + timeout

    def _look_around(self) -> None:
        now = time.monotonic()
        if self._deadline is not None and (self._job is None or now >= self._deadline):
            self._over = True
        waits = self._future is not None and self._worker is None and not self._over
        if waits and now - self._since > _PATIENCE_SECONDS and not self._is_served():
            raise self._nobody()

    def _is_served(self) -> bool:
        with suppress(OSError):
            return self._client is not None and serves(self._client, self._lane)
        return True  # a lost connection is told by the future

    def _nobody(self) -> UnreachableError:
        return UnreachableError(
            f"The scheduler {self._cluster.scheduler} has no worker that can take the job, for "
            f"{_PATIENCE_SECONDS:.0f} s. Start 'semimoe worker' on the other machine."
        )

    def _fail(self, error: Exception) -> None:
        """End the job in words, and where nobody is there also those that wait behind it."""
        self._forget()
        if self._job is None:
            logger.error("Work on another machine failed", exc_info=error)
            return
        answer = failed_answer(self._job["kind"], error)  # the lane keeps the whole story
        if isinstance(error, UnreachableError):
            self._refusal = {key: answer[key] for key in ("state", "error")}
        self._finish(answer)

    def _finish(self, answer: Mapping[str, Any]) -> None:
        self._tell("finished", answer, ends=True)

    def _tell(self, name: str, data: Mapping[str, Any], *, ends: bool = False) -> None:
        assert self._job is not None
        message = {"job": self._job["job"], "name": name, "data": data}
        if ends:
            self._job = None
        self._listener.on_child_message(self, message)

    def _die(self, *, begun: bool = False) -> None:
        self._over = True
        if begun and self._worker is None:  # said here, so that the lane does not send it again
            self._tell("begun", {})
        self._listener.on_child_death(self, -9)

    def _forget(self) -> None:
        """Release the job on the scheduler, with the events that were made for it."""
        from distributed import Event

        future, self._future = self._future, None
        if future is None:
            return
        with suppress(OSError, RuntimeError):  # the connection is gone, and the job with it
            future.cancel(reason="semimoe is done with it")
            for event in (stop_event(str(future.key)), begun_event(str(future.key))):
                Event(event, client=self._client).clear()

    def _connected(self) -> Client:
        if self._client is None or self._client.status != "running":
            self._disconnect()
            self._client = connect(self._cluster)
            self.spoke = True
        return self._client

    def _disconnect(self) -> None:
        client, self._client = self._client, None
        if client is None:
            return
        try:
            client.close(timeout=_LEAVE_SECONDS)
        except (OSError, TimeoutError, ValueError):
            # the scheduler is gone; ValueError: it went while the client was calling it again
            client.status = "closed"  # else it would try once more, and fail, when it is collected
