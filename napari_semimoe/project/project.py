"""The project: everything that a person's work consists of, in one folder that can be moved."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self, Unpack

import numpy as np
from numpy.typing import NDArray

from napari_semimoe.core.disk import storing
from napari_semimoe.core.states import Pool, RoundState
from napari_semimoe.core.values import USUAL_CLASSES, Prediction
from napari_semimoe.project import (
    adding,
    class_names,
    manifest,
    patients,
    pools,
    predictions,
    rounds,
    scale,
    tiles,
)
from napari_semimoe.project import annotations as versions
from napari_semimoe.project.adding import HowToAdd
from napari_semimoe.project.folder import Description, login_name, write_description
from napari_semimoe.project.models import Models
from napari_semimoe.project.opened import OpenFolder, create_folder
from napari_semimoe.project.patients import Named
from napari_semimoe.project.predictions import NewPrediction
from napari_semimoe.project.records import (
    AS_IS,
    CORRECTED,
    AddReport,
    AnnotationRecord,
    CorrectionRecord,
    ImageRecord,
    PredictionRecord,
    RoundRecord,
    TileRecord,
    now,
)


class Project:
    """An annotation project. Make one with `create` or `open`; methods are thread-safe.

    Attributes
    ----------
    path
        The project's folder, absolute.
    name, author
        As given when it was created.
    classes
        Names of the classes; the first is the background.
    created
        When that was, in UTC; tells it from others of its name, also once it was moved.
    models
        Which of its models is in charge.
    swept
        Names of left-over files that were removed or set aside when it was opened.
    """

    def __init__(self, opened: OpenFolder) -> None:
        self.path = opened.path
        self.name = opened.description.name
        self.classes = opened.description.classes
        self.author = opened.description.author
        self.created = opened.description.created
        self.models = Models(opened.index, self.author)
        self.swept = opened.swept
        self._opened = opened
        self._store = opened.index

    @classmethod
    def create(
        cls,
        path: Path | str,
        *,
        name: str | None = None,
        classes: Sequence[str] = USUAL_CLASSES,
        author: str | None = None,
    ) -> Self:
        """Make a project in a new or empty folder and open it.

        Raises
        ------
        SettingsError
            If a class has no name, or two have the same.
        """
        path = Path(path).absolute()
        about = {
            "name": name or path.name,
            "classes": class_names.checked(classes, classes),
            "author": author or login_name(),
            "created": now(),
        }
        create_folder(path, Description.parse(about))
        return cls.open(path)

    @classmethod
    def open(cls, path: Path | str, *, read_only: bool = False) -> Self:
        """Open a project; see `OpenFolder`.

        Raises
        ------
        ProjectFormatError
            If it is no project, damaged, or written by a newer version.
        ProjectLockedError
            If it is open for writing elsewhere; ``read_only=True`` still works then.
        """
        return cls(OpenFolder(Path(path).absolute(), read_only=read_only))

    def close(self) -> None:
        """Let go of the index and the lock; closing twice is harmless."""
        self._opened.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # adding ---------------------------------------------------------------------------------

    def add_folder(self, path: Path | str, **how: Unpack[HowToAdd]) -> AddReport:
        """Add the images of a folder, with masks beside them or in a masks folder.

        A table ``patients.csv`` beside them says of which patients they are. The GlaS layout
        (``NAME_anno`` beside ``NAME``, ``Grade.csv``) brings that, too, and its 0.62 um per pixel.
        `HowToAdd` tells the options.
        """
        return adding.add_folder(self._store, self._opened.description, Path(path), **how)

    def add_files(self, paths: Iterable[Path | str], **how: Unpack[HowToAdd]) -> AddReport:
        """Copy image files into the project; return what was added, known, and refused.

        Where one is named ``NAME_anno`` (``_mask``, ``_label``, ``.geojson``) beside ``NAME``, it
        is that image's mask. `HowToAdd` tells the options.
        """
        files = [Path(path) for path in paths]
        return adding.add_files(self._store, self._opened.description, files, **how)

    # tiles ----------------------------------------------------------------------------------

    def images(self) -> list[ImageRecord]:
        """Return all images in the order in which they were added."""
        return tiles.images(self._store)

    def image(self, image_id: int) -> ImageRecord:
        """Return one image."""
        return tiles.image(self._store, image_id)

    def tiles(self, pool: Pool | None = None) -> list[TileRecord]:
        """Return all tiles, or those of one pool, in the order in which they were added."""
        return tiles.every(self._store, pool)

    def tile(self, tile_id: int) -> TileRecord:
        """Return one tile."""
        return tiles.find(self._store, tile_id)

    def read_image(self, tile_id: int) -> NDArray[np.uint8]:
        """Read a tile's pixels, ``(H, W, 3)`` uint8 RGB."""
        return tiles.read(self._store, self.tile(tile_id))

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

    def set_um_per_px(self, tile_ids: Iterable[int], um_per_px: float) -> int:
        """Correct how large a pixel is of the images that tiles are of; return how many had other.

        Their predictions are dropped: they were made at another scale.

        Raises
        ------
        SettingsError
            If it is not above 0 and at most 1000 microns per pixel.
        """
        images = {self.tile(tile_id).image_id for tile_id in tile_ids}
        records = [self.image(image_id) for image_id in sorted(images)]
        return scale.correct(self._store, records, um_per_px, self.author)

    def set_patient(self, tile_ids: Iterable[int], patient: str | None) -> Named:
        """Say of which patient the images are that tiles are of; None: of an unknown one.

        A patient's tiles with a mask stand on one side: they teach or they judge. Where some did
        the one and some the other, the rule decides. It is written to the audit trail.

        Raises
        ------
        SettingsError
            If the name is empty.
        """
        images = {self.tile(tile_id).image_id for tile_id in tile_ids}
        return patients.assign(self._store, dict.fromkeys(sorted(images), patient), self.author)

    # masks ----------------------------------------------------------------------------------

    def accept(
        self,
        tile_id: int,
        labels: NDArray[Any],
        *,
        baseline: NDArray[Any] | None = None,
        baseline_classes: Mapping[int, int] | None = None,
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
        baseline_classes
            Class of each of its instance ids, to know whether the person changed one.
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
        checked = versions.checked_labels(labels, tile)
        shown = baseline if baseline is not None else self.read_labels(tile_id)
        changed = versions.changed_pixels(checked, shown)
        kinds = versions.checked_classes(classes or {}, checked, self.classes)
        corrected = baseline is None or changed.any() or _differ(kinds, baseline_classes, checked)
        new = versions.NewVersion(
            labels=checked,
            changed=changed,
            author=author or self.author,
            origin=CORRECTED if corrected else AS_IS,
            model=model,
            round=round,
            classes=kinds,
            seconds=seconds,
        )
        return versions.accept(self._store, tile, new)

    def annotations(self, tile_id: int) -> list[AnnotationRecord]:
        """Return all versions of a tile's mask, oldest first."""
        return versions.versions(self._store, tile_id)

    def corrections(self) -> list[CorrectionRecord]:
        """Return what was made of each suggestion that was accepted, oldest first."""
        return versions.corrections(self._store)

    def annotation(self, annotation_id: int) -> AnnotationRecord:
        """Return one version."""
        return versions.find(self._store, annotation_id)

    def read_labels(self, tile_id: int) -> NDArray[np.uint16] | None:
        """Read the latest mask of a tile, ``(H, W)`` uint16; None when it has none."""
        latest = self.tile(tile_id).annotation_id
        return self.read_annotation(latest) if latest is not None else None

    def read_annotation(self, annotation_id: int) -> NDArray[np.uint16]:
        """Read one version of a mask, ``(H, W)`` uint16."""
        return versions.read(self._store, self.annotation(annotation_id))

    def read_changed(self, annotation_id: int) -> NDArray[np.bool_]:
        """Return which pixels the person changed in a version, ``(H, W)`` bool."""
        return versions.read_changed(self._store, self.annotation(annotation_id))

    # predictions ----------------------------------------------------------------------------

    def new_prediction_path(self) -> Path:
        """Return an absolute path inside the project at which a prediction may be written."""
        return predictions.new_path(self._store)

    def add_prediction(self, tile_id: int, new: NewPrediction) -> PredictionRecord:
        """Make a written prediction the tile's prediction and drop the one before."""
        return predictions.add(self._store, self.tile(tile_id).id, new)

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
            self._store,
            number,
            RoundState(state),
            weights=weights,
            report=report,
            note=note,
            author=self.author,
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

    # classes --------------------------------------------------------------------------------

    def add_class(self, name: str) -> None:
        """Add a class behind the others.

        Raises
        ------
        SettingsError
            If it has no name of its own.
        StorageError
            If the disk refused.
        """
        self._name_classes(class_names.checked([*self.classes, name], [name]))

    def rename_class(self, old: str, new: str) -> None:
        """Give a class besides the background another name; raises as `add_class` does."""
        self._name_classes(class_names.renamed(self.classes, old, new))

    def _name_classes(self, names: tuple[str, ...]) -> None:
        self._store.refuse_if_read_only()
        description = self._opened.description.changed(classes=names)
        with self._store.transaction(), storing("The names of the classes"):
            self._store.audit(self.author, "classes", None, was=self.classes, now=names)
            write_description(self.path, description)
        self._opened.description, self.classes = description, names

    # small things ---------------------------------------------------------------------------

    def setting(self, key: str, default: Any = None) -> Any:
        """Return a small JSON value, or ``default``."""
        return self._store.setting(key, default)

    def set_setting(self, key: str, value: Any) -> None:
        """Store a small JSON value."""
        self._store.set_setting(key, value)

    def audit(self) -> list[dict[str, Any]]:
        """Return the audit trail, oldest line first."""
        return self._store.audit_trail()


def _differ(
    classes: Mapping[int, int], before: Mapping[int, int] | None, labels: NDArray[Any]
) -> bool:
    """Whether an instance of ``labels`` has another class than before; absent ids are class 1."""
    if before is None:
        return False
    ids = {each for each in {*classes, *before} if classes.get(each, 1) != before.get(each, 1)}
    return bool(np.isin(labels, list(ids)).any())
