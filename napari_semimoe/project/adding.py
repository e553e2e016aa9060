"""What a person adds at a time: a folder or some files, and what they say about them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypedDict, Unpack

from napari_semimoe.core.states import Pool
from napari_semimoe.project import discovery, importing, patients
from napari_semimoe.project.folder import Description
from napari_semimoe.project.images import stem
from napari_semimoe.project.import_options import AddOptions, Progress, ShouldStop
from napari_semimoe.project.masks import MaskKind
from napari_semimoe.project.records import AddReport
from napari_semimoe.project.store import Store

PatientOf = Callable[[Path], str | None] | Mapping[str, str]


class HowToAdd(TypedDict, total=False):
    """How files are added; whatever is not said is left to the files and to `AddOptions`.

    Attributes
    ----------
    masks
        Folder of masks named as the images.
    um_per_px
        Microns per pixel; wins over what the files say, and corrects images that are there
        already, unless their file says another.
    um_per_px_if_silent
        Microns per pixel of files that say nothing; of what is there already nothing changes.
    mask_kind
        Whether masks number the objects or the classes.
    pool
        A person's decision; without it masks make a tile labelled or validating.
    tile_px
        Larger images are split into tiles of at most this side; None never splits.
    patient_of
        Patient by file name without ending, or a function of the path; takes the place of tables
        beside the images, and counts for images that have another patient already, too.
    progress
        Hears how many of how many files are done, and the file at hand.
    should_stop
        Asked before each file; what was added until then stays.
    """

    masks: Path | None
    um_per_px: float | None
    um_per_px_if_silent: float | None
    mask_kind: MaskKind
    pool: Pool | None
    tile_px: int | None
    patient_of: PatientOf | None
    progress: Progress | None
    should_stop: ShouldStop | None


def add_folder(
    index: Store, about: Description, folder: Path, **how: Unpack[HowToAdd]
) -> AddReport:
    """Add the images of a folder, with masks beside them or in a masks folder."""
    return _add(index, about, partial(discovery.find_files, folder), **how)


def add_files(
    index: Store, about: Description, files: Iterable[Path], **how: Unpack[HowToAdd]
) -> AddReport:
    """Add image files, with masks among them or in a masks folder."""
    return _add(index, about, partial(discovery.pair_files, list(files)), **how)


def _add(
    index: Store,
    about: Description,
    find: Callable[[Path | None], discovery.FoundFiles],
    *,
    masks: Path | None = None,
    patient_of: PatientOf | None = None,
    um_per_px_if_silent: float | None = None,
    progress: Progress | None = None,
    should_stop: ShouldStop | None = None,
    **options: Any,
) -> AddReport:
    found = find(masks)
    told, unread = ({}, ()) if patient_of is not None else patients.beside(found.images)
    return importing.add_files(
        index,
        {image: found.masks.get(image) for image in found.images},
        AddOptions(
            author=about.author,
            classes=about.classes,
            um_per_px_if_silent=um_per_px_if_silent or found.um_per_px,
            patients=_patients(found.images, patient_of),
            patients_if_silent=told,
            **options,
        ),
        notes=(*found.notes, *unread),
        progress=progress,
        should_stop=should_stop,
    )


def _patients(images: Iterable[Path], patient_of: PatientOf | None) -> dict[Path, str]:
    if patient_of is None:
        return {}
    ask = patient_of if callable(patient_of) else lambda path: patient_of.get(stem(path))
    return {path: patient for path in images if (patient := ask(path)) is not None}
