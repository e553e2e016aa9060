"""A project's folder while it is open: made, locked, put in order, and let go of."""

from __future__ import annotations

from pathlib import Path

from napari_semimoe.core.disk import discard, storing
from napari_semimoe.project import folder, pools, rounds, upgrade
from napari_semimoe.project.schema import FOLDERS, INDEX
from napari_semimoe.project.store import Store


def create_folder(path: Path, description: folder.Description) -> None:
    """Make the folder of a new project, with an empty index.

    Raises
    ------
    ProjectError
        Unless ``path`` is free or an empty folder.
    StorageError
        If the disk refused.
    """
    folder.refuse_unless_new(path)
    was_there = path.exists()
    try:
        with storing(f"The project {path.name}"):
            for part in FOLDERS:
                (path / part).mkdir(parents=True, exist_ok=True)
            discard(path / INDEX)  # of one that was killed before it was a project
            Store.create(path)
            folder.write_description(path, description)
    except BaseException:  # what is left would be neither a project nor an empty folder
        for entry in path.iterdir() if was_there else [path]:
            discard(entry)
        raise


class OpenFolder:
    """A project's folder that this process reads, or reads and writes.

    Opening for writing takes the project's lock, marks rounds whose process is gone as
    interrupted, removes predictions and unfinished files that no row refers to, and sets
    others aside.

    Parameters
    ----------
    path
        The folder or its ``project.json``, absolute.
    read_only
        Whether nothing is changed and no lock is taken.

    Attributes
    ----------
    path
        The folder.
    description
        What its ``project.json`` says.
    index
        Its tables.
    swept
        Names of left-over files that were removed or set aside.

    Raises
    ------
    ProjectFormatError
        If it is no project, damaged, or written by a newer version.
    ProjectLockedError
        If it is open for writing elsewhere.
    """

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self.path = folder.project_folder(path)
        self.description = folder.read_description(self.path)
        self.swept: list[str] = []
        self._lock = None if read_only else folder.take_lock(self.path)
        try:
            self.index = Store(self.path, read_only=read_only)
        except BaseException:
            self._unlock()
            raise
        if not read_only:
            self._put_in_order()

    def close(self) -> None:
        """Let go of the index and the lock; closing twice is harmless."""
        self.index.close()
        self._unlock()

    def _put_in_order(self) -> None:
        try:
            with storing(f"The project {self.path.name}"):
                for part in FOLDERS:  # what copies a project may leave empty ones out
                    (self.path / part).mkdir(exist_ok=True)
            upgrade.upgrade(self.index)
            rounds.interrupt_running(self.index)
            self.swept = folder.sweep(self.path, self.index)
            with self.index.transaction():
                pools.settle(self.index, self.description.author)
        except BaseException:
            self.close()
            raise

    def _unlock(self) -> None:
        if self._lock is not None:
            self._lock.release()
