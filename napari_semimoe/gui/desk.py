"""The tile on the desk: open it, paint on it, keep its strokes, accept it, take the next."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels
from numpy.typing import NDArray
from qtpy.QtCore import QObject, Signal, Slot

from napari_semimoe.core.errors import SemiMoEError
from napari_semimoe.core.states import Pool
from napari_semimoe.core.values import IGNORE, MAX_INSTANCE, USUAL_CLASSES
from napari_semimoe.gui.bridge import Background
from napari_semimoe.gui.effort import EffortClock
from napari_semimoe.gui.painted import Painted, StartOver
from napari_semimoe.gui.tile_layers import TileLayers
from napari_semimoe.gui.tile_view import Start, TileView, read_tile_view
from napari_semimoe.gui.widgets import single_shot
from napari_semimoe.project.drafts import drop_draft, write_draft
from napari_semimoe.session.queue import is_open

if TYPE_CHECKING:
    from napari_semimoe.project.records import TileRecord
    from napari_semimoe.session.session import Session

#: Unaccepted strokes are stored this long after the first that is not.
AUTOSAVE_MS = 1500
_VALIDATES = " It is one of those that judge new models, and never teaches."
ALL_REVIEWED = "Every tile of the queue is reviewed."


class Desk(QObject):
    """The active tile and its layers.

    Parameters
    ----------
    session
        What a person can do; slow calls go through ``background``.
    background
        The worker thread.
    layers
        The napari layers of the active tile.

    Attributes
    ----------
    tile_shown
        The `TileView` on the desk, or ``None`` when it was cleared.
    tile_moving
        Another tile is about to take the place of the one that was shown.
    edited
        The mask under the brush changed.
    said
        A sentence of the tile on the desk that is not an error.
    refused
        A sentence on why something was not done with it.
    decided
        A sentence of a tile that the person is done with; it is true on the next one, too.
    """

    tile_shown = Signal(object)
    tile_moving = Signal()
    edited = Signal()
    said = Signal(str)
    refused = Signal(str)
    decided = Signal(str)

    def __init__(
        self, session: Session, background: Background, layers: TileLayers, parent: QObject
    ) -> None:
        super().__init__(parent)
        self._session = session
        self._background = background
        self.layers = layers
        self.clock = EffortClock()
        self.view: TileView | None = None
        self._classes: dict[int, int] = {}
        self._start_over = StartOver()
        self._requested: int | None = None
        self._accepting: Painted | None = None  # what is being stored
        self._read_last: tuple[int, int | None] | None = None  # tile and prediction
        self._draft_on_disk = False
        self._draft_refused = False  # by the disk: the strokes are only here
        self._highest_id = 0  # of all glands of the tile so far
        self._autosave = single_shot(self, AUTOSAVE_MS, self.keep_draft)
        self._first_view: TileView | None = None
        self._making = single_shot(self, 0, self._make_next_layer)
        layers.on_new_labels_layer = self._watch

    # -- what is on the desk ------------------------------------------------------------------

    @property
    def tile_id(self) -> int | None:
        """Id of the tile on the desk."""
        return None if self.view is None else self.view.tile.id

    @property
    def wanted_id(self) -> int | None:
        """Id of the tile that was asked for last; it may still be on its way."""
        return self._requested

    @property
    def labels(self) -> NDArray[np.uint16] | None:
        """The mask as it stands under the brush."""
        return None if self.view is None else self.layers.labels

    @property
    def changed_px(self) -> int:
        """Pixels that differ from what the work on the tile began with."""
        labels = self.labels
        if labels is None or self.view is None:
            return 0
        return int(np.count_nonzero(labels != self.view.begun.labels))

    @property
    def has_strokes(self) -> bool:
        """Whether there is work that accepting would store and leaving would keep as draft."""
        labels = self.labels
        if labels is None or self.view is None:
            return False
        if not np.array_equal(labels, self.view.stored.labels):
            return True
        before = self.view.stored.classes
        ids = {*before, *self._classes}
        # A gland whose stroke was undone left its class behind; that is no work.
        return any(self.class_of(each) != before.get(each, 1) and each in labels for each in ids)

    @property
    def class_names(self) -> tuple[str, ...]:
        """Classes of the project, background first."""
        project = self._session.project
        return USUAL_CLASSES if project is None else tuple(project.classes)

    # -- taking a tile ------------------------------------------------------------------------

    def select(self, tile_id: int) -> None:
        """Put a tile on the desk; strokes on the previous one are kept as its draft."""
        if tile_id == self._requested and tile_id != self.tile_id:
            return  # it is on its way; read twice, it would take what is painted in between
        self.put_away()
        self._requested = tile_id
        self._load(tile_id, lambda: self._session.select(tile_id))

    def read_again(self) -> None:
        """Read the tile on the desk again, unless the person has moved on meanwhile."""
        if self.tile_id is not None and self.tile_id == self._requested:
            self.select(self.tile_id)

    def take_next(self) -> None:
        """Put the next tile that waits for review on the desk."""
        self._step(self._session.next_tile, self._why_no_next)

    def take_previous(self) -> None:
        """Put the previous tile of the queue on the desk."""
        self._step(self._session.previous_tile, lambda: "This is the first tile of the queue.")

    def _step(self, find: Callable[[], int | None], otherwise: Callable[[], str]) -> None:
        asked_at = self._requested
        if asked_at is None:
            return  # the project is being left

        def work() -> int | str:
            return find() or otherwise()

        def arrive(found: int | str) -> None:
            if self._requested != asked_at:
                return  # the person has moved on meanwhile, perhaps to another project
            if isinstance(found, str):
                self.said.emit(found)
            elif found != self.tile_id:
                self.select(found)

        self.layers.give_up_line()
        self._background.run(work, arrive)

    def _why_no_next(self) -> str:
        project, current = self._session.project, self._session.current_tile
        if project is not None and current is not None and is_open(project.tile(current)):
            return "This is the last tile to review."
        return ALL_REVIEWED

    def refresh_prediction(self, tile_id: int) -> None:
        """Show a prediction that has just arrived, if its tile is on the desk."""
        if tile_id == self._requested:
            self._background.run(lambda: self._read_newer(tile_id), self._show_prediction)

    def _read_newer(self, tile_id: int) -> TileView | None:
        """Read a tile unless its prediction was read already."""
        project = self._session.project
        known = project is not None and (tile_id, project.tile(tile_id).prediction_id)
        return None if known == self._read_last else self._read(tile_id)

    def _load(self, tile_id: int, first: Callable[[], Any]) -> None:
        left = self._mask
        before = left if tile_id == self.tile_id else None

        def work() -> TileView:
            first()
            view = self._read(tile_id)
            if view.prediction is None and view.tile.prediction_id is not None:  # damaged
                self._session.request_prediction(tile_id)
            return view

        def arrive(view: TileView) -> None:
            if self.tile_id == tile_id:
                take(view)
            elif tile_id == self._requested:
                self._once_kept(left, lambda: take(view))

        def take(view: TileView) -> None:
            if tile_id != self._requested:
                return  # the person has moved on meanwhile
            if self._draft_refused and self.tile_id != tile_id:
                self._stay()
                return
            self.layers.give_up_line()
            now = self._mask if self.tile_id == tile_id else None
            only_here = self._accepting is not None or self._draft_refused
            if before and now and (only_here or not now.is_same(before)):
                self._show(replace(view, labels=now.labels, classes=now.classes))
                self._autosave.start()
            else:
                self._show(view)

        def not_read(error: BaseException) -> None:
            if self._requested == tile_id:
                self._requested = self.tile_id

        self._background.run(work, arrive, otherwise=not_read)

    @property
    def _mask(self) -> Painted | None:
        """The mask as it stands, for later."""
        if self.view is None or self.labels is None:
            return None
        return Painted(self.labels.copy(), dict(self._classes), self.view.begun)

    def _read(self, tile_id: int) -> TileView:
        project = self._session.project
        assert project is not None, "tiles are asked for only while a project is open"
        view = read_tile_view(project, tile_id)
        self._read_last = tile_id, view.tile.prediction_id
        return view

    @Slot()
    def _make_next_layer(self) -> None:
        assert self._first_view is not None, "the timer runs only after it was set"
        view, self._first_view = self._first_view, None
        self._show(view)

    def _show(self, view: TileView) -> None:
        if view.tile.id != self._requested:
            return  # the person has moved on meanwhile
        if self.view is None and self.layers.make_one(view):
            self._first_view = view
            self._making.start()
            return
        self._making.stop()
        self._first_view = None
        moved = self.tile_id != view.tile.id
        if moved:
            self.tile_moving.emit()
            self._highest_id = 0
        self.view = view
        self._classes = dict(view.classes)
        self._start_over.forget()
        self._draft_on_disk, self._draft_refused = view.origin == "draft", False
        self.layers.show(view, n_classes=len(self.class_names))
        self._note_ids()
        self._autosave.stop()
        if moved or not self.clock.is_running:
            self.clock.start(view.seconds)
        self.tile_shown.emit(view)
        if view.origin == "draft" and moved:
            self.said.emit("Your unaccepted strokes on this tile are back.")

    def _show_prediction(self, view: TileView | None) -> None:
        if view is None or view.tile.id != self._requested or view.prediction is None:
            return
        if self.view is None:  # its first layers are being made
            self._show(view)
            return
        if view.tile.prediction_id == self.view.tile.prediction_id:
            return  # it is on show already
        untouched = self._accepting is None and not self.has_strokes
        if untouched and self.view.annotation is None:
            self._show(view.without_draft)  # what was started over may lie on the disk yet
            return
        self.layers.show_prediction(view.prediction)
        self.view = replace(
            self.view,
            prediction=view.prediction,
            predicted_by=view.predicted_by,
            tile=view.tile,
        )
        self.tile_shown.emit(self.view)
        if self.has_strokes:
            self.said.emit(
                "A new prediction has arrived. Your strokes are kept; "
                "'Start over' takes the new prediction instead."
            )

    @Slot(object)
    def heed_pools(self, tiles: Sequence[TileRecord]) -> None:
        """Know where the tile on the desk belongs now, and take a mask that was added to it."""
        tile = next((each for each in tiles if each.id == self.tile_id), None)
        if self.view is None or tile is None:
            return
        known = self.view.tile.annotation_id
        at_hand = replace(self.view.tile, pool=tile.pool, annotation_id=tile.annotation_id)
        self.view = replace(self.view, tile=at_hand)
        if tile.annotation_id == known or self._accepting is not None:
            return
        if self.has_strokes:
            self.said.emit(
                "A mask was added to this tile. Your strokes are kept; accept them, or undo them "
                "and open the tile again to see the other mask."
            )
        else:
            self.read_again()

    # -- leaving a tile -----------------------------------------------------------------------

    def put_away(self) -> None:
        """Leave the tile: keep its strokes as a draft and stop its clock."""
        if self.view is not None:
            self.clock.touch()
            self.layers.give_up_line()
            self.keep_draft()
            self.clock.stop()
        self._requested = None

    def leave(self, then: Callable[[], None], otherwise: Callable[[], None]) -> None:
        """Leave the tile, empty the layers and go on; otherwise where its strokes have no place."""
        self.put_away()
        left = self._mask

        def empty() -> None:
            if self._draft_refused and self.view is not None:
                self._stay()
                otherwise()
                return
            self._clear()
            then()

        self._background.run(lambda: None, lambda _: self._once_kept(left, empty))

    def _once_kept(self, left: Painted | None, then: Callable[[], None]) -> None:
        """Go on from the tile, whose mask was ``left`` and kept; later strokes are kept first."""
        self.layers.give_up_line()
        now = self._mask
        if now is None or (left is not None and now.is_same(left)):
            then()
            return
        self.keep_draft()
        self._background.run(lambda: None, lambda _: self._once_kept(now, then))

    def _stay(self) -> None:
        """Stay at the tile on the desk: the disk refused its strokes, and has said so."""
        here = self._requested = self.tile_id
        if here is not None and here != self._session.current_tile:
            self._background.run(lambda: self._session.select(here))  # whence 'next' counts
        if not self.clock.is_running:
            self.clock.start(self.clock.seconds)

    def _clear(self) -> None:
        self.put_away()
        self.view = self._read_last = None
        self.layers.clear()
        self.tile_shown.emit(None)

    @Slot()
    def keep_draft(self) -> None:
        """Store unaccepted strokes of the tile; forget the stored ones if they were undone."""
        self._autosave.stop()
        if self.layers.is_drawing_around:
            self._autosave.start()  # once it is closed or given up
            return
        project, mask = self._session.project, self._mask
        if project is None or mask is None:
            return
        assert self.view is not None, "there is a mask only while a tile is on the desk"
        folder, tile = project.path, self.view.tile
        if self._accepting is not None:
            if mask.is_same(self._accepting):
                return  # whoever stores it keeps it
            mask = replace(
                mask, begun=replace(self._accepting.begun, labels=self._accepting.labels)
            )
        if self.has_strokes:
            draft = mask.as_draft(self.clock.seconds)
            self._draft_on_disk = True
            self._background.run(
                lambda: write_draft(folder, tile, draft),
                lambda _: self._know_refused(tile, False),
                otherwise=lambda _: self._know_refused(tile, True),
            )
            return
        self._draft_refused = False
        if self._draft_on_disk:
            self._draft_on_disk = False
            self._background.run(lambda: drop_draft(folder, tile))

    def _know_refused(self, tile: TileRecord, refused: bool) -> None:
        if self.tile_id == tile.id:
            self._draft_refused = refused

    # -- deciding on a tile -------------------------------------------------------------------

    def accept(self) -> None:
        """Store the mask as the curated one and take the next tile."""
        view, labels = self.view, self.labels
        if view is None or labels is None or self._accepting is not None:
            return
        if self._requested != view.tile.id:
            return  # another tile is being opened, and this one is kept as a draft
        self.layers.give_up_line()
        if self.layers.labels_layer is None:
            self._bring_back(view)
            self.refused.emit("The pseudo-label layer was gone and is back. Look, then accept.")
        elif not self.layers.shows_mask:
            self.layers.reveal_mask()
            self.refused.emit("The mask was hidden. Look, then accept.")
        elif self.layers.put_in_place():
            self.refused.emit(
                "A layer had been moved off the tissue and is back in its place. Look, then accept."
            )
        elif view.origin == "nothing" and not self.has_strokes:
            self.refused.emit(
                "There is nothing to accept yet: this tile has no prediction and no strokes. "
                "Wait for its prediction, or paint first."
            )
        else:
            self._store(view)

    def bring_mask(self) -> None:
        """Let a tool find the mask that it is for: back if it was deleted, shown if hidden."""
        if self.view is not None and self.layers.labels_layer is None:
            self._bring_back(self.view)
            self.said.emit("The pseudo-label layer was gone and is back.")
        elif self.view is not None and not self.layers.shows_mask:
            self.layers.reveal_mask()

    def _bring_back(self, view: TileView) -> None:
        """Show the mask as it stands in a new layer, its own having been deleted."""
        assert self.labels is not None, "a tile on the desk has a mask"
        self._fill_again(view, self.labels)
        self.tile_shown.emit(view)  # the brush takes the new layer in hand

    def _fill_again(self, view: TileView, labels: NDArray[np.uint16]) -> None:
        """Fill the layers with the tile on the desk and a mask of it."""
        shown = replace(view, labels=labels, classes=dict(self._classes))
        self.layers.show(shown, n_classes=len(self.class_names))

    def _store(self, view: TileView) -> None:
        mask = self._accepting = self._mask
        assert mask is not None, "a tile on the desk has a mask"
        draft, tile_id = mask.as_draft(self.clock.seconds), view.tile.id
        seconds = self.clock.stop()
        project = self._session.project
        assert project is not None, "a tile is on the desk only while a project is open"

        def work() -> tuple[int, int | None, str]:
            try:
                record = self._session.accept(
                    tile_id,
                    mask.labels,
                    mask.begun.labels,
                    seconds=seconds,
                    classes=mask.classes,
                    baseline_classes=mask.begun.classes,
                    model=mask.begun.model,
                )
            except BaseException:
                with suppress(SemiMoEError):  # the window may be gone when it hears of it
                    write_draft(project.path, view.tile, draft)
                raise
            try:
                drop_draft(project.path, view.tile)
            except OSError:  # another program holds it; it must not be older than the mask
                with suppress(SemiMoEError):
                    write_draft(project.path, view.tile, draft)
            validates = project.tile(tile_id).pool is Pool.VALIDATION
            return record.id, self._session.next_tile(), _VALIDATES if validates else ""

        def stored(found: tuple[int, int | None, str]) -> None:
            annotation_id, next_id, note = found
            self._accepting = None
            self._draft_on_disk = self._draft_refused = False
            done = f" {ALL_REVIEWED}" if next_id is None else ""
            self.decided.emit(f"{view.tile.name} accepted.{note}{done}")
            if self.view is not None and self.tile_id == tile_id:
                as_stored = Start(mask.labels, mask.classes, mask.begun.model)
                self.view = replace(
                    self.view,
                    tile=replace(self.view.tile, annotation_id=annotation_id),
                    begun=as_stored,
                    stored=as_stored,
                    origin="annotation",
                )
            if self._requested == tile_id:  # else the person has moved on meanwhile
                self.select(tile_id if next_id is None else next_id)

        def not_stored(error: BaseException) -> None:
            self._accepting = None
            self.clock.start(seconds)
            self.keep_draft()

        self._background.run(work, stored, title="Storing the mask", otherwise=not_stored)

    def exclude(self) -> None:
        """Take the tile out of everything and go on with the next one."""
        if self.view is None:
            return
        project, tile_id, name = self._session.project, self.view.tile.id, self.view.tile.name

        def work() -> int | None:
            if self._session.project is not project:
                return None
            self._session.exclude(tile_id)
            return self._session.next_tile()

        def gone(next_id: int | None) -> None:
            if self._session.project is not project:
                return  # it was not done
            self.decided.emit(f"{name} is excluded; its pool can be changed in the Predict table.")
            if self._requested == tile_id:  # else the person has moved on meanwhile
                self.select(tile_id if next_id is None else next_id)

        self._background.run(work, gone)

    def start_over(self) -> None:
        """Put the model's suggestion under the brush again, as a step that can be undone."""
        if self.view is None or self.view.prediction is None:
            self.refused.emit("There is no prediction of this tile to start from yet.")
            return
        if self.layers.labels_layer is None:
            self._bring_back(self.view)
            self.refused.emit("The pseudo-label layer was gone and is back. Look, then start over.")
            return
        self.layers.give_up_line()
        prediction, before = self.view.prediction, self._mask
        assert before is not None, "a tile on the desk has a mask"
        labels, classes = prediction.instances.astype(np.uint16), dict(prediction.classes)
        to = Start(labels, classes, self.view.predicted_by)
        is_suggestion = before.classes == classes and np.array_equal(before.labels, labels)
        if is_suggestion and not np.array_equal(labels, self.view.stored.labels):
            to = self.view.stored  # else strokes that were left and found again would hide it
            labels, classes = to.labels, dict(to.classes)
            self.said.emit("The mask before is back. Start over once more for the model's.")
        after = self._start_over.begin(before, to)
        if before.classes != classes and np.array_equal(before.labels, labels):
            self.said.emit("The kinds are the model's again. Start over once more for yours.")
        self.layers.replace_labels(labels)
        self._be(after)

    # -- the brush ----------------------------------------------------------------------------

    def free_label(self) -> int:
        """Return an id for a new gland: one above all that were in use on the tile.

        Also above those of glands that are gone: an undo would bring them back as it. Where the
        highest possible id was in use, it is the lowest that no gland has now.
        """
        self._note_ids()
        if self._highest_id < MAX_INSTANCE:
            return self._highest_id + 1
        assert self.labels is not None, "a tile is on the desk"
        return int(np.setdiff1d(np.arange(1, MAX_INSTANCE), self.labels)[0])  # some number is free

    def _note_ids(self) -> None:
        labels = self.labels
        if labels is None:
            return
        highest = int(labels.max(initial=0))
        if highest == IGNORE:  # slower
            highest = int(labels.max(initial=0, where=labels != IGNORE))
        self._highest_id = max(self._highest_id, highest)

    def class_of(self, label: int) -> int:
        """Return the class of an instance."""
        return self._classes.get(label, 1)

    def set_class(self, label: int, class_index: int) -> None:
        """Give an instance a class and colour it so."""
        if not 0 < label < IGNORE or self.class_of(label) == class_index:
            return
        self._classes[label] = class_index
        self.layers.show_labels_colors(self._classes, len(self.class_names))
        self._on_edited()

    @Slot()
    def show_classes(self) -> None:
        """Colour the mask anew: there is a class more, or another name."""
        if self.view is not None:
            self.layers.show_labels_colors(self._classes, len(self.class_names))

    def _be(self, mask: Painted) -> None:
        """Take on what is known of a mask that is under the brush already."""
        assert self.view is not None, "a mask is under the brush only while a tile is on the desk"
        self._classes = mask.classes
        self.view = replace(self.view, begun=mask.begun)
        self.layers.show_labels_colors(mask.classes, len(self.class_names))
        self._on_edited()  # also where only classes change

    def _watch(self, layer: Labels) -> None:
        layer.events.paint.connect(self._on_edited)  # strokes, fills
        layer.events.set_data.connect(self._on_undone)  # undo and redo say only this

    def _on_undone(self, event: Any = None) -> None:
        if self.view is None or self.layers.filling or self._put_back(self.view):
            return
        mask = self._start_over.of_pixels(self.labels)
        if mask is not None and mask.classes is not self._classes:
            self._be(mask)
        else:
            self._on_edited()

    def _put_back(self, view: TileView) -> bool:
        """Take back a mask of another size, which a script may have put into the layer."""
        labels = self.labels
        if labels is None or labels.shape == view.labels.shape:
            return False
        sizes = [" x ".join(map(str, each.shape)) for each in (view.labels, labels)]
        self._fill_again(view, view.labels)
        self.refused.emit(
            f"The mask must be as large as its tile, {sizes[0]} px, got {sizes[1]}. It is back "
            "as it was."
        )
        return True

    def _on_edited(self, event: Any = None) -> None:
        if self.view is None or self.layers.filling:
            return
        self._note_ids()
        self.clock.touch()
        if not self._autosave.isActive():  # who paints without a pause has drafts, too
            self._autosave.start()
        self.edited.emit()

    def close(self) -> None:
        """Keep what is unaccepted and stop the timer."""
        self.put_away()
        self._autosave.stop()
        self.view = None
