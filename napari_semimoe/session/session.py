"""What a person can do: open, predict, correct, accept, retrain, promote, export."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Unpack

import numpy as np
from numpy.typing import NDArray
from psygnal import EmitLoopError

from napari_semimoe.core.errors import ProjectError, SemiMoEError
from napari_semimoe.core.settings import ModelSettings, PredictSettings, RoundSettings
from napari_semimoe.core.states import Pool, RoundState
from napari_semimoe.core.values import USUAL_CLASSES
from napari_semimoe.jobs import Engine, JobReport
from napari_semimoe.project.export import ExportKind, export_project
from napari_semimoe.project.exporting import ExportReport, HowToExport
from napari_semimoe.project.folder import project_folder, read_description
from napari_semimoe.project.patients import Named
from napari_semimoe.project.project import Project
from napari_semimoe.project.records import AddReport, AnnotationRecord, RoundRecord, TileRecord
from napari_semimoe.session.events import SessionEvents
from napari_semimoe.session.keeper import go_on_with_kept, note_kept, start_keeper, take_back
from napari_semimoe.session.lineage import name_round, note_round
from napari_semimoe.session.models import (
    NO_STARTER,
    Model,
    lost_weights,
    model_in_charge,
    origin_of,
    round_of,
    starter_model,
)
from napari_semimoe.session.plan import (
    DEVICE_TEXTS,
    FROM_CURRENT,
    RoundPlan,
    make_plan,
    network_for,
    refuse_without_labels,
    starting_point,
)
from napari_semimoe.session.predictions import SWEEP, URGENT, PredictionDesk
from napari_semimoe.session.queue import QueueOrder, TileQueue
from napari_semimoe.session.rounds import RoundDesk
from napari_semimoe.session.start_from import StartFrom, keep_inside

#: Stands for the model of a tile's latest mask or prediction.
LATEST = "latest"
#: Tiles that are predicted before the person gets there.
AHEAD_COUNT = 3
#: Seconds that a round may take to save itself when the project is closed.
_CLOSING_SECONDS = 3.0


class Session(SessionEvents):
    """One person at work on one project; shared by the window and the command line.

    Calls that write (`accept`, `add_folder`, `export`) may come from a worker thread. Signals
    are emitted in the thread in which the thing happened.

    Parameters
    ----------
    engine
        Does the heavy work; not closed by the session.
    author
        Name in the annotations; the project's own author when None.

    Attributes
    ----------
    round_goes_on
        Whether a round that is under way when the project is closed goes on without a window.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        author: str | None = None,
    ) -> None:
        self.engine = engine
        self.author = author
        self.project: Project | None = None
        self.round_goes_on = False
        self._model: Model | None = None
        self._queue = TileQueue()
        self._own_failures = engine.failure_dir
        self._pump = threading.RLock()
        self._unheard: deque[JobReport] = deque()
        self._predictions = PredictionDesk(engine, self)
        self._rounds = RoundDesk(engine, self)

    # -- the project ---------------------------------------------------------------------------

    def new(
        self,
        path: Path,
        classes: Sequence[str] = USUAL_CLASSES,
        *,
        name: str | None = None,
    ) -> Project:
        """Create a project in an empty or new folder and open it."""
        made = Project.create(path, classes=tuple(classes), author=self.author, name=name)
        return self._change_to(made)

    def open(self, path: Path, *, take_over: bool = False) -> Project:
        """Open a project; the tile and the order of last time come back.

        Parameters
        ----------
        take_over
            Whether a round that goes on without a window is taken over, to go on here.
        """
        folder = project_folder(Path(path))
        read_description(folder)  # refuses what is no project
        if self.project and self.project.path.resolve() == folder.resolve():
            self.close()  # only one of the two can write
        if take_over:
            take_back(folder)
        project = self._change_to(Project.open(folder))
        if take_over:
            go_on_with_kept(self)
        return project

    def close(self) -> None:
        """Close the project. A round under way stops and can be resumed, or goes on by itself."""
        project = self.project
        if project is None:
            return
        left = self._rounds.leave(_CLOSING_SECONDS)
        self.process()  # writes down how the round ended
        self._rounds.forget_end()
        if left is not None and not (self.round_goes_on and _is_paused(project, left)):
            left = None
        if left is not None:
            note_kept(project, left)
        with self._pump:
            self._predictions.use(None, None)
            self._queue.use(None)
            self.project = self._model = None
        self.engine.failure_dir = self._own_failures
        project.close()
        if left is not None:
            start_keeper(Path(project.path), left, self.engine.environment)
            self.round_left.emit(left)

    def add_folder(self, folder: Path, **options: Any) -> AddReport:
        """Add a folder of images; options as of `Project.add_folder`."""
        return self._adding(partial(self._open_project().add_folder, folder, **options))

    def add_files(self, paths: Sequence[Path], **options: Any) -> AddReport:
        """Add images; options as of `Project.add_files`."""
        return self._adding(partial(self._open_project().add_files, paths, **options))

    def _adding(self, add: Callable[[], AddReport]) -> AddReport:
        try:
            report = add()
            if report.rescaled:
                self._rescaled()
            else:
                self._predict_again()  # of which the queue's order knows nothing yet
            return report
        finally:
            self.tiles_changed.emit()  # also of those before one that the disk refused

    def export(
        self, out: Path, kind: ExportKind = "ome-zarr", **how: Unpack[HowToExport]
    ) -> ExportReport:
        """Write curated masks, all or those of ``tiles``; returns what was written."""
        return export_project(self._open_project(), Path(out), kind, **how)

    # -- the queue -----------------------------------------------------------------------------

    @property
    def queue_order(self) -> QueueOrder:
        """``disagreement`` (where the experts disagree most first) or ``name``."""
        return self._queue.order

    @queue_order.setter
    def queue_order(self, order: QueueOrder) -> None:
        self._queue.sort_by(order)
        self.tiles_changed.emit()

    @property
    def current_tile(self) -> int | None:
        """The tile that the person is at."""
        return self._queue.current

    def tiles(self) -> list[TileRecord]:
        """Return all tiles in queue order."""
        return self._queue.tiles()

    def select(self, tile_id: int) -> None:
        """Go to a tile: it is predicted if need be, and then the next ones."""
        self._open_project().tile(tile_id)  # refuses an unknown one in words
        self._queue.go_to(tile_id)
        self._want(tile_id)

    def next_tile(self) -> int | None:
        """Return the next tile without a mask, in queue order; None when all are done."""
        return next(iter(self._queue.upcoming(1)), None)

    def previous_tile(self) -> int | None:
        """Return the tile looked at before, else the one before in the queue."""
        return self._queue.previous()

    def accept(
        self,
        tile_id: int,
        labels: NDArray[np.integer[Any]],
        baseline: NDArray[np.integer[Any]] | None = None,
        *,
        seconds: float | None = None,
        classes: Mapping[int, int] | None = None,
        baseline_classes: Mapping[int, int] | None = None,
        model: str | None = LATEST,
    ) -> AnnotationRecord:
        """Store a curated mask as a new version; the tile joins the pool.

        Parameters
        ----------
        labels
            ``(H, W)`` instance ids.
        baseline
            What was shown before the person began; tells which pixels they changed.
        seconds
            Time spent on the tile; since it was selected when None.
        classes
            Class of each instance id; absent ids are class 1.
        baseline_classes
            The same of what was shown; tells whether they changed one.
        model
            Whose suggestion the person began with, None for nobody's; when it is not said, that
            of the version before, else that of the latest prediction.

        Raises
        ------
        StorageError
            If the disk refuses; everything accepted before is safe.
        """
        project = self._open_project()
        if model == LATEST:
            model, number = origin_of(project, tile_id)
        else:
            number = round_of(model)
        record = project.accept(
            tile_id,
            labels,
            baseline=baseline,
            baseline_classes=baseline_classes,
            author=self.author,
            model=model,
            round=number,
            classes=dict(classes or {}),
            seconds=self._queue.spent(tile_id) if seconds is None else seconds,
        )
        self.tiles_changed.emit()
        return record

    def exclude(self, tile_id: int) -> None:
        """Take a tile out of everything."""
        self.set_pool(tile_id, Pool.EXCLUDED)

    def set_pool(self, tile_id: int, pool: Pool) -> None:
        """Move a tile to another pool, as the person decides."""
        self._open_project().set_pool(tile_id, pool)
        self.tiles_changed.emit()

    def set_patient(self, tile_ids: Sequence[int], patient: str | None) -> Named:
        """Say of which patient the images of tiles are; None: of an unknown one."""
        named = self._open_project().set_patient(tile_ids, patient)
        self.tiles_changed.emit()
        return named

    def set_um_per_px(self, tile_ids: Sequence[int], um_per_px: float) -> int:
        """Correct how large a pixel is; return the number of images that had another size.

        What was predicted at the wrong scale is predicted again.
        """
        changed = self._open_project().set_um_per_px(tile_ids, um_per_px)
        if changed:
            self._rescaled()
            self.tiles_changed.emit()
        return changed

    def _rescaled(self) -> None:
        """Forget predictions under way: they are made at a wrong scale."""
        self._predictions.use(self.project, self._model)
        self._predict_again()

    # -- predictions ---------------------------------------------------------------------------

    @property
    def weights(self) -> Path | None:
        """Checkpoint that makes the predictions."""
        return self._model.weights if self._model else None

    @property
    def model_name(self) -> str | None:
        """Name of the model that makes the predictions."""
        return self._model.name if self._model else None

    @property
    def device_text(self) -> str:
        """Where the work runs, as the worker last said; empty before it said so."""
        return DEVICE_TEXTS.get(self._predictions.device or "", "")

    @property
    def predict_settings(self) -> PredictSettings:
        """How tiles are predicted."""
        return self._predictions.settings

    def set_predict_settings(self, settings: PredictSettings) -> None:
        """Predict otherwise from now on; stored predictions are made anew when needed."""
        self._predictions.use_settings(settings)
        self._predict_again()

    def request_prediction(self, tile_id: int) -> None:
        """Ask for a tile's prediction, unless the present one is of the model in charge."""
        self._predictions.request(tile_id, URGENT)

    def is_predicted(self, tile_id: int) -> bool:
        """Whether a tile's prediction is of the model in charge."""
        return self._predictions.is_fresh(tile_id)

    def predict_all(self) -> None:
        """Ask for every tile that waits for a person, after anything more urgent."""
        for tile_id in self._queue.upcoming():
            self._predictions.request(tile_id, SWEEP)

    # -- rounds --------------------------------------------------------------------------------

    @property
    def running_round(self) -> int | None:
        """Number of the round under way."""
        return self._rounds.number

    def round_plan(self, settings: RoundSettings, start: StartFrom = FROM_CURRENT) -> RoundPlan:
        """Return what `start_round` would do."""
        return make_plan(self._open_project(), self._model, settings, self.device_text, start)

    def start_round(
        self,
        settings: RoundSettings,
        *,
        model: ModelSettings | None = None,
        start: StartFrom = FROM_CURRENT,
    ) -> int:
        """Train in the background and return the round's number.

        Parameters
        ----------
        settings
            Of the round.
        model
            Network to build from nothing, or around the encoder that ``start`` names; None
            begins as ``start`` says, or builds the default network where that is nothing.
        start
            What to begin from; a file from elsewhere is copied into the project.
        """
        project = self._open_project()
        self._note_end(self._rounds.store_end())  # the disk may have refused it before
        refuse_without_labels(project)
        is_given = model is not None and not model.awaits_encoder
        base = None if is_given else starting_point(project, self._model, start)
        network = model if model is not None else network_for(project, base, start)
        settings = settings.with_learning_rate(learns_on=network.learns_on(base))
        base = keep_inside(project, base)
        return self._rounds.start(project, settings, network, base)

    def resume_round(self, number: int) -> None:
        """Go on with an interrupted or cancelled round."""
        project = self._open_project()
        self._note_end(self._rounds.store_end())
        self._rounds.resume(project, number)

    def pause_round(self) -> None:
        """Ask the round to stop and keep what it learned; `resume_round` goes on with it."""
        self._rounds.pause()

    def cancel_round(self) -> None:
        """Ask the round to stop; asked again after five seconds, its process is ended."""
        self._rounds.cancel()

    def promote(self, number: int) -> None:
        """Put a round's model in charge, also an older one (the way back)."""
        self._open_project().models.promote(number)
        self._use_model_in_charge()

    def promote_starter(self) -> None:
        """Put the starter model in charge again, whatever was promoted since."""
        project = self._open_project()
        if starter_model() is None:
            raise ProjectError(NO_STARTER)
        project.models.promote_starter()
        self._use_model_in_charge()

    def roll_back(self) -> None:
        """Put the model in charge that was it before the present one; twice: the present one."""
        before = self._open_project().models.before()
        if before is None:
            self.promote_starter()
        else:
            self.promote(before.number)

    def name_round(self, number: int, name: str) -> None:
        """Keep what the person calls a round; an empty name is forgotten."""
        name_round(self._open_project(), number, name)

    def note_round(self, number: int, note: str) -> None:
        """Keep what the person wrote about a round; an empty note is forgotten."""
        note_round(self._open_project(), number, note)

    # -- the pump ------------------------------------------------------------------------------

    def process(self) -> None:
        """Take what background work reported, store it and tell the listeners; never blocks."""
        broken: EmitLoopError | None = None
        with self._pump:
            self._unheard.extend(self.engine.poll())
            while self._unheard:  # what Ctrl+C leaves behind is heard the next time
                try:
                    self._hear(self._unheard.popleft())
                except SemiMoEError as error:
                    self.failed.emit(str(error))
                except EmitLoopError as error:  # a listener's fault must not lose the others
                    broken = broken or error
        if broken is not None:
            raise broken

    def wait_idle(self, timeout: float) -> bool:
        """Pump until no work is under way; False when ``timeout`` seconds passed first."""
        end = time.monotonic() + timeout
        self.process()
        while not self._predictions.is_idle or self.running_round is not None:
            left = end - time.monotonic()
            if left <= 0:
                return False
            self.engine.wait(left)
            self.process()
        return True

    def _hear(self, report: JobReport) -> None:
        if report.name == "finished" and self._predictions.finish(report.job_id, report.data):
            return
        self._note_end(self._rounds.hear(report))

    def _note_end(self, ended: RoundRecord | None) -> None:
        if ended is None:
            return
        if ended.state is RoundState.PROMOTED:
            self._use_model_in_charge()
        self.round_finished.emit(ended)
        if ended.note and ended.state in (RoundState.FAILED, RoundState.INTERRUPTED):
            self.failed.emit(ended.note)

    # -- helpers -------------------------------------------------------------------------------

    def _change_to(self, project: Project) -> Project:
        """Close the project that is open, now that the other one could be opened."""
        try:
            self.close()
        except BaseException:
            project.close()
            raise
        try:
            return self._restore(project)
        except BaseException:
            self.close()
            raise

    def _restore(self, project: Project) -> Project:
        self.project = project
        self.engine.failure_dir = Path(project.path) / "logs"
        self._queue.use(project)
        self._load_model_in_charge()
        self.tiles_changed.emit()
        if lost := lost_weights(project):
            self.failed.emit(lost)
        return project

    def _load_model_in_charge(self) -> None:
        self._model = model_in_charge(self._open_project())
        self._predictions.use(self.project, self._model)
        self.weights_changed.emit()

    def _use_model_in_charge(self) -> None:
        self._load_model_in_charge()
        self._predict_again()

    def _predict_again(self) -> None:
        if self._model is None or self.current_tile is None:
            return
        self._want(self.current_tile)

    def _want(self, tile_id: int) -> None:
        self._predictions.want(tile_id, self._queue.upcoming(AHEAD_COUNT))
        if self.queue_order == "disagreement" and self._model is not None:
            self.predict_all()  # the order knows only tiles that are predicted

    def _open_project(self) -> Project:
        if self.project is None:
            raise ProjectError("No project is open. Create one or open one first.")
        return self.project


def _is_paused(project: Project, number: int) -> bool:
    return project.round(number).state is RoundState.INTERRUPTED
