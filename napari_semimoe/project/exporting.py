"""What every export shares: which tiles, under which names, each file whole or not at all."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from napari_semimoe.core.disk import (
    TEMPORARY,
    discard,
    patiently,
    storing,
    temporary_beside,
    written_whole,
)
from napari_semimoe.core.errors import ProjectError, ProjectFormatError
from napari_semimoe.core.states import Pool
from napari_semimoe.project.folder import DESCRIPTION
from napari_semimoe.project.import_options import Progress, ShouldStop
from napari_semimoe.project.project import Project
from napari_semimoe.project.records import AnnotationRecord, TileRecord, counted
from napari_semimoe.project.schema import FOLDERS

#: Writes some tiles into one file.
Write = Callable[[Path, Sequence[TileRecord]], None]
#: Raises where a path that some tiles would be written to must not be replaced.
Refuse = Callable[[Path, Sequence[TileRecord]], None]


class HowToExport(TypedDict, total=False):
    """How an export goes; every key may be left out.

    Attributes
    ----------
    tiles
        Tile ids; all curated tiles when they are not given.
    progress
        Hears how many of how many files are done, and the name of the next one.
    should_stop
        Asked before each file; what was written until then stays.
    """

    tiles: Iterable[int] | None
    progress: Progress | None
    should_stop: ShouldStop | None


#: What is unfinished and was not touched for so long, no export is writing any more.
_SURELY_LEFT_S = 3600.0
#: Of a file's name without its ending.
_MOST_BYTES = 200
#: Names that Windows keeps for devices.
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What an export wrote."""

    written: tuple[Path, ...]
    tiles: int
    cancelled: bool
    refused: tuple[tuple[str, str], ...] = ()  # name and why, of what could not be read

    @property
    def sentence(self) -> str:
        """One line for the window."""
        where = f" to {self.written[0].parent}" if self.written else ""
        ended = ", then cancelled" if self.cancelled else ""
        text = f"{counted(self.tiles, 'curated mask')} exported{where}{ended}."
        if self.refused:
            name, why = self.refused[0]
            text += f" {counted(len(self.refused), 'file')} could not be written: {name}: {why}"
        return text


@dataclass(frozen=True, slots=True)
class CuratedTile:
    """One tile with its latest mask."""

    tile: TileRecord
    annotation: AnnotationRecord
    labels: NDArray[np.uint16]

    def provenance(self, project: Project) -> dict[str, Any]:
        """Return who made the mask, when and from what, as plain JSON."""
        record, box = self.annotation, self.tile.box
        return {
            "project": project.name,
            "image": project.image(self.tile.image_id).name,
            "tile": self.tile.name,
            "box": [box.y0, box.x0, box.y1, box.x1],
            "pool": str(self.tile.pool),
            "author": record.author,
            "created": record.created,
            "origin": record.origin,
            "version": record.version,
            "model": record.model,
            "round": record.round,
            "changed_px": record.changed_px,
            "seconds": self.tile.seconds_of_effort,
            "image_sha256": self.tile.content_hash,
            "project_created": project.created,
            "mask_sha256": record.sha256,
        }


def export_files(
    project: Project,
    out: Path | str,
    ending: str,
    write: Write,
    *,
    name_of: Callable[[TileRecord], str] = lambda tile: tile.name,
    refuse: Refuse = lambda path, tiles: None,
    tiles: Iterable[int] | None = None,
    progress: Progress | None = None,
    should_stop: ShouldStop | None = None,
) -> ExportReport:
    """Write the curated tiles to a folder, those that ``name_of`` calls the same into one file.

    Parameters
    ----------
    ending
        Of the files' names.
    refuse
        Asked about all files before the first is written.
    tiles, progress, should_stop
        See `HowToExport`.

    Raises
    ------
    ProjectError
        If there is nothing to export, or a file of another program is in the way.
    StorageError
        If the disk refused.
    ProjectFormatError
        If nothing could be written because what is stored is damaged; else the others are.
    """
    groups = grouped(curated_tiles(project, tiles), name_of)
    folder = export_folder(Path(out))
    every = list(dict.fromkeys(name_of(tile) for tile in project.tiles()))
    files = dict(zip(every, file_names(every), strict=True))  # the same whichever are exported
    paths = {name: folder / f"{files[name]}{ending}" for name in groups}
    for name, group in groups.items():
        refuse(paths[name], group)

    def write_group(name: str, group: Sequence[TileRecord]) -> Path:
        write(paths[name], group)
        return paths[name]

    return in_turn(groups, write_group, progress=progress, should_stop=should_stop)


def grouped(
    tiles: Iterable[TileRecord], name_of: Callable[[TileRecord], str]
) -> dict[str, list[TileRecord]]:
    """Return tiles by what ``name_of`` calls them."""
    groups: dict[str, list[TileRecord]] = {}
    for tile in tiles:
        groups.setdefault(name_of(tile), []).append(tile)
    return groups


def in_turn(
    groups: Mapping[str, Sequence[TileRecord]],
    write: Callable[[str, Sequence[TileRecord]], Path],
    *,
    progress: Progress | None = None,
    should_stop: ShouldStop | None = None,
) -> ExportReport:
    """Write one group after the other, each into the file that ``write`` returns.

    Raises
    ------
    ProjectFormatError
        If nothing could be written because what is stored is damaged; else the others are.
    """
    written: list[Path] = []
    refused: list[tuple[str, str]] = []
    done = 0
    for name, group in groups.items():
        if should_stop and should_stop():
            break
        if progress:
            progress(len(written) + len(refused), len(groups), name)
        try:
            written.append(write(name, group))
        except ProjectFormatError as error:
            refused.append((name, str(error)))
            if len(refused) == len(groups):
                raise
        else:
            done += len(group)
    cancelled = len(written) + len(refused) < len(groups)
    return ExportReport(tuple(dict.fromkeys(written)), done, cancelled, tuple(refused))


def with_neighbours(project: Project, asked: Iterable[int]) -> list[int]:
    """Return tiles and all other curated ones of the same images."""
    tiles = {tile_id: project.tile(tile_id) for tile_id in asked}
    images = {tile.image_id for tile in tiles.values()}
    others = [tile.id for tile in project.tiles() if tile.image_id in images and goes_out(tile)]
    return sorted({*tiles, *others})


def curated_tiles(project: Project, tiles: Iterable[int] | None = None) -> list[TileRecord]:
    """Return the tiles to export: those named, or all with a mask that are not excluded.

    Raises
    ------
    ProjectError
        If there is none, or a named one has no mask.
    """
    if tiles is None:
        found = [tile for tile in project.tiles() if goes_out(tile)]
    else:
        found = [project.tile(tile_id) for tile_id in tiles]
    for tile in found:
        if tile.annotation_id is None:
            raise ProjectError(f"{tile.name} has no mask to export. Accept its mask first.")
    if not found:
        raise ProjectError("There is no curated mask to export yet. Accept a mask first.")
    return found


def goes_out(tile: TileRecord) -> bool:
    """Whether an export of everything has the tile."""
    return tile.annotation_id is not None and tile.pool is not Pool.EXCLUDED


def read_curated(project: Project, tile: TileRecord) -> CuratedTile:
    """Read a tile's latest mask."""
    if tile.annotation_id is None:
        raise ProjectError(f"{tile.name} has no mask to export. Accept its mask first.")
    record = project.annotation(tile.annotation_id)
    return CuratedTile(tile, record, project.read_annotation(record.id))


def identity(project: Project, tile: TileRecord) -> dict[str, str]:
    """Return by what a tile's own exports are known among those of other projects and images."""
    return {"project_created": project.created, "image_sha256": tile.content_hash}


def refuse_foreign(path: Path, *, is_own: bool, of: str = "image") -> None:
    """Raise where something that was not written from here would be replaced.

    Parameters
    ----------
    of
        What an earlier result that may be replaced has in common with this one.

    Raises
    ------
    ProjectError
        If ``path`` exists and is not our own.
    """
    if path.exists() and not is_own:
        raise ProjectError(
            f"{path} is in the way: it is not an earlier result of the same {of}. "
            "Choose another folder, or move it."
        )


def export_folder(out: Path) -> Path:
    """Make the folder that an export goes to.

    Raises
    ------
    ProjectError
        If it is a file, or one of those folders in which a project keeps its own files.
    StorageError
        If the disk refused.
    """
    out = Path(out).absolute()
    refuse_place(out)
    with storing(f"The export to {out}"):
        out.mkdir(parents=True, exist_ok=True)
        _sweep(out)
    return out


def _sweep(out: Path) -> None:
    """Remove what exports that were killed left unfinished; another may be at work just now."""
    for entry in out.glob(f"{TEMPORARY}*"):
        with suppress(OSError):
            if time.time() - entry.stat().st_mtime > _SURELY_LEFT_S:
                discard(entry)


def refuse_place(out: Path) -> None:
    """Raise where results would lie in a file, or among a project's own files."""
    if out.is_file():
        raise ProjectError(f"{out} is a file, and a folder is wanted. Name another.")
    for folder in (out, *out.parents):
        if folder.name.lower() in FOLDERS and (folder.parent / DESCRIPTION).is_file():
            raise ProjectError(
                f"{folder} holds the project's own files, and what is written there may be "
                "cleared away. Choose a folder beside it."
            )


def file_names(names: Sequence[str]) -> list[str]:
    """Return a file name for each name: allowed on every system, and none twice."""
    taken: set[str] = set()
    result = []
    for name in names:
        base = re.sub(r'[<>:"/\\|?*\x00-\x1f]', "_", name).rstrip(". ") or "tile"
        base = _shortened(f"_{base}" if _RESERVED.match(base) else base)
        unique, number = base, 2
        while unique.lower() in taken:
            unique, number = f"{base}-{number}", number + 1
        taken.add(unique.lower())
        result.append(unique)
    return result


def _shortened(name: str) -> str:
    """Return a name that leaves room for an ending in the 255 bytes that systems allow."""
    if len(name.encode()) <= _MOST_BYTES:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{name.encode()[: _MOST_BYTES - 9].decode(errors='ignore')}-{digest}"


def write_export(path: Path, write: Callable[[Path], object]) -> None:
    """Let ``write`` fill a temporary path, flush it, then put it in the place of ``path``."""
    old = temporary_beside(path)
    try:
        with storing(f"The export {path.name}"), written_whole(path) as temporary:
            patiently(lambda: write(temporary))  # libraries replace files of their own
            if path.is_dir():
                path.rename(old)
    finally:
        if old.exists() and not path.exists():
            old.rename(path)
        discard(old)
