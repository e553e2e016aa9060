"""Adding image files: each one wholly or not at all, one commit per file."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_semimoe.core.disk import storing
from napari_semimoe.core.errors import ImageReadError, ScaleUnknownError, SettingsError, ShapeError
from napari_semimoe.core.states import Pool
from napari_semimoe.core.values import Box
from napari_semimoe.project import annotations, mask_geojson, mask_table, pools, scale, tiles
from napari_semimoe.project.arrays import content_hash, write_array
from napari_semimoe.project.images import ImageFile, read_image, stem
from napari_semimoe.project.masks import MaskKind, read_class_mask, read_mask
from napari_semimoe.project.records import AddReport, ImageRecord, TileRecord, now
from napari_semimoe.project.store import Store

#: Origin of a mask that came with its image.
IMPORTED = "imported"

#: Hears how many of how many files are done, and the name of the file at hand.
Progress = Callable[[int, int, str], None]
#: Ending of the name of an image's tile, in small letters.
_TILE = re.compile(r"_r\d+c\d+$")

#: Asked before each file.
ShouldStop = Callable[[], bool]


@dataclass(frozen=True, slots=True)
class AddOptions:
    """How files are added; the same for all files of one call."""

    author: str
    classes: tuple[str, ...]
    um_per_px: float | None = None
    mask_kind: MaskKind = "instances"
    pool: Pool | None = None
    tile_px: int | None = 2048

    def __post_init__(self) -> None:
        if self.um_per_px is not None:
            scale.check(self.um_per_px)
        if self.tile_px is not None and self.tile_px < 64:
            raise SettingsError(f"tile_px must be 64 or more, got {self.tile_px}.")
        if self.mask_kind not in ("instances", "classes"):
            raise SettingsError(f"mask_kind is 'instances' or 'classes', got {self.mask_kind!r}.")


@dataclass(slots=True)
class _Tally:
    added: list[int] = field(default_factory=list)
    duplicates: list[str] = field(default_factory=list)
    refused: list[tuple[str, str]] = field(default_factory=list)
    labelled: list[int] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    not_read: int = 0
    without_scale: int = 0
    rescaled: int = 0
    tables: dict[Path, dict[str, str]] = field(default_factory=dict)

    def classes_in(self, folder: Path) -> dict[str, str]:
        """Return what the table of a folder says of classes, read once."""
        if folder not in self.tables:
            self.tables[folder] = mask_table.read_classes(folder)
        return self.tables[folder]


@dataclass(frozen=True, slots=True)
class _Mask:
    labels: NDArray[np.uint16]
    classes: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class _NewImage:
    path: Path
    pixels: NDArray[np.uint8]
    um_per_px: float
    patient: str | None
    sha256: str
    parts: tuple[tuple[str, Box, str], ...]  # ending of the tile's name, box, content hash
    mask: _Mask | None


def add_files(
    index: Store,
    files: Mapping[Path, Path | None],
    options: AddOptions,
    *,
    patients: Mapping[Path, str],
    fallback_um_per_px: float | None = None,
    notes: tuple[str, ...] = (),
    progress: Progress | None = None,
    should_stop: ShouldStop | None = None,
) -> AddReport:
    """Add images with their masks.

    A file that is refused leaves the project as it was; the others are added. When the disk
    refuses, what was added before stays and `StorageError` is raised. What was added before
    ``should_stop`` says so stays, too.
    """
    index.refuse_if_read_only()
    tally = _Tally(notes=list(notes))
    for done, (path, mask) in enumerate(files.items()):
        if should_stop and should_stop():
            tally.not_read = len(files) - done
            break
        if progress:
            progress(done, len(files), path.name)
        try:
            _add_file(index, path, mask, options, patients.get(path), fallback_um_per_px, tally)
        except (ImageReadError, ShapeError) as error:
            tally.refused.append((path.name, str(error)))
            tally.without_scale += isinstance(error, ScaleUnknownError)
    with index.transaction():
        pools.settle(index, options.author)
    if progress and not tally.not_read:
        progress(len(files), len(files), "")
    return AddReport(
        added=tuple(tally.added),
        skipped_duplicates=tuple(tally.duplicates),
        refused=tuple(tally.refused),
        validation=_count_validation(index, tally),
        labelled=len(tally.labelled),
        notes=tuple(tally.notes),
        not_read=tally.not_read,
        without_scale=tally.without_scale,
        rescaled=tally.rescaled,
    )


def _count_validation(index: Store, tally: _Tally) -> int:
    validating = {tile.id for tile in tiles.every(index, Pool.VALIDATION)}
    return len(validating.intersection(tally.labelled))


def _add_file(
    index: Store,
    path: Path,
    mask_path: Path | None,
    options: AddOptions,
    patient: str | None,
    fallback: float | None,
    tally: _Tally,
) -> None:
    image = read_image(path)
    sha256 = content_hash(image.pixels)
    known = index.row("SELECT id FROM image WHERE sha256 = ?", (sha256,))
    mask = _read_mask(mask_path, image.pixels.shape[:2], options, tally) if mask_path else None
    if known:
        tally.duplicates.append(path.name)
        _correct_scale(index, path, tiles.image(index, known["id"]), options, tally)
        _add_masks_to_known(index, path, known["id"], mask, options, tally)
        return
    um_per_px = _um_per_px(path, image, options.um_per_px, fallback, tally)
    if image.note:
        tally.notes.append(image.note)
    parts = _new_parts(index, path, image.pixels, options.tile_px, tally)
    if parts:
        new = _NewImage(path, image.pixels, um_per_px, patient, sha256, tuple(parts), mask)
        _store(index, new, options, tally)


def _um_per_px(
    path: Path, image: ImageFile, asked: float | None, fallback: float | None, tally: _Tally
) -> float:
    told = asked or image.um_per_px or fallback
    if told is None:
        raise ScaleUnknownError(
            f"{path.name} does not say how many microns a pixel is. Give it: about 0.5 for a 20x "
            "scan, 0.25 for 40x."
        )
    if asked and image.um_per_px and abs(asked / image.um_per_px - 1) > 0.05:
        tally.notes.append(
            f"{path.name} says {image.um_per_px:.3g} um per pixel; the given {asked:.3g} was used."
        )
    return told


def _read_mask(path: Path, shape: tuple[int, int], options: AddOptions, tally: _Tally) -> _Mask:
    if path.suffix.lower() == mask_geojson.SUFFIX:
        labels, classes, notes = mask_geojson.read_geojson(path, shape, options.classes)
        tally.notes += notes
        return _Mask(labels, classes)
    if options.mask_kind == "classes":
        mask = _Mask(*read_class_mask(path, shape, len(options.classes)))
    else:
        said = tally.classes_in(path.parent).get(path.name, "")
        classes = mask_table.parse_classes(said, path, options.classes)
        mask = _Mask(read_mask(path, shape), classes)
        _note_one_class(mask, options, tally)
    if mask.labels.all():
        tally.notes.append(
            f"{path.name} covers the whole image: if 1 is its background, subtract 1 and add it "
            "again."
        )
    return mask


def _note_one_class(mask: _Mask, options: AddOptions, tally: _Tally) -> None:
    """Say once of what class objects are that a mask only numbers, if there are several."""
    note = (
        "Masks that number their objects say no class: all their objects are of the first, "
        f"{options.classes[1]}. Choose others in the window, or add masks of the kind 'classes'."
    )
    silent = not mask.classes and mask.labels.any()
    if silent and len(options.classes) > 2 and note not in tally.notes:
        tally.notes.append(note)


def tile_boxes(shape: tuple[int, int], tile_px: int | None) -> Iterator[tuple[str, Box]]:
    """Split an image into the fewest tiles of at most ``tile_px``, nearly equal in size.

    Yields
    ------
    tuple
        Ending of the tile's name ("" for an image that needs no splitting) and its box.
    """
    rows, columns = (_cuts(size, tile_px) for size in shape)
    single = len(rows) == len(columns) == 2
    for row in range(len(rows) - 1):
        for column in range(len(columns) - 1):
            ending = "" if single else f"_r{row + 1}c{column + 1}"
            yield ending, Box(rows[row], columns[column], rows[row + 1], columns[column + 1])


def _cuts(size: int, tile_px: int | None) -> list[int]:
    parts = 1 if tile_px is None else -(-size // tile_px)
    return [round(size * part / parts) for part in range(parts + 1)]


def _new_parts(
    index: Store, path: Path, pixels: NDArray[np.uint8], tile_px: int | None, tally: _Tally
) -> list[tuple[str, Box, str]]:
    """Return ending, box and hash of the tiles whose content is not in the project yet."""
    parts, seen = [], set()
    for ending, box in tile_boxes(pixels.shape[:2], tile_px):
        sha256 = content_hash(pixels[box.slices])
        known = index.row("SELECT 1 FROM tile WHERE content_hash = ?", (sha256,))
        if known or sha256 in seen:
            tally.duplicates.append(f"{path.name}{ending}")
            continue
        seen.add(sha256)
        parts.append((ending, box, sha256))
    return parts


def _store(index: Store, new: _NewImage, options: AddOptions, tally: _Tally) -> None:
    array = f"images/{uuid.uuid4().hex}.zarr"
    stored = [array]
    with index.unless_stored(stored):
        with storing(f"The image {new.path.name}"):
            write_array(index.path / array, new.pixels)
        with index.transaction():
            tile_ids = _insert(index, new, array, options)
            for tile_id in tile_ids if new.mask is not None else ():
                _commit_mask(index, tile_id, new.mask, options, stored)
    tally.added += tile_ids
    tally.labelled += tile_ids if new.mask is not None else []


def _insert(index: Store, new: _NewImage, array: str, options: AddOptions) -> list[int]:
    """Add the rows of an image and its tiles; inside a transaction."""
    name = _free_name(index, stem(new.path))
    height, width = new.pixels.shape[:2]
    image_id = index.connection.execute(
        "INSERT INTO image (name, source, sha256, path, height, width, um_per_px, patient,"
        " created) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (name, str(new.path), new.sha256, array, height, width, new.um_per_px, new.patient, now()),
    ).lastrowid
    # without a mask a tile cannot teach or validate, whatever pool was asked for
    pool = Pool.EXCLUDED if options.pool is Pool.EXCLUDED else Pool.UNLABELLED
    tile_ids = []
    for ending, box, sha256 in new.parts:
        cursor = index.connection.execute(
            "INSERT INTO tile (image_id, name, y0, x0, y1, x1, pool, content_hash)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (image_id, name + ending, box.y0, box.x0, box.y1, box.x1, pool, sha256),
        )
        tile_ids.append(int(cursor.lastrowid or 0))
    return tile_ids


def _commit_mask(
    index: Store, tile_id: int, mask: _Mask, options: AddOptions, stored: list[str]
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
    index: Store, tile: TileRecord, mask: _Mask, options: AddOptions, stored: list[str]
) -> None:
    """Store the part of a mask inside a tile as its next version; inside a transaction."""
    labels = np.ascontiguousarray(mask.labels[tile.box.slices])
    classes = annotations.checked_classes(mask.classes, labels, options.classes)
    new = annotations.NewVersion(
        labels,
        np.zeros(labels.shape, bool),
        author=options.author,
        origin=IMPORTED,
        classes=classes,
    )
    path, sha256 = annotations.store(index, tile, new)
    stored.append(path)
    annotations.commit(index, tile, new, path, sha256)


def _correct_scale(
    index: Store, path: Path, image: ImageRecord, options: AddOptions, tally: _Tally
) -> None:
    """Give a known image the scale that was asked for, if it has another."""
    asked = options.um_per_px
    if asked and scale.correct(index, [image], asked, options.author):
        tally.rescaled += 1
        tally.notes.append(
            f"{path.name} had {image.um_per_px:.3g} um per pixel and has {asked:.3g} now."
        )


def _add_masks_to_known(
    index: Store,
    path: Path,
    image_id: int,
    mask: _Mask | None,
    options: AddOptions,
    tally: _Tally,
) -> None:
    """Give masks to tiles of a known image: to those that have none, or only one from a file.

    A mask that a person corrected here stays, whatever the file says.
    """
    if mask is None:
        return
    of_image = [tile for tile in tiles.every(index) if tile.image_id == image_id]
    bare = [t for t in of_image if t.annotation_id is None and t.pool is Pool.UNLABELLED]
    other = [t for t in of_image if _differs(index, t, mask)]
    imported = [t for t in other if annotations.find(index, t.annotation_id).origin == IMPORTED]
    stored: list[str] = []
    with index.unless_stored(stored), index.transaction():
        for tile in bare:
            _commit_mask(index, tile.id, mask, options, stored)
        for tile in imported:
            _commit_version(index, tile, mask, options, stored)
    tally.labelled += [tile.id for tile in bare]
    if bare:
        tally.notes.append(f"{path.name} was there already; its mask was added to it.")
    if imported:
        tally.notes.append(f"{path.name} was there already; its mask is the new one now.")
    if len(other) > len(imported):
        tally.notes.append(
            f"{path.name} was there already, with a mask corrected here, which was kept."
        )


def _differs(index: Store, tile: TileRecord, mask: _Mask) -> bool:
    if tile.annotation_id is None:
        return False
    labels = mask.labels[tile.box.slices]
    record = annotations.find(index, tile.annotation_id)
    if record.sha256 != content_hash(labels):
        return True
    here = set(np.unique(labels).tolist())
    return any(record.classes.get(n, 1) != each for n, each in mask.classes.items() if n in here)


def _free_name(index: Store, wanted: str) -> str:
    """Return the name, or the name with a number that no image or tile has yet."""
    taken = {
        row["name"].lower()
        for row in index.rows("SELECT name FROM image UNION SELECT name FROM tile")
    }
    name, number = wanted, 2
    while any(name.lower() in (other, _TILE.sub("", other)) for other in taken):
        name, number = f"{wanted} ({number})", number + 1
    return name
