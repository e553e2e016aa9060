"""The project on the bench: opening it, its list of tiles, its rounds; no widgets in here."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from platformdirs import user_data_dir
from qtpy.QtCore import QObject, Qt, Signal, Slot

from napari_semimoe.core.errors import ImageReadError, ProjectError
from napari_semimoe.core.states import Pool
from napari_semimoe.gui.bridge import Background
from napari_semimoe.gui.desk import Desk
from napari_semimoe.gui.preferences import (
    PreferenceWatch,
    preferred_author,
    preferred_order,
    preferred_prediction,
)
from napari_semimoe.gui.relay import SessionRelay
from napari_semimoe.gui.tile_layers import TileLayers
from napari_semimoe.project.masks import MaskKind
from napari_semimoe.project.records import AddReport, counted
from napari_semimoe.session.demo import open_demo_project
from napari_semimoe.session.models import NO_MODEL

if TYPE_CHECKING:
    import napari

    from napari_semimoe.project.project import Project
    from napari_semimoe.session.queue import QueueOrder
    from napari_semimoe.session.session import Session

logger = logging.getLogger(__name__)

_T = TypeVar("_T")


class Workbench(QObject):
    """Everything the panel shows and forwards.

    Parameters
    ----------
    viewer
        Where the layers of the active tile live.
    session
        What a person can do.
    on_close
        Called last at the end, to close what the session stands on.
    log
        File with the whole story behind what the panel says.

    Attributes
    ----------
    project_leaving
        The project is about to be closed, unless its strokes have no place. What is asked for
        from here on is refused once another one is open.
    project_changed
        A project was opened or closed, or could not be.
    classes_changed
        The open project has a class more, or one has another name.
    tiles_listed
        Records of all tiles, in queue order.
    said
        A sentence for the person.
    failed
        A sentence about what went wrong.
    scale_missing
        Paths that could not be added because nobody knows how large a pixel is, the project, and
        the kind of their masks.
    """

    project_leaving = Signal()
    project_changed = Signal()
    classes_changed = Signal()
    tiles_listed = Signal(object)
    said = Signal(str)
    failed = Signal(str)
    scale_missing = Signal(object, object, object)

    def __init__(
        self,
        viewer: napari.Viewer,
        session: Session,
        *,
        on_close: Callable[[], None] = lambda: None,
        log: Path | None = None,
    ) -> None:
        super().__init__()
        self.viewer = viewer
        self.session = session
        self.background = Background(self)
        # Adding and exporting may take minutes; they must not hold up the next tile.
        self.long_work = Background(self)
        self.relay = SessionRelay(session, self)
        self.desk = Desk(session, self.background, TileLayers(viewer), self)
        self._on_close = on_close
        self.log = log
        self._preferences: PreferenceWatch | None = None
        self._open = True
        self._listing = False
        self._processing = False
        self._changes = 0  # of the project, asked for and not done
        self._connect()

    def _connect(self) -> None:
        relay, desk = self.relay, self.desk
        self.background.failed.connect(self.failed)
        self.long_work.failed.connect(self.failed)
        desk.said.connect(self.said)
        desk.decided.connect(self.said)
        desk.refused.connect(self.failed)
        relay.failed.connect(self.failed)
        relay.engine_woke.connect(self._on_engine_woke, Qt.ConnectionType.QueuedConnection)
        relay.tiles_changed.connect(self.list_tiles)
        self.tiles_listed.connect(desk.heed_pools)
        self.classes_changed.connect(desk.show_classes)
        relay.prediction_ready.connect(desk.refresh_prediction)
        relay.prediction_ready.connect(self.list_tiles)
        relay.prediction_failed.connect(self._on_prediction_failed)

    def heed_preferences(self) -> None:
        """Follow napari's Preferences from now on."""
        if self._preferences is None:
            self._preferences = PreferenceWatch(self.heed_preferences)
        self.session.author = preferred_author()
        wanted = preferred_prediction()

        def use() -> None:
            if wanted != self.session.predict_settings:  # as earlier wishes have left them
                self.session.set_predict_settings(wanted)

        self.background.run(use)

    # -- the project --------------------------------------------------------------------------

    @property
    def has_project(self) -> bool:
        """Whether a project is open."""
        return self.session.project is not None

    @property
    def is_changing_project(self) -> bool:
        """Whether the project is being left for another one, or for none."""
        return self._changes > 0

    @property
    def project_name(self) -> str:
        """Name of the open project, empty without one."""
        project = self.session.project
        return "" if project is None else project.name

    def new_project(self, path: Path, classes: Sequence[str]) -> None:
        """Create a project in an empty folder and open it."""
        order = preferred_order()

        def work() -> None:
            self.session.new(path, classes=tuple(classes))
            self.session.queue_order = order

        self._change_project(work, f"Creating {path.name}")

    def open_project(self, path: Path) -> None:
        """Open a project folder and put its last tile on the desk."""
        self._change_project(
            lambda: self.session.open(path, take_over=True), f"Opening {path.name}"
        )

    def open_demo(self) -> None:
        """Open the demo project, filling it with tissue on first use."""
        folder = Path(user_data_dir("napari-semimoe", appauthor=False)) / "demo"

        def work() -> None:
            at_work = self.background
            open_demo_project(
                self.session, folder, progress=at_work.report, should_stop=at_work.should_stop
            )

        self._change_project(work, "Opening the demo project")

    def close_project(self) -> None:
        """Close the project; strokes that were not accepted are kept as drafts."""
        self._change_project(self.session.close, "Closing the project")

    def _change_project(self, work: Callable[[], Any], title: str) -> None:
        self.project_leaving.emit()
        self._changes += 1

        def change() -> None:
            self.session.engine.warm_up()  # its process starts while the project is read
            with self.long_work.held():
                work()

        self.desk.leave(
            lambda: self.background.run(
                change, self._on_project, title=title, otherwise=lambda _: self._on_project()
            ),
            otherwise=self._on_stayed,
        )

    def _on_stayed(self) -> None:
        """Go on with the project: strokes on it could not be kept."""
        self._changes -= 1
        self.project_changed.emit()
        self.list_tiles()

    def _on_project(self, _: Any = None) -> None:
        self._changes -= 1
        if self._changes:  # another project is on its way
            return
        self.project_changed.emit()
        if self.has_project:
            self.list_tiles()
            self._take_first_tile()

    def _take_first_tile(self) -> None:
        def find() -> int | None:
            current = self.session.current_tile
            if current is not None:
                return current
            tiles = self.session.tiles()
            return self.session.next_tile() or (tiles[0].id if tiles else None)

        def take(found: int | None) -> None:
            if found is not None:
                self.desk.select(found)

        self.background.run(find, take)

    def add_images(
        self,
        paths: Sequence[Path],
        um_per_px: float | None = None,
        mask_kind: MaskKind = "instances",
    ) -> None:
        """Copy image files, or folders of them with their masks, into the project.

        Parameters
        ----------
        paths
            Files and folders.
        um_per_px
            Microns per pixel of images that do not say it.
        mask_kind
            Whether masks number the objects or the classes.
        """
        project = self.session.project

        def work() -> list[AddReport]:
            self.refuse_another(project)
            given = {
                "um_per_px_if_silent": um_per_px,
                "mask_kind": mask_kind,
                "progress": self.long_work.report,
                "should_stop": self.long_work.should_stop,
            }
            reports = []
            for path in paths:
                if path.is_dir():
                    try:
                        reports.append(self.session.add_folder(path, **given))
                    except ImageReadError as error:  # the other folders and files are added
                        reports.append(AddReport.of_refused(path.name, str(error)))
            if files := [path for path in paths if not path.is_dir()]:
                reports.append(self.session.add_files(files, **given))
            return reports

        self.long_work.run(
            work,
            lambda reports: self._on_added(project, list(paths), mask_kind, reports),
            title="Adding images",
        )

    def _on_added(
        self,
        project: Project | None,
        paths: list[Path],
        mask_kind: MaskKind,
        reports: list[AddReport],
    ) -> None:
        if self.desk.tile_id is None:
            self._take_first_tile()
        notes = [note for report in reports for note in report.notes]
        if notes:
            logger.info("Noted while adding: %s", notes)
            more = f" ({len(notes) - 1} more notes, see the log.)" if notes[1:] else ""
            notes = [notes[0] + more]
        done = " ".join([*(report.sentence for report in reports), *notes])
        refused = [each for report in reports for each in report.refused]
        if any(report.without_scale for report in reports):
            if any(report.added for report in reports):
                self.said.emit(done)
            self.scale_missing.emit(paths, project, mask_kind)
        elif refused:
            logger.warning("Not added: %s", refused)
            reason, others = refused[0][1], len(refused) - 1
            reason = f"{reason} ({others} more files, see the log.)" if others else reason
            self.failed.emit(f"{done} {reason}")
        else:
            self.said.emit(done)

    def change_classes(self, change: Callable[[Project], None], done: str) -> None:
        """Add or rename a class of the open project, and say that it is ``done``."""
        project = self.session.project
        if project is None:
            return

        def then(_: None) -> None:
            self.classes_changed.emit()
            self.said.emit(done)

        self.write(lambda: change(project), then)

    def refuse_another(self, project: Project | None) -> None:
        """Raise where the project that long work was asked for is no longer the open one."""
        if self.session.project is not project:
            raise ProjectError(
                "Nothing was done: the project was closed before its turn came. Open it and try "
                "again."
            )

    def write(
        self,
        work: Callable[[], _T],
        then: Callable[[_T], None] | None = None,
        *,
        title: str = "",
        otherwise: Callable[[BaseException], None] | None = None,
    ) -> None:
        """Change the open project in the background; if it is another by then, refuse.

        Parameters are those of `Background.run`.
        """
        project = self.session.project

        def write() -> _T:
            self.refuse_another(project)
            return work()

        self.background.run(write, then, title=title, otherwise=otherwise)

    def read(
        self,
        work: Callable[[Project], _T],
        then: Callable[[_T], None],
        otherwise: Callable[[BaseException], None] | None = None,
    ) -> None:
        """Read from the open project in the background; if it is closed meanwhile, never mind.

        Parameters
        ----------
        work
            Runs in the worker thread, as of `Background.run`.
        then
            Hears the result in the window's thread.
        otherwise
            Hears the error there.
        """
        project = self.session.project
        if project is None:
            return

        def read() -> Any:
            return work(project) if self.session.project is project else None

        def arrive(found: Any) -> None:
            if self.session.project is project:  # then it was so when it was read, too
                then(found)

        self.background.run(read, arrive, otherwise=otherwise)

    # -- tiles --------------------------------------------------------------------------------

    @Slot()
    @Slot(int)
    def list_tiles(self, _: int = 0) -> None:
        """Read the list of tiles again; many calls in a row cost one reading."""
        if self._listing or not self.has_project:
            return
        self._listing = True

        def read() -> Any:
            self._listing = False
            return self.session.tiles() if self.session.project is not None else []

        self.background.run(read, self.tiles_listed.emit)

    def predict(self) -> None:
        """Ask for a prediction of the tile on the desk by the model in use."""
        tile_id, project = self.desk.tile_id, self.session.project

        def work() -> bool:
            if self.session.project is not project or tile_id is None:
                return False
            is_known = self.session.is_predicted(tile_id)
            self.session.request_prediction(tile_id)
            return is_known

        def told(is_known: bool) -> None:
            if is_known:
                self.said.emit("The model in use has predicted this tile already.")

        if self.session.weights is None:
            self.failed.emit(NO_MODEL)
        elif tile_id is not None:
            self.background.run(work, told)

    def expect_round(self) -> None:
        """Let the process that trains start now: it takes seconds until it can."""
        self.background.run(lambda: self.session.engine.warm_up("train"))

    def set_queue_order(self, order: QueueOrder) -> None:
        """Let 'next' follow the doubt of the experts, or the names."""

        def work() -> None:
            if self.session.project is not None and self.session.queue_order != order:
                self.session.queue_order = order

        self.background.run(work)

    def set_pool(self, tile_ids: Sequence[int], pool: Pool) -> None:
        """Move tiles to another pool by the person's decision."""

        def work() -> None:
            for tile_id in tile_ids:
                self.session.set_pool(tile_id, pool)

        self.write(work)

    def set_patient(self, tile_ids: Sequence[int], patient: str | None) -> None:
        """Say of which patient the images are that tiles are of."""
        self.write(
            lambda: self.session.set_patient(tile_ids, patient),
            lambda named: self.said.emit(named.sentence),
        )

    def set_um_per_px(self, tile_ids: Sequence[int], um_per_px: float) -> None:
        """Correct how large a pixel is of the images that tiles are of."""

        def work() -> tuple[int, set[int]]:
            changed = self.session.set_um_per_px(tile_ids, um_per_px)
            tiles = {tile.id: tile.image_id for tile in self.session.tiles()}
            return changed, {tiles[tile_id] for tile_id in tile_ids}

        def arrive(found: tuple[int, set[int]]) -> None:
            changed, images = found
            self.said.emit(f"The pixel size of {counted(changed, 'image')} was corrected.")
            view = self.desk.view
            if changed and view is not None and view.tile.image_id in images:
                self.desk.read_again()

        self.write(work, arrive)

    def _on_prediction_failed(self, tile_id: int, sentence: str) -> None:
        if self.session.weights is not None:  # without a model the header says what to do
            self.failed.emit(sentence)

    # -- life ---------------------------------------------------------------------------------

    @Slot()
    def _on_engine_woke(self) -> None:
        # Processing writes to the disk, so it runs with the other slow work; what it emits
        # comes back through the relay. Wakes that come meanwhile cost one more pass.
        if self._open and not self._processing:
            self._processing = True
            self.background.run(self._process)

    def _process(self) -> None:
        self._processing = False
        self.session.process()

    def close(self) -> None:
        """End everything: keep drafts, finish writing, close project, stop child processes."""
        if not self._open:
            return
        self._open = False
        if self._preferences is not None:
            self._preferences.close()
        with ExitStack() as last_first:  # each is closed, whatever happens to the others
            last_first.callback(self._on_close)
            last_first.callback(self.session.close)
            last_first.callback(self.relay.close)
            last_first.callback(self.background.close)
            last_first.callback(self.long_work.close)
            last_first.callback(self.desk.close)
