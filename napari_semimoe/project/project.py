"""The project: everything that a person's work consists of, in one folder that can be moved."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from napari_semimoe.core.errors import ProjectError
from napari_semimoe.core.states import Pool, RoundState
from napari_semimoe.core.values import Prediction
from napari_semimoe.project import (
    annotations,
    checkpoints,
    discovery,
    folder,
    importing,
    manifest,
    pools,
    predictions,
    rounds,
    tiles,
    upgrade,
)
from napari_semimoe.project.arrays import read_array
from napari_semimoe.project.disk import storing
from napari_semimoe.project.records import (
    AddReport,
    AnnotationRecord,
    ImageRecord,
    PredictionRecord,
    RoundRecord,
    TileRecord,
    now,
)
from napari_semimoe.project.schema import FOLDERS
from napari_semimoe.project.store import Store

PatientOf = Callable[[Path], str | None] | Mapping[str, str]


class Project:
    """An annotation project. Make one with `create` or `open`; methods are thread-safe.

    Attributes
    ----------
    path
        The project's folder, absolute.
    name, classes, author
        As given when it was created; ``classes[0]`` is the background.
    swept
        Names of left-over files that were removed when it was opened.
    """

    def __init__(
        self, path: Path, description: folder.Description, store: Store, lock: FileLock | None
    ) -> None:
        self.path = path
        self.name = description.name
        self.classes = description.classes
        self.author = description.author
        self.swept: list[str] = []
        self._store = store
        self._lock = lock

    @classmethod
    def create(
        cls,
        path: Path | str,
        *,
        name: str | None = None,
        classes: Sequence[str] = ("background", "gland"),
        author: str | None = None,
    ) -> Self:
        """Make a project in a new or empty folder and open it."""
        path = Path(path).absolute()
        folder.refuse_unless_new(path)
        description = folder.Description.parse(
            {
                "name": name or path.name,
                "classes": tuple(classes),
                "author": author or folder.login_name(),
                "created": now(),
            }
        )
        with storing(f"The project {path.name}"):
            for part in FOLDERS:
                (path / part).mkdir(parents=True, exist_ok=True)
            Store.create(path)
            folder.write_description(path, description)
        return cls.open(path)

    @classmethod
    def open(cls, path: Path | str, *, read_only: bool = False) -> Self:
        """Open a project.

        Opening for writing takes the project's lock, marks rounds whose process is gone as
        interrupted, and removes files that no row refers to.

        Raises
        ------
        ProjectFormatError
            If it is no project, damaged, or written by a newer version.
        ProjectLockedError
            If it is open for writing elsewhere; ``read_only=True`` still works then.
        """
        path = Path(path).absolute()
        path = path.parent if path.name == folder.DESCRIPTION else path
        description = folder.read_description(path)
        if read_only:
            return cls(path, description, Store(path, read_only=True), None)
        lock = folder.take_lock(path)
        try:
            project = cls(path, description, Store(path), lock)
        except BaseException:
            lock.release()
            raise
        project._recover()
        return project

    def _recover(self) -> None:
        try:
            upgrade.upgrade(self._store)
            rounds.interrupt_running(self._store)
            self.swept = folder.sweep(self.path, self._store.connection)
            with self._store.transaction():
                pools.settle(self._store, self.author)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let go of the index and the lock; closing twice is harmless."""
        self._store.close()
        if self._lock is not None:
            self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def read_only(self) -> bool:
        """Whether nothing can be stored."""
        return self._store.read_only

    # adding ---------------------------------------------------------------------------------

    def add_folder(
        self,
        path: Path | str,
        *,
        masks: Path | None = None,
        um_per_px: float | None = None,
        mask_kind: importing.MaskKind = "instances",
        pool: Pool | None = None,
        tile_px: int | None = 2048,
        patient_of: PatientOf | None = None,
        progress: importing.Progress | None = None,
    ) -> AddReport:
        """Add the images of a folder, with masks beside them or in a masks folder.

        The GlaS layout (``NAME_anno`` beside ``NAME``, ``Grade.csv``) brings its patients and
        its 0.62 um per pixel. See `add_files` for the parameters.
        """
        found = discovery.find_files(Path(path), masks)
        patients = {**found.patients, **_patients(found.images, patient_of)}
        return importing.add_files(
            self._store,
            {image: found.masks.get(image) for image in found.images},
            self._options(um_per_px, mask_kind, pool, tile_px),
            patients=patients,
            fallback_um_per_px=found.um_per_px,
            notes=found.notes,
            progress=progress,
        )

    def add_files(
        self,
        paths: Iterable[Path | str],
        *,
        masks: Path | None = None,
        um_per_px: float | None = None,
        mask_kind: importing.MaskKind = "instances",
        pool: Pool | None = None,
        tile_px: int | None = 2048,
        patient_of: PatientOf | None = None,
        progress: importing.Progress | None = None,
    ) -> AddReport:
        """Copy image files into the project.

        Parameters
        ----------
        paths
            Image files; where one is named ``NAME_anno`` (``_mask``, ``_label``) beside ``NAME``,
            it is that image's mask.
        masks
            Folder of masks named as the images.
        um_per_px
            Microns per pixel; wins over what the files say. Needed where they say nothing.
        mask_kind
            Whether masks number the objects or the classes.
        pool
            A person's decision; without it masks make a tile labelled or validating.
        tile_px
            Larger images are split into tiles of at most this side; None never splits.
        patient_of
            Patient by file name without ending, or a function of the path.
        progress
            Hears how many of how many files are done, and the file at hand.

        Returns
        -------
        AddReport
            What was added, what was known already, and each refused file with a sentence.
        """
        found = discovery.pair_files([Path(path) for path in paths], masks)
        return importing.add_files(
            self._store,
            {image: found.masks.get(image) for image in found.images},
            self._options(um_per_px, mask_kind, pool, tile_px),
            patients=_patients(found.images, patient_of),
            notes=found.notes,
            progress=progress,
        )

    def _options(
        self,
        um_per_px: float | None,
        mask_kind: importing.MaskKind,
        pool: Pool | None,
        tile_px: int | None,
    ) -> importing.AddOptions:
        return importing.AddOptions(
            author=self.author,
            classes=self.classes,
            um_per_px=um_per_px,
            mask_kind=mask_kind,
            pool=pool,
            tile_px=tile_px,
        )

    # tiles ----------------------------------------------------------------------------------

    def images(self) -> list[ImageRecord]:
        """Return all images in the order in which they were added."""
        return [ImageRecord.of(row) for row in self._store.rows("SELECT * FROM image ORDER BY id")]

    def image(self, image_id: int) -> ImageRecord:
        """Return one image."""
        row = self._store.row("SELECT * FROM image WHERE id = ?", (image_id,))
        if row is None:
            raise ProjectError(f"This project has no image {image_id}. Choose one of its images.")
        return ImageRecord.of(row)

    def tiles(self, pool: Pool | None = None) -> list[TileRecord]:
        """Return all tiles, or those of one pool, in the order in which they were added."""
        return tiles.every(self._store, pool)

    def tile(self, tile_id: int) -> TileRecord:
        """Return one tile."""
        return tiles.find(self._store, tile_id)

    def read_image(self, tile_id: int) -> NDArray[np.uint8]:
        """Read a tile's pixels, ``(H, W, 3)`` uint8 RGB."""
        tile = self.tile(tile_id)
        return read_array(self.path / self.image(tile.image_id).path, tile.box)

    def image_source(self, tile_id: int) -> dict[str, Any]:
        """Return where a worker finds a tile's pixels, as plain JSON."""
        tile = self.tile(tile_id)
        return manifest.image_source(self._store, tile, self.image(tile.image_id))

    def set_pool(self, tile_id: int, pool: Pool) -> tuple[int, ...]:
        """Move a tile because a person says so; return the ids of all tiles that moved.

        Tiles with a mask of the same patient follow between training and validation, so that
        no patient is on both sides. The move is written to the audit trail.
        """
        return pools.set_pool(self._store, self.tile(tile_id), Pool(pool), self.author)

    # masks ----------------------------------------------------------------------------------

    def accept(
        self,
        tile_id: int,
        labels: NDArray[Any],
        *,
        baseline: NDArray[Any] | None = None,
        author: str | None = None,
        model: str | None = None,
        round: int | None = None,
        classes: Mapping[int, int] | None = None,
        seconds: float = 0.0,
    ) -> AnnotationRecord:
        """Store a mask as the tile's next version; when this returns it is on the disk.

        Parameters
        ----------
        labels
            ``(H, W)`` instance ids 0..65534; 65535 marks pixels that must not teach.
        baseline
            The mask that was shown, to know which pixels the person changed; without it the
            version before, or an empty mask.
        model, round
            What the shown mask came from.
        classes
            Class index of instance ids; absent ids are class 1.
        seconds
            Time that the person spent on the tile.

        Raises
        ------
        StorageError
            If the disk refused; earlier versions and the tile's pool are as they were.
        """
        tile = self.tile(tile_id)
        checked = annotations.checked_labels(labels, tile)
        shown = baseline if baseline is not None else self.read_labels(tile_id)
        changed = annotations.changed_pixels(checked, shown)
        new = annotations.NewVersion(
            labels=checked,
            changed=changed,
            author=author or self.author,
            origin="corrected" if baseline is None or changed.any() else "accepted as is",
            model=model,
            round=round,
            classes=annotations.checked_classes(classes or {}, checked, self.classes),
            seconds=seconds,
        )
        return annotations.accept(self._store, tile, new)

    def annotations(self, tile_id: int) -> list[AnnotationRecord]:
        """Return all versions of a tile's mask, oldest first."""
        return annotations.versions(self._store, tile_id)

    def annotation(self, annotation_id: int) -> AnnotationRecord:
        """Return one version."""
        return annotations.find(self._store, annotation_id)

    def read_labels(self, tile_id: int) -> NDArray[np.uint16] | None:
        """Read the latest mask of a tile, ``(H, W)`` uint16; None when it has none."""
        latest = self.tile(tile_id).annotation_id
        return self.read_annotation(latest) if latest is not None else None

    def read_annotation(self, annotation_id: int) -> NDArray[np.uint16]:
        """Read one version of a mask, ``(H, W)`` uint16."""
        return annotations.read(self._store, self.annotation(annotation_id))

    def read_changed(self, annotation_id: int) -> NDArray[np.bool_]:
        """Return which pixels the person changed in a version, ``(H, W)`` bool."""
        return annotations.read_changed(self._store, self.annotation(annotation_id))

    # predictions ----------------------------------------------------------------------------

    def new_prediction_path(self) -> Path:
        """Return an absolute path inside the project at which a prediction may be written."""
        return predictions.new_path(self._store)

    def add_prediction(
        self,
        tile_id: int,
        path: Path | str,
        *,
        model: str,
        disagreement: float,
        foreground: float,
        gates: Sequence[Sequence[float]],
        expert_names: Sequence[str],
    ) -> PredictionRecord:
        """Make a written prediction the tile's prediction and drop the one before."""
        return predictions.add(
            self._store,
            self.tile(tile_id).id,
            Path(path),
            model=model,
            disagreement=disagreement,
            foreground=foreground,
            gates=gates,
            expert_names=expert_names,
        )

    def prediction(self, tile_id: int) -> PredictionRecord | None:
        """Return what is known about the tile's latest prediction, or None."""
        return predictions.find(self._store, tile_id)

    def read_prediction(self, tile_id: int) -> Prediction | None:
        """Read the tile's latest prediction; None when there is none that can be read."""
        return predictions.read(self._store, tile_id)

    # rounds ---------------------------------------------------------------------------------

    def round_manifest(self) -> dict[str, Any]:
        """Return which tiles a round would learn from now, as plain JSON."""
        about = {"project": self.name, "classes": list(self.classes)}
        return about | manifest.build(self._store, self.tiles(), self.images())

    def start_round(
        self,
        settings: Mapping[str, Any],
        base: str | None,
        network: Mapping[str, Any] | None = None,
    ) -> RoundRecord:
        """Make a new round with its folder and ``manifest.json``; its state is running.

        ``network`` describes the network to build, and is kept in the manifest.
        """
        manifest = self.round_manifest() | {"network": dict(network or {})}
        return rounds.start(self._store, settings, base, manifest)

    def finish_round(
        self,
        number: int,
        state: RoundState,
        *,
        weights: Path | str | None = None,
        report: Mapping[str, Any] | None = None,
        note: str = "",
    ) -> RoundRecord:
        """Write down how a round ended; a promoted one takes charge in the same commit."""
        return rounds.finish(
            self._store, number, RoundState(state), weights=weights, report=report, note=note
        )

    def resume_round(self, number: int) -> RoundRecord:
        """Let a round that ended early go on, with the tiles it began with."""
        return rounds.resume(self._store, number)

    def rounds(self) -> list[RoundRecord]:
        """Return all rounds, oldest first."""
        return rounds.every(self._store)

    def round(self, number: int) -> RoundRecord:
        """Return one round."""
        return rounds.find(self._store, number)

    def round_folder(self, number: int) -> Path:
        """Return the absolute folder of a round."""
        return rounds.folder(self._store, number)

    def promote(self, number: int) -> RoundRecord:
        """Put a finished round's model in charge; also the way back to an older one."""
        return rounds.promote(self._store, number, self.author)

    def promote_starter(self) -> None:
        """Put the starter model in charge again."""
        rounds.promote_starter(self._store, self.author)

    def keep_weights(self, source: Path) -> Path:
        """Copy a weights file from elsewhere into the project; return where it lies there."""
        self._store.refuse_if_read_only()
        return checkpoints.keep(self.path, source)

    def current_round(self) -> RoundRecord | None:
        """Return the round whose model is in charge, or None: the starter, if there is one."""
        return rounds.in_charge(self._store)

    def round_before(self) -> RoundRecord | None:
        """Return the round whose model was in charge before the present one; None: the starter."""
        return rounds.before_in_charge(self._store)

    def current_weights(self) -> Path | None:
        """Return the absolute path of the weights in charge, or None."""
        record = self.current_round()
        return self.path / record.weights if record and record.weights else None

    # small things ---------------------------------------------------------------------------

    def setting(self, key: str, default: Any = None) -> Any:
        """Return a small JSON value, or ``default``."""
        row = self._store.row("SELECT value FROM setting WHERE key = ?", (key,))
        return json.loads(row["value"]) if row else default

    def set_setting(self, key: str, value: Any) -> None:
        """Store a small JSON value."""
        with self._store.transaction() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO setting VALUES (?, ?)", (key, json.dumps(value))
            )

    def audit(self) -> list[dict[str, Any]]:
        """Return the audit trail, oldest line first."""
        rows = self._store.rows("SELECT * FROM audit ORDER BY id")
        return [{**dict(row), "detail": json.loads(row["detail"])} for row in rows]


def _patients(images: Iterable[Path], patient_of: PatientOf | None) -> dict[Path, str]:
    if patient_of is None:
        return {}
    ask = patient_of if callable(patient_of) else lambda path: patient_of.get(path.stem)
    return {path: patient for path in images if (patient := ask(path)) is not None}
