"""Adding image files: each one wholly or not at all, one commit per file."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_semimoe.core.disk import as_text, storing
from napari_semimoe.core.errors import ImageReadError, ScaleUnknownError, ShapeError
from napari_semimoe.core.states import Pool
from napari_semimoe.core.values import Box
from napari_semimoe.project import patients, pools, scale, tiles
from napari_semimoe.project.arrays import content_hash, mend, write_array
from napari_semimoe.project.images import ImageFile, read_image, stem
from napari_semimoe.project.import_masks import (
    FoundMask,
    add_to_known,
    commit_mask,
    read_found_mask,
)
from napari_semimoe.project.import_options import AddOptions, Progress, ShouldStop, Tally
from napari_semimoe.project.records import AddReport, ImageRecord, now
from napari_semimoe.project.store import Store

#: Ending of the name of an image's tile, in small letters.
_TILE = re.compile(r"_r\d+c\d+$")


@dataclass(frozen=True, slots=True)
class _NewImage:
    path: Path
    pixels: NDArray[np.uint8]
    um_per_px: float
    patient: str | None
    sha256: str
    parts: tuple[tuple[str, Box, str], ...]  # ending of the tile's name, box, content hash
    mask: FoundMask | None


def add_files(
    index: Store,
    files: Mapping[Path, Path | None],
    options: AddOptions,
    *,
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
    tally = Tally(notes=list(notes))
    for done, (path, mask) in enumerate(files.items()):
        if should_stop and should_stop():
            tally.not_read = len(files) - done
            break
        if progress:
            progress(done, len(files), path.name)
        try:
            _add_file(index, path, mask, options, tally)
        except (ImageReadError, ShapeError) as error:
            tally.refused.append((path.name, str(error)))
            tally.without_scale += [path.name] * isinstance(error, ScaleUnknownError)
    with index.transaction():
        pools.settle(index, options.author)
    _name_patients(index, options, tally)
    tally.note_renamed()
    tally.note_small_objects()
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
        without_scale=tuple(tally.without_scale),
        rescaled=tally.rescaled,
    )


def _count_validation(index: Store, tally: Tally) -> int:
    validating = {tile.id for tile in tiles.every(index, Pool.VALIDATION)}
    return len(validating.intersection(tally.labelled))


def _add_file(
    index: Store,
    path: Path,
    mask_path: Path | None,
    options: AddOptions,
    tally: Tally,
) -> None:
    image = read_image(path)
    sha256 = content_hash(image.pixels)
    known = index.row("SELECT id FROM image WHERE sha256 = ?", (sha256,))
    mask = None
    if mask_path is not None:
        mask = read_found_mask(mask_path, image.pixels.shape[:2], sha256, options, tally)
    if known:
        tally.duplicates.append(path.name)
        record = tiles.image(index, known["id"])
        if mend(index.path / record.path, image.pixels, f"The image {record.name}"):
            tally.notes.append(
                f"The stored pixels of {record.name} were gone or damaged; they are back."
            )
        _correct_scale(index, path, image, record, options, tally)
        if patient := options.patient(path, record.patient):
            tally.patients[record.id] = patient
        add_to_known(index, path, known["id"], mask, options, tally)
        return
    if image.note:
        tally.notes.append(image.note)
    um_per_px = _um_per_px(path, image, options, tally)
    parts = _new_parts(index, path, image.pixels, options.tile_px, tally)
    if parts:
        patient = options.patient(path)
        new = _NewImage(path, image.pixels, um_per_px, patient, sha256, tuple(parts), mask)
        _store(index, new, options, tally)


def _correct_scale(
    index: Store,
    path: Path,
    image: ImageFile,
    known: ImageRecord,
    options: AddOptions,
    tally: Tally,
) -> None:
    """Give a known image the scale that was asked for, unless its file says one."""
    asked = options.um_per_px
    if not asked or image.um_per_px:  # often asked for the others of its folder
        return
    if scale.correct(index, [known], asked, options.author):
        tally.rescaled += 1
        tally.notes.append(
            f"{path.name} had {known.um_per_px:.3g} um per pixel and has {asked:.3g} now."
        )


def _name_patients(index: Store, options: AddOptions, tally: Tally) -> None:
    """Give known images the patients that are said of them now, all at once."""
    named = patients.assign(index, tally.patients, options.author)
    if named.images:
        tally.notes.append(named.sentence)


def _um_per_px(path: Path, image: ImageFile, options: AddOptions, tally: Tally) -> float:
    asked = options.um_per_px
    told = asked or image.um_per_px or options.um_per_px_if_silent
    if told is None:
        raise ScaleUnknownError(
            f"{path.name} does not say how many microns a pixel is. Give it: about 0.5 for a 20x "
            "scan, 0.25 for 40x."
        )
    tally.notes += scale.overridden(path.name, image.um_per_px, asked)
    return told


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
    index: Store, path: Path, pixels: NDArray[np.uint8], tile_px: int | None, tally: Tally
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


def _store(index: Store, new: _NewImage, options: AddOptions, tally: Tally) -> None:
    array = f"images/{uuid.uuid4().hex}.zarr"
    stored = [array]
    with index.unless_stored(stored):
        with storing(f"The image {new.path.name}"):
            write_array(index.path / array, new.pixels)
        with index.transaction():
            tile_ids = _insert(index, new, array, options, tally)
            labelled = []
            if new.mask is not None:
                boxes = [box for _, box, _ in new.parts]
                told = zip(tile_ids, boxes, strict=True)
                labelled = [tile_id for tile_id, box in told if new.mask.is_of(box)]
                for tile_id in labelled:
                    commit_mask(index, tile_id, new.mask, options, stored)
    tally.added += tile_ids
    tally.labelled += labelled
    if new.mask is not None:
        tally.measure(new.mask.labels, new.um_per_px)


def _insert(
    index: Store, new: _NewImage, array: str, options: AddOptions, tally: Tally
) -> list[int]:
    """Add the rows of an image and its tiles; inside a transaction."""
    wanted, source = as_text(stem(new.path)), as_text(str(new.path))
    name = _free_name(index, wanted)
    tally.renamed += [f"{source} is '{name}'"] * (name != wanted)
    height, width = new.pixels.shape[:2]
    image_id = index.connection.execute(
        "INSERT INTO image (name, source, sha256, path, height, width, um_per_px, patient,"
        " created) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (name, source, new.sha256, array, height, width, new.um_per_px, new.patient, now()),
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
