"""The one round under way: begun, heard, ended, and whether its model takes over."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_semimoe.core.disk import as_text
from napari_semimoe.core.errors import ProjectFormatError, SemiMoEError
from napari_semimoe.core.settings import ModelSettings, RoundSettings
from napari_semimoe.core.states import JobState, RoundState
from napari_semimoe.jobs import Engine, JobReport
from napari_semimoe.project.project import Project
from napari_semimoe.project.records import RoundRecord
from napari_semimoe.project.rounds import MANIFEST
from napari_semimoe.session.alarm import NO_OTHER, NOT_IN_CHARGE, alarms
from napari_semimoe.session.automatic import note_start
from napari_semimoe.session.comparison import Contest, contest, knows_all
from napari_semimoe.session.events import SessionEvents
from napari_semimoe.session.models import Model, base_weights, model_in_charge
from napari_semimoe.session.step_log import read_gates

_ENDED_BADLY = {
    JobState.CANCELLED: RoundState.CANCELLED,
    JobState.FAILED: RoundState.FAILED,
    JobState.INTERRUPTED: RoundState.INTERRUPTED,
}
#: Seconds that a round has to end when its process was ended.
_FORCED_SECONDS = 2.0
#: File in which rounds of earlier versions described their network, not yet in the manifest.
_OLD_NETWORK = "network.json"


@dataclass(frozen=True, slots=True)
class _Running:
    job_id: str
    number: int
    project: Project


class RoundDesk:
    """Starts rounds, follows the running one and writes down how it ended."""

    def __init__(self, engine: Engine, events: SessionEvents) -> None:
        self._engine = engine
        self._events = events
        self._lock = threading.RLock()
        self._storing = threading.RLock()  # an end, which may take long: nobody else waits for it
        self._running: _Running | None = None
        self._stop_as: RoundState | None = None  # what a round becomes that was asked to stop
        self._unstored: tuple[_Running, Mapping[str, Any]] | None = None

    @property
    def number(self) -> int | None:
        """Number of the round under way."""
        running = self._running
        return running.number if running else None

    def start(
        self, project: Project, settings: RoundSettings, network: ModelSettings, base: Model | None
    ) -> int:
        """Write the round down, then train it in the background."""
        with self._lock:
            record = project.start_round(
                settings.model_dump(mode="json"),
                base.reference if base else None,
                network.model_dump(mode="json"),
            )
            with _ended_unless_begun(project, record.number):
                note_start(project)
                self._train(project, record, network.model_dump(mode="json"))
        self._events.round_started.emit(record.number)
        return record.number

    def resume(self, project: Project, number: int) -> None:
        """Go on with an interrupted round where its last stored state is."""
        with self._lock:
            project.round(number)  # refuses an unknown one in words
            network = _read_network(project.round_folder(number))
            record = project.resume_round(number)
            with _ended_unless_begun(project, number):
                self._train(project, record, network)
        self._events.round_started.emit(number)

    def cancel(self) -> None:
        """Ask the round to stop; asked again after five seconds, its process is ended."""
        self._stop(RoundState.CANCELLED)

    def pause(self) -> None:
        """Ask the round to stop; it is interrupted then and can go on, also another day."""
        self._stop(RoundState.INTERRUPTED)

    def leave(self, seconds: float) -> int | None:
        """End the round, giving it time to save; its last report makes it interrupted.

        Returns
        -------
        int or None
            Number of the round that would have gone on; None if there is none, or if the person
            had paused or cancelled it.
        """
        with self._lock:
            running, asked_before = self._running, self._stop_as is not None
            self._stop(self._stop_as or RoundState.INTERRUPTED)
        if running is None:
            return None
        end = time.monotonic() + seconds
        while not self._engine.status(running.job_id).state.is_final:
            late = time.monotonic() - end
            if late >= _FORCED_SECONDS:
                self._running = None  # its end is not told any more; opening writes one down
                return None
            if late >= 0:
                self._engine.cancel(running.job_id, force=True)
            time.sleep(0.02)
        return None if asked_before else running.number

    def hear(self, report: JobReport) -> RoundRecord | None:
        """Take a report; return the round's record when it has ended."""
        with self._lock:
            running = self._running
            if running is None or report.job_id != running.job_id:
                return None
            if report.name == "finished":
                self._running = None
        if report.name == "step":
            self._events.round_progress.emit(dict(report.data))
        elif report.name == "validation":
            self._events.round_validation.emit(dict(report.data))
        elif report.name == "stage":
            self._events.round_stage.emit(dict(report.data))
        elif report.name == "finished":
            self._unstored = running, report.data
            return self.store_end()
        return None

    def store_end(self) -> RoundRecord | None:
        """Write down how the last round ended, unless that was done.

        Raises
        ------
        StorageError
            If the disk refuses; the next call tries again.
        """
        with self._storing:
            if self._unstored is None:
                return None
            record = self._finish(*self._unstored)
            self._unstored = self._stop_as = None
        return record

    def forget_end(self) -> None:
        """Try once more to write down an end that is not; its project is about to be closed."""
        with suppress(SemiMoEError):  # else the round is interrupted when it is opened again
            self.store_end()
        self._unstored = self._stop_as = None

    def _stop(self, state: RoundState) -> None:
        with self._lock:
            if self._running is not None:
                self._stop_as = state
                self._engine.cancel(self._running.job_id)

    def _train(self, project: Project, record: RoundRecord, network: Mapping[str, Any]) -> None:
        folder = project.round_folder(record.number)
        payload = {
            "manifest": folder / MANIFEST,
            "out_dir": folder,
            "settings": record.settings,
            "model": network,
            "base": base_weights(project, record.base),
        }
        job_id = self._engine.submit("train", payload)
        self._running = _Running(job_id, record.number, project)

    def _finish(self, running: _Running, data: Mapping[str, Any]) -> RoundRecord:
        result: dict[str, Any] = dict(data["result"] or {})
        if result.get("weights"):
            result["gates"] = read_gates(running.project.round_folder(running.number))
        in_charge = model_in_charge(running.project)
        is_only = in_charge is None or not knows_all(running.project, in_charge)
        state = _ENDED_BADLY.get(data["state"])
        if state is None or result.get("weights"):  # also: asked to stop after its last step
            record = running.project.round(running.number)
            judged = contest(running.project, record, result, in_charge)
            state = verdict(result, judged, is_only=is_only)
        if state is RoundState.CANCELLED and self._stop_as is not None:
            state = self._stop_as
        note = "" if result.get("weights") else _note(running.project, data)
        return running.project.finish_round(
            running.number,
            state,
            weights=result.get("weights") or None,
            report=result or None,
            note=note or _warning(result, is_only),
        )


def verdict(report: Mapping[str, Any], judged: Contest, *, is_only: bool = False) -> RoundState:
    """Return whether a finished round's model takes over.

    It does unless the validation tiles say that the model it started from, or the one in charge,
    is better, or there are signs that the new one has collapsed.

    Parameters
    ----------
    judged
        Its scores, and those of the models that it must not be worse than.
    is_only
        Whether there is no other model that knows the project's classes; then signs of collapse
        are told, and the model takes over all the same.
    """
    if report.get("cancelled"):
        return RoundState.CANCELLED
    if alarms(report) and not is_only:
        return RoundState.KEPT_BESIDE
    return RoundState.KEPT_BESIDE if judged.is_lost else RoundState.PROMOTED


@contextmanager
def _ended_unless_begun(project: Project, number: int) -> Iterator[None]:
    """Write down the end of a round that runs in the project and whose work cannot be handed on."""
    try:
        yield
    except BaseException as error:
        state = RoundState.FAILED if isinstance(error, Exception) else RoundState.INTERRUPTED
        with suppress(SemiMoEError):  # else it is interrupted when the project is opened again
            project.finish_round(number, state, note=as_text(str(error)))
        raise


def _warning(report: Mapping[str, Any], is_only: bool) -> str:
    """Return the signs of collapse, and what follows from them."""
    signs = alarms(report)
    return " ".join((*signs, NO_OTHER if is_only else NOT_IN_CHARGE)) if signs else ""


def _note(project: Project, data: Mapping[str, Any]) -> str:
    """Return the failure's sentence and where the whole story is."""
    note = data["error"] or ""
    if data["log"]:
        log = Path(data["log"])
        inside = log.is_relative_to(project.path)  # and stays true where the project is moved
        place = f"{log.relative_to(project.path).as_posix()} in the project" if inside else log
        note += f" Log: {place}"
    return as_text(note)


def _read_network(folder: Path) -> dict[str, Any]:
    """Return what the round's network is built from, so that a resumed round builds the same."""
    try:
        known = json.loads((folder / MANIFEST).read_text(encoding="utf-8")).get("network")
        return known or json.loads((folder / _OLD_NETWORK).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ProjectFormatError(
            f"The description of the round's network in {folder} is missing or damaged ({error}). "
            "Start a new round."
        ) from error
