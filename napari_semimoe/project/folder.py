"""The project's folder: what it is, who holds it, and what may be swept out of it."""

from __future__ import annotations

import getpass
import json
import os
import platform
import re
import uuid
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout
from pydantic import Field

from napari_semimoe.core.closed_settings import Settings
from napari_semimoe.core.disk import TEMPORARY, discard, storage_error, write_text
from napari_semimoe.core.errors import (
    ProjectError,
    ProjectFormatError,
    ProjectLockedError,
    SettingsError,
    StorageError,
)
from napari_semimoe.core.values import USUAL_CLASSES
from napari_semimoe.project.schema import ARRAY_FOLDERS, FOLDERS, FORMAT, INDEX

if TYPE_CHECKING:
    from napari_semimoe.project.store import Store

DESCRIPTION = "project.json"
#: A prediction that was written, below the project; anything else there is a person's.
_PREDICTION = re.compile(r"predictions/[0-9a-f]{32}\.zarr")


class Description(Settings):
    """What ``project.json`` holds: the part of a project that any text editor can show."""

    format: int = Field(FORMAT, ge=1)
    name: str = Field(min_length=1)
    classes: tuple[str, ...] = Field(USUAL_CLASSES, min_length=2, max_length=255)
    author: str = Field(min_length=1)
    created: str


def login_name() -> str:
    """Return the name of whoever is logged in, or "unknown"."""
    try:
        return getpass.getuser() or "unknown"
    except (OSError, KeyError, ImportError):
        return "unknown"


def refuse_unless_new(path: Path) -> None:
    """Raise unless ``path`` is free, an empty folder, or what a killed attempt has left there."""
    if path.is_dir() and not _is_unfinished(path):
        raise ProjectError(
            f"A project needs a new or empty folder, but {path} holds files. "
            "Choose another name, or open it if it is a project."
        )
    if path.exists() and not path.is_dir():
        raise ProjectError(f"A project needs a folder, but {path} is a file. Choose another name.")


def _is_unfinished(path: Path) -> bool:
    """Whether a folder holds nothing, or only the beginnings of a project."""
    entries = _entries(path)
    empty = [each for each in entries if each.name in FOLDERS and not _entries(each)]
    index = [each for each in entries if each.name in (INDEX, f"{INDEX}-journal")]
    return len(empty) + len(index) == len(entries)


def write_description(path: Path, description: Description) -> None:
    """Write ``project.json``; its presence is what makes the folder a project."""
    write_text(path / DESCRIPTION, json.dumps(description.model_dump(), indent=2) + "\n")


def project_folder(path: Path) -> Path:
    """Return a project's folder, which may also be named by its ``project.json``."""
    return path.parent if path.name == DESCRIPTION else path


def read_description(path: Path) -> Description:
    """Read ``project.json``, refusing what is no project, damaged, or newer than this version."""
    values = _read_json(path)
    found = values.get("format")
    if not isinstance(found, int) or isinstance(found, bool) or found < 1:
        raise ProjectFormatError(
            f"{path / DESCRIPTION} must hold a whole 'format' of 1 or more, got {found!r}. "
            "Restore the file from a backup."
        )
    if found > FORMAT:
        raise ProjectFormatError(
            f"The project {path.name} was written by a newer version of napari-semimoe "
            f"(project format {found}; this version reads up to {FORMAT}). "
            "Update napari-semimoe to open it."
        )
    try:
        return Description.parse(values)
    except SettingsError as error:
        raise ProjectFormatError(
            f"{path / DESCRIPTION} is damaged: {str(error).rstrip('.')}. Restore it from a backup."
        ) from error


def _read_json(path: Path) -> dict[str, object]:
    try:
        values = json.loads((path / DESCRIPTION).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ProjectFormatError(
            f"{path} is not a Semi-MoE project: it has no {DESCRIPTION}. "
            "Choose the folder that holds it, or make a new project."
        ) from error
    except OSError as error:
        raise StorageError(
            f"The project {path} cannot be read ({error.strerror}). Check the disk and your rights."
        ) from error
    except (ValueError, RecursionError) as error:
        raise ProjectFormatError(
            f"{path / DESCRIPTION} is damaged ({error}). Restore it from a backup."
        ) from error
    if not isinstance(values, dict):
        raise ProjectFormatError(
            f"{path / DESCRIPTION} must hold an object, got a {type(values).__name__}. "
            "Restore it from a backup."
        )
    return values


def take_lock(path: Path) -> FileLock:
    """Become the only writer; the system lets go of the lock when the process dies.

    Raises
    ------
    ProjectLockedError
        Naming who holds it.
    """
    lock = FileLock(path / "lock", timeout=0, thread_local=False)
    try:
        lock.acquire()
    except Timeout as error:
        raise ProjectLockedError(
            f"The project {path.name} is already open for writing{_holder(path)}. "
            "Close it there first."
        ) from error
    except OSError as error:
        raise storage_error(f"The lock of project {path.name}", error) from error
    try:
        holder = f"{login_name()} on {platform.node()}, process {os.getpid()}"
        write_text(path / "lock-holder", holder)
    except OSError:  # the name is a courtesy; the lock itself holds
        return lock
    return lock


def _holder(path: Path) -> str:
    try:
        return f" by {(path / 'lock-holder').read_text(encoding='utf-8').strip()}"
    except (OSError, ValueError):
        return " in another window"


def sweep(path: Path, index: Store) -> list[str]:
    """Clear away what no row refers to; return its names.

    Unfinished files and predictions are removed. Images, masks and rounds go to the folder
    ``unreferenced``: they are a person's work if the index is an older one from a backup.
    """
    known = {
        folder: {Path(row[0]).name for row in index.rows(f"SELECT path FROM {table}")}
        for table, folder in ARRAY_FOLDERS.items()
    }
    known["rounds"] = {str(row[0]) for row in index.rows("SELECT number FROM round")}
    unknown = [
        entry
        for folder, names in known.items()
        for entry in _entries(path / folder)
        if entry.name not in names
    ]
    inside = [each for folder in ("models", "rounds") for each in _entries(path / folder)]
    parts = [path, path / "drafts", *(each for each in inside if each not in unknown)]
    unfinished = [entry for part in parts for entry in _entries(part) if TEMPORARY in entry.name]
    for entry in (*unknown, *unfinished):
        if TEMPORARY in entry.name or _PREDICTION.fullmatch(f"{entry.parent.name}/{entry.name}"):
            discard(entry)
        else:
            _set_aside(entry, path / "unreferenced" / entry.parent.name)
    return [entry.name for entry in (*unknown, *unfinished)]


def _set_aside(entry: Path, folder: Path) -> None:
    target = folder / entry.name
    if target.exists():
        target = folder / f"{entry.name}-{uuid.uuid4().hex[:8]}"
    with suppress(OSError):  # it may stay where it is
        folder.mkdir(parents=True, exist_ok=True)
        entry.rename(target)


def _entries(folder: Path) -> list[Path]:
    """Return what lies in a folder, without what file managers leave there by themselves."""
    if not folder.is_dir():
        return []
    return sorted(each for each in folder.iterdir() if not is_of_file_manager(each))


def is_of_file_manager(path: Path) -> bool:
    """Whether macOS or Windows made a file by itself, to remember a folder's looks."""
    return path.name in (".DS_Store", "Thumbs.db", "desktop.ini") or path.name.startswith("._")
