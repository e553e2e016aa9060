"""Writing so that what was said to be stored is stored, and saying in words when it is not."""

from __future__ import annotations

import errno
import os
import shutil
import sys
import time
import uuid
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from napari_semimoe.core.errors import StorageError

#: What reading a damaged file of compressed arrays raises.
DAMAGED = (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile, zlib.error)

#: Marks files and folders that are being written; swept when a project is opened.
TEMPORARY = ".tmp-"

#: Windows refuses to rename, replace or remove what a scanner, an indexer or a synchroniser has
#: open for a moment, which they do with new files. Seconds to wait before each new try.
_PAUSES = (0.05, 0.1, 0.2, 0.4, 0.8) if os.name == "nt" else ()
#: Longer paths are refused by Windows, by some programs a little sooner.
_LONG_PATH = 240

_REASONS = {
    errno.ENOSPC: "the disk is full; free some space and try again",
    errno.EDQUOT: "your disk quota is used up; free some space and try again",
    errno.EROFS: "the disk is read-only; choose a place that can be written",
    errno.EACCES: "writing is not permitted there; choose a place that can be written",
    errno.EPERM: "writing is not permitted there; choose a place that can be written",
    errno.ENOENT: "the folder is gone; reconnect the disk or reopen the project",
    errno.EIO: "the disk reported an error; check it before going on",
}


def storage_error(what: str, error: OSError) -> StorageError:
    """Put a refusal of the disk in words."""
    reason = _windows_reason(error) or _REASONS.get(
        error.errno or 0, f"the system says '{error.strerror or error}'"
    )
    return StorageError(f"{what} could not be stored: {reason}. What was stored before is safe.")


def _windows_reason(error: OSError) -> str | None:
    """Return why Windows refused where its own number says more than that of other systems."""
    number = getattr(error, "winerror", None)
    if number == 5:
        return (
            "another program may have it open, or writing is not permitted there; try again, or "
            "choose another place"
        )
    if number in (32, 33):
        return "another program has the file open; close it there and try again"
    if number == 206 or (number == 3 and len(str(error.filename)) > _LONG_PATH):
        return "the path is too long for Windows; choose a folder with a shorter path"
    return None


@contextmanager
def storing(what: str) -> Iterator[None]:
    """Turn an `OSError` of the block into a `StorageError` that names ``what``."""
    try:
        yield
    except StorageError:
        raise
    except OSError as error:
        raise storage_error(what, error) from error


def as_text(words: str) -> str:
    """Return what a database takes: a file's name in it need not be text."""
    return words.encode(errors="backslashreplace").decode()


def temporary_beside(path: Path) -> Path:
    """Return a new hidden name in the folder of ``path``, so that a rename stays on one disk."""
    return path.with_name(f"{TEMPORARY}{uuid.uuid4().hex[:12]}")


def flush(path: Path) -> None:
    """Flush one file, or one folder's list of names, to the disk."""
    if os.name == "nt" and path.is_dir():
        return  # Windows has no handle for a folder; its journal keeps names
    handle = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        _flush_handle(handle)
    except OSError as error:
        # some network disks cannot flush a folder, and keep names by themselves
        if error.errno not in (errno.EINVAL, errno.ENOTSUP) or not path.is_dir():
            raise
    finally:
        os.close(handle)


def _flush_handle(handle: int) -> None:
    if sys.platform == "darwin":  # where fsync leaves the data in the disk's own memory
        import fcntl

        with suppress(OSError):  # a network disk may not know it
            fcntl.fcntl(handle, fcntl.F_FULLFSYNC)
            return
    os.fsync(handle)


def flush_tree(folder: Path) -> None:
    """Flush every file and folder below ``folder``, itself included."""
    for parent, _, files in os.walk(folder):
        for name in files:
            flush(Path(parent, name))
        flush(Path(parent))


def publish(temporary: Path, path: Path) -> None:
    """Flush a finished temporary file or folder and give it its name in one step."""
    if temporary.is_dir():
        patiently(lambda: flush_tree(temporary))
    else:
        _permit_as_usual(temporary)
        patiently(lambda: flush(temporary))
    patiently(lambda: os.replace(temporary, path))
    flush(path.parent)


def patiently(do: Callable[[], object]) -> None:
    """Do what the system may refuse while another program has a file open for a moment."""
    for pause in _PAUSES:
        try:
            do()
        except PermissionError:
            time.sleep(pause)
        else:
            return
    do()


def _permit_as_usual(file: Path) -> None:
    """Give a file the permissions of any new one; some libraries make theirs for the owner only."""
    if os.name == "nt":
        return
    new = temporary_beside(file)
    new.touch()  # asking for the umask would change it for all threads
    try:
        with suppress(PermissionError):  # some network disks do not know permissions
            file.chmod(new.stat().st_mode)
    finally:
        new.unlink()


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Yield a temporary path to fill, which then takes the place of ``path``; or nothing does.

    Raises
    ------
    FileNotFoundError
        If its folder is gone: some libraries would make it anew, where nobody looks for it.
    """
    if not path.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path.parent))
    temporary = temporary_beside(path)
    try:
        yield temporary
        publish(temporary, path)
    except BaseException:
        discard(temporary)
        raise


def write_text(path: Path, text: str) -> None:
    """Replace a text file so that a reader sees the old or the new text, never a part."""
    with written_whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_arrays(path: Path, **arrays: Any) -> None:
    """Replace an ``.npz`` file as `write_text` does a text."""
    with written_whole(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **arrays)  # a path would get another ending


def remove(path: Path) -> None:
    """Remove a file that may be missing."""
    patiently(lambda: path.unlink(missing_ok=True))


def discard(path: Path) -> None:
    """Remove a file or folder that nothing refers to; what cannot go now is swept later."""
    with suppress(OSError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
