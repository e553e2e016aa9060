"""Masks that come with images: read whatever wrote them, and stored as versions of their tiles."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from unicodedata import normalize

import numpy as np
from numpy.typing import NDArray

from napari_semimoe.core.errors import OtherImageError, UnsaidBackgroundError
from napari_semimoe.core.states import Pool
from napari_semimoe.core.values import IGNORE, Box
from napari_semimoe.project import annotations as versions
from napari_semimoe.project import mask_geojson, mask_table, pools, tiles
from napari_semimoe.project.arrays import content_hash, mend
from napari_semimoe.project.import_options import AddOptions, Tally
from napari_semimoe.project.mask_png import is_own_png, mark_of
from napari_semimoe.project.masks import (
    class_of,
    holds_classes,
    only_class_notes,
    read_class_mask,
    read_mask,
    refuse_other_image,
    refuse_unsaid_background,
)
from napari_semimoe.project.records import IMPORTED, TileRecord
from napari_semimoe.project.store import Store

#: More numbers than this are no classes; parts with a smaller share of the largest one are specks.
_FEW, _SPECK = 10, 0.02


@dataclass(frozen=True, slots=True)
class FoundMask:
    """Instance ids of a whole image ``(H, W)``, and the class of each that is said."""

    labels: NDArray[np.uint16]
    classes: Mapping[int, int]

    def is_of(self, box: Box) -> bool:
        """Whether it says anything of a part of the image."""
        return bool((self.labels[box.slices] != IGNORE).any())


def read_found_mask(
    path: Path, shape: tuple[int, int], sha256: str, options: AddOptions, tally: Tally
) -> FoundMask | None:
    """Read an image's mask: pixels, or annotations of QuPath; what is odd about it is noted.

    Parameters
    ----------
    shape, sha256
        Height and width of the image, and its content hash; a mask that was exported for another
        image is left out.

    Raises
    ------
    ImageReadError
        If it cannot be read or does not fit its image and the project's classes.
    """
    try:
        mask = _read(path, shape, sha256, options, tally)
        refuse_unsaid_background(path, mask.labels)
    except (OtherImageError, UnsaidBackgroundError) as error:
        tally.notes.append(f"A mask was left out. {error}")
        return None
    if mask.labels.all() and path.suffix.lower() != mask_geojson.SUFFIX:
        tally.notes.append(
            f"{path.name} covers the whole image: if 1 is its background, subtract 1 and add it "
            "again."
        )
    return mask


def _read(
    path: Path, shape: tuple[int, int], sha256: str, options: AddOptions, tally: Tally
) -> FoundMask:
    if path.suffix.lower() == mask_geojson.SUFFIX:
        labels, classes, notes = mask_geojson.read_geojson(path, shape, options.classes, sha256)
        tally.note_once(*notes)
        return FoundMask(labels, classes)
    refuse_other_image(path, mark_of(path), sha256)
    if holds_classes(path, options.mask_kind):
        mask = FoundMask(*read_class_mask(path, shape, len(options.classes)))
    else:
        said = tally.classes_in(path.parent).get(normalize("NFC", path.name), "")
        names = mask_table.parse_classes(said, path)
        classes = {nr: class_of(name, options.classes, path) for nr, name in names.items()}
        mask = FoundMask(read_mask(path, shape), classes)
        if len(options.classes) == 2:
            tally.note_once(*only_class_notes(names.values(), options.classes))
        _note_one_class(mask, options, tally)
        if not is_own_png(path):
            _note_parts(mask, path, tally)
    return mask


def _note_one_class(mask: FoundMask, options: AddOptions, tally: Tally) -> None:
    """Say once of what class objects are that a mask only numbers, if there are several."""
    note = (
        "Masks that number their objects say no class: all their objects are of the first, "
        f"{options.classes[1]}. Choose others in the window, or, where their values are classes, "
        "add them as class masks (Project menu, or --mask-kind classes)."
    )
    if not mask.classes and mask.labels.any() and len(options.classes) > 2:
        tally.note_once(note)


def _note_parts(mask: FoundMask, path: Path, tally: Tally) -> None:
    """Say once that a mask numbers few objects of many parts, as one of classes does."""
    from skimage.measure import label

    advice = (
        "each number is one object. If they are classes, add the masks again as class masks "
        "(Project menu, or --mask-kind classes), to a project with these classes."
    )
    numbers = np.unique(mask.labels[(mask.labels > 0) & (mask.labels < IGNORE)])
    if not 1 < len(numbers) <= _FEW or any(note.endswith(advice) for note in tally.notes):
        return
    areas = np.bincount(label(np.where(mask.labels == IGNORE, 0, mask.labels)).ravel())[1:]
    parts = int((areas >= _SPECK * areas.max()).sum())
    if parts > 2 * len(numbers):
        tally.notes.append(
            f"{path.name}: {len(numbers)} numbers have {parts} separate parts, and {advice}"
        )


def commit_mask(
    index: Store, tile_id: int, mask: FoundMask, options: AddOptions, stored: list[str]
) -> None:
    """Store a mask and let the tile teach or validate; inside a transaction."""
    tile = tiles.find(index, tile_id)
    _commit_version(index, tile, mask, options, stored)
    if options.pool in pools.WITH_MASK:  # the other tiles of the patient follow
        pools.decide(index, tile, options.pool, options.author)
        return
    target = options.pool or Pool.LABELLED
    index.connection.execute("UPDATE tile SET pool = ? WHERE id = ?", (target, tile_id))


def _commit_version(
    index: Store, tile: TileRecord, mask: FoundMask, options: AddOptions, stored: list[str]
) -> None:
    """Store the part of a mask inside a tile as its next version; inside a transaction."""
    labels = np.ascontiguousarray(mask.labels[tile.box.slices])
    classes = versions.checked_classes(mask.classes, labels, options.classes)
    new = versions.NewVersion(
        labels,
        np.zeros(labels.shape, bool),
        author=options.author,
        origin=IMPORTED,
        classes=classes,
    )
    path, sha256 = versions.store(index, tile, new)
    stored.append(path)
    versions.commit(index, tile, new, path, sha256)


def add_to_known(
    index: Store,
    path: Path,
    image_id: int,
    mask: FoundMask | None,
    options: AddOptions,
    tally: Tally,
) -> None:
    """Give masks to tiles of a known image: to those that have none, or only one from a file.

    A mask that a person corrected here stays, whatever the file says.
    """
    if mask is None:
        return
    stored: list[str] = []
    with index.unless_stored(stored), index.transaction():  # nobody accepts a mask meanwhile
        ids = index.rows("SELECT id FROM tile WHERE image_id = ? ORDER BY id", (image_id,))
        every = [tiles.find(index, row["id"]) for row in ids]
        of_mask = [tile for tile in every if mask.is_of(tile.box)]
        bare = [t for t in of_mask if t.annotation_id is None and t.pool is Pool.UNLABELLED]
        other = [t for t in of_mask if _differs(index, t, mask)]
        imported = [
            tile
            for tile in other
            if tile.annotation_id and versions.find(index, tile.annotation_id).origin == IMPORTED
        ]
        for tile in of_mask:
            _mend(index, tile, mask, tally)
        for tile in bare:
            commit_mask(index, tile.id, mask, options, stored)
        for tile in imported:
            _commit_version(index, tile, mask, options, stored)
    tally.labelled += [tile.id for tile in bare]
    if bare or imported:
        tally.measure(mask.labels, every[0].um_per_px)
    if bare:
        tally.notes.append(f"{path.name} was there already; its mask was added to it.")
    if imported:
        tally.notes.append(f"{path.name} was there already; its mask is the new one now.")
    if len(other) > len(imported):
        tally.notes.append(
            f"{path.name} was there already, with a mask corrected here, which was kept."
        )


def _mend(index: Store, tile: TileRecord, mask: FoundMask, tally: Tally) -> None:
    """Store a tile's mask again where it is the one that is gone or damaged."""
    if tile.annotation_id is None:
        return
    record, labels = versions.find(index, tile.annotation_id), mask.labels[tile.box.slices]
    if record.sha256 != content_hash(labels):
        return
    if mend(index.path / record.path, np.ascontiguousarray(labels), f"The mask of {tile.name}"):
        tally.notes.append(f"The stored mask of {tile.name} was gone or damaged; it is back.")


def _differs(index: Store, tile: TileRecord, mask: FoundMask) -> bool:
    if tile.annotation_id is None:
        return False
    labels = mask.labels[tile.box.slices]
    record = versions.find(index, tile.annotation_id)
    if record.sha256 != content_hash(labels):
        return True
    here = set(np.unique(labels).tolist())
    return any(record.classes.get(n, 1) != each for n, each in mask.classes.items() if n in here)
