"""Predictions under way: asked for, overtaken, stored, or dropped because they come too late."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from napari_semimoe.core.errors import JobError, SemiMoEError, SettingsError, StorageError
from napari_semimoe.core.settings import PredictSettings
from napari_semimoe.core.states import JobState
from napari_semimoe.jobs import Engine
from napari_semimoe.project.predictions import NewPrediction
from napari_semimoe.project.project import Project
from napari_semimoe.session.events import SessionEvents
from napari_semimoe.session.models import NO_MODEL, Model
from napari_semimoe.session.queue import is_open

#: Priorities: the tile on the screen, the tiles that come next, all the others.
URGENT, AHEAD, SWEEP = 10, 0, -10
#: Project settings: how predictions were made last, and since when.
_MADE_WITH, _SINCE = "predictions_made_with", "predictions_since"


@dataclass(frozen=True, slots=True)
class _Request:
    tile_id: int
    um_per_px: float
    generation: int
    model: str
    out: Path
    priority: int


class PredictionDesk:
    """Asks the engine for predictions and stores the answers in the project.

    A generation is one project with one model and one set of settings. Answers of an older
    generation are dropped, so a late prediction never replaces a newer one.
    """

    def __init__(self, engine: Engine, events: SessionEvents) -> None:
        self.settings = PredictSettings()
        self.device: str | None = None  # as the worker said with its last answer
        self._engine = engine
        self._events = events
        self._lock = threading.RLock()
        self._project: Project | None = None
        self._model: Model | None = None
        self._generation = 0
        self._requests: dict[str, _Request] = {}
        self._coming: dict[int, str] = {}  # tile -> its job of this generation
        self._swept: set[int] = set()  # asked for with all others, and not come yet
        self._settings_noted = False  # in the project, as what this generation is made with
        self._failed: set[int] = set()  # tried in this generation; again only when urgent

    @property
    def is_idle(self) -> bool:
        """Whether no prediction is under way."""
        with self._lock:
            return not self._requests

    def use(self, project: Project | None, model: Model | None) -> None:
        """Begin a generation: what is under way for the old one is cancelled."""
        with self._lock:
            self._generation += 1
            self._project, self._model = project, model
            self._coming.clear()
            self._swept.clear()
            self._failed.clear()
            self._settings_noted = False
            for job_id in list(self._requests):
                self._engine.cancel(job_id)

    def use_settings(self, settings: PredictSettings) -> None:
        """Begin a generation with other settings."""
        with self._lock:
            self.settings = settings
            self.use(self._project, self._model)

    def is_fresh(self, tile_id: int) -> bool:
        """Whether the tile's stored prediction is of the model in charge."""
        with self._lock:
            if self._project is None or self._model is None:
                return False
            if not self._settings_noted:  # not at opening: who only exports has others' settings
                try:
                    _outdate_if_changed(self._project, self.settings)
                except StorageError:  # a full disk hinders nobody from looking
                    return False
                self._settings_noted = True
            record = self._project.prediction(tile_id)
            return (
                record is not None
                and record.model == self._model.name
                and record.created >= self._project.setting(_SINCE, "")
                and (self._project.path / record.path).exists()
            )

    def want(self, tile_id: int, ahead: Iterable[int]) -> None:
        """Ask for the tile on the screen and the next ones.

        Earlier wishes are withdrawn, except those of a sweep.
        """
        with self._lock:
            wanted = {tile_id, *ahead}
            for job_id, request in list(self._requests.items()):
                overtaken = request.priority > SWEEP and request.tile_id not in wanted
                if overtaken and self._cancel_waiting(job_id) and self._is_swept(request.tile_id):
                    self.request(request.tile_id, SWEEP)
        self.request(tile_id, URGENT)
        for next_id in ahead:
            self.request(next_id, AHEAD)

    def request(self, tile_id: int, priority: int) -> None:
        """Ask for one prediction; an urgent one always ends in ready or failed."""
        with self._lock:
            if self._project is None or (priority < URGENT and tile_id in self._failed):
                return
            if priority == SWEEP:
                self._swept.add(tile_id)
            missing = self._model is None
            fresh = not missing and self.is_fresh(tile_id)
            if not missing and not fresh and not self._is_coming(tile_id, priority):
                self._submit(tile_id, priority)
        if priority == URGENT and missing:
            self._events.prediction_failed.emit(tile_id, NO_MODEL)
        elif priority == URGENT and fresh:
            self._events.prediction_ready.emit(tile_id)

    def finish(self, job_id: str, data: Mapping[str, Any]) -> bool:
        """Take an answer; False when the job is not ours."""
        with self._lock:
            request = self._requests.pop(job_id, None)
            project, generation = self._project, self._generation
            if request is not None and self._coming.get(request.tile_id) == job_id:
                del self._coming[request.tile_id]
        if request is None:
            return False
        current = project is not None and request.generation == generation
        if current and data["state"] is not JobState.CANCELLED:
            self._swept.discard(request.tile_id)
        if not current or data["state"] is not JobState.DONE:
            shutil.rmtree(request.out, ignore_errors=True)
            if current and data["state"] is not JobState.CANCELLED:
                self._fail(request.tile_id, str(data["error"]))
            return True
        assert project is not None
        if project.tile(request.tile_id).um_per_px == request.um_per_px:
            self._store(project, request, data["result"])
        else:  # corrected meanwhile
            shutil.rmtree(request.out, ignore_errors=True)
            self.request(request.tile_id, request.priority)
        return True

    def _store(self, project: Project, request: _Request, result: Mapping[str, Any]) -> None:
        self.device = result["device"]
        try:
            new = NewPrediction(
                path=request.out,
                model=request.model,
                disagreement=result["disagreement"],
                foreground=result["foreground"],
                gates=result["gates"],
                expert_names=tuple(result["expert_names"]),
            )
            project.add_prediction(request.tile_id, new)
        except SemiMoEError as error:
            shutil.rmtree(request.out, ignore_errors=True)
            self._fail(request.tile_id, str(error))
        else:
            self._events.prediction_ready.emit(request.tile_id)

    def _fail(self, tile_id: int, sentence: str) -> None:
        with self._lock:
            self._failed.add(tile_id)
        self._events.prediction_failed.emit(tile_id, sentence)

    def _is_coming(self, tile_id: int, priority: int) -> bool:
        """Whether the tile is asked for already; a waiting lesser wish makes way."""
        job_id = self._coming.get(tile_id)
        if job_id is None:
            return False
        return self._requests[job_id].priority >= priority or not self._cancel_waiting(job_id)

    def _cancel_waiting(self, job_id: str) -> bool:
        try:
            if self._engine.status(job_id).state is not JobState.QUEUED:
                return False
        except JobError:  # it ended long ago, among many, and its answer is not heard yet
            return False
        self._engine.cancel(job_id)
        tile_id = self._requests[job_id].tile_id
        if self._coming.get(tile_id) == job_id:
            del self._coming[tile_id]
        return True

    def _is_swept(self, tile_id: int) -> bool:
        """Whether a sweep asked for a tile that still waits for a person."""
        project = self._project
        return project is not None and tile_id in self._swept and is_open(project.tile(tile_id))

    def _submit(self, tile_id: int, priority: int) -> None:
        assert self._project is not None
        assert self._model is not None
        out = self._project.new_prediction_path()
        image = self._project.image_source(tile_id)
        payload = {
            "weights": self._model.weights,
            "image": image,
            "out": out,
            "settings": self.settings.model_dump(mode="json"),
            "classes": list(self._project.classes),
        }
        job_id = self._engine.submit("predict", payload, priority=priority)
        self._requests[job_id] = _Request(
            tile_id,
            image["um_per_px"],
            self._generation,
            self._model.name,
            out,
            priority,
        )
        self._coming[tile_id] = job_id


def made_with(project: Project) -> PredictSettings:
    """Return how a project's predictions were made last, on whatever device is there."""
    try:
        return PredictSettings.parse(project.setting(_MADE_WITH) or {})
    except SettingsError:  # of another version
        return PredictSettings()


def _outdate_if_changed(project: Project, settings: PredictSettings) -> None:
    """Let predictions that were made with other settings count as outdated."""
    made_with = settings.model_dump(mode="json", exclude={"device"})
    before = project.setting(_MADE_WITH)
    if before == made_with:
        return
    if before is not None:
        project.set_setting(_SINCE, datetime.now(UTC).isoformat(timespec="milliseconds"))
    project.set_setting(_MADE_WITH, made_with)
