"""The index of a project: one connection, one lock, and transactions in words."""

from __future__ import annotations

import json
import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from pathlib import Path, PurePath
from typing import Any

from napari_semimoe.core.disk import discard
from napari_semimoe.core.errors import (
    ProjectCutOffError,
    ProjectError,
    ProjectFormatError,
    SemiMoEError,
    StorageError,
)
from napari_semimoe.project.records import now
from napari_semimoe.project.schema import ARRAY_FOLDERS, INDEX, SCHEMA

#: A reader beside the writer waits this long for a commit to end.
BUSY_SECONDS = 20.0


class Store:
    """SQLite index beneath a project's folder. Every method may be called from any thread."""

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self.path = path
        self.read_only = read_only
        self._guard = threading.RLock()
        mode = "ro" if read_only else "rw"
        with self._in_words():
            self._connection = sqlite3.connect(
                f"{sqlite_uri(path / INDEX)}?mode={mode}",
                uri=True,
                isolation_level=None,
                check_same_thread=False,
                timeout=BUSY_SECONDS,
            )
            self._connection.row_factory = sqlite3.Row
            try:
                self._prepare()
            except sqlite3.Error:
                self._connection.close()
                raise

    @staticmethod
    def create(path: Path) -> None:
        """Write an empty index."""
        with _in_words(path, read_only=False), closing(sqlite3.connect(path / INDEX)) as connection:
            connection.executescript(f"PRAGMA journal_mode=DELETE; BEGIN; {SCHEMA} COMMIT;")

    def _prepare(self) -> None:
        self._connection.execute("PRAGMA foreign_keys=ON")
        if not self.read_only:
            self._connection.execute("PRAGMA journal_mode=DELETE")
            # EXTRA also flushes the folder after a commit: a power cut cannot bring it back
            self._connection.execute("PRAGMA synchronous=EXTRA")
            self._connection.execute("PRAGMA fullfsync=ON")  # macOS: also the disk's own memory
        self._connection.execute("SELECT count(*) FROM tile").fetchone()

    def close(self) -> None:
        """Let go of the file."""
        with self._guard:
            self._connection.close()

    @property
    def connection(self) -> sqlite3.Connection:
        """The connection itself, for writing inside a `transaction`."""
        return self._connection

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[sqlite3.Row]:
        """Return all rows of a query."""
        with self._guard, self._in_words():
            return self._connection.execute(sql, values).fetchall()

    def row(self, sql: str, values: Sequence[Any] = ()) -> sqlite3.Row | None:
        """Return the first row of a query, or None."""
        with self._guard, self._in_words():
            return self._connection.execute(sql, values).fetchone()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Run the block as one commit: all of it is stored, or none.

        Raises
        ------
        StorageError
            If the disk refused.
        ProjectError
            If the project was opened for reading only.
        """
        self.refuse_if_read_only()
        with self._guard, self._in_words():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    @contextmanager
    def unless_stored(self, paths: Sequence[str]) -> Iterator[None]:
        """Where the block fails, remove the arrays at ``paths`` that no row refers to.

        A commit may have succeeded although the block failed: Ctrl+C is heard just after it.
        """
        try:
            yield
        except BaseException:
            with suppress(SemiMoEError):  # what stays behind is swept at the next opening
                for path in paths:
                    if not self._refers_to(path):
                        discard(self.path / path)
            raise

    def _refers_to(self, path: str) -> bool:
        return any(
            self.row(f"SELECT 1 FROM {table} WHERE path = ?", (path,)) for table in ARRAY_FOLDERS
        )

    def refuse_if_read_only(self) -> None:
        """Raise in words unless this project may be written."""
        if self.read_only:
            raise ProjectError(
                f"The project {self.path.name} was opened for reading only, so nothing can be "
                "stored in it. Close it where it is open for writing, then open it again."
            )

    def setting(self, key: str, default: Any = None) -> Any:
        """Return a small JSON value, or ``default``."""
        row = self.row("SELECT value FROM setting WHERE key = ?", (key,))
        return json.loads(row["value"]) if row else default

    def set_setting(self, key: str, value: Any) -> None:
        """Store a small JSON value."""
        with self.transaction() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO setting VALUES (?, ?)", (key, json.dumps(value))
            )

    def audit_trail(self) -> list[dict[str, Any]]:
        """Return the audit trail, oldest line first."""
        rows = self.rows("SELECT * FROM audit ORDER BY id")
        return [{**dict(row), "detail": json.loads(row["detail"])} for row in rows]

    def audit(self, author: str, what: str, tile_id: int | None, **detail: Any) -> None:
        """Add a line to the audit trail; call inside a transaction."""
        self._connection.execute(
            "INSERT INTO audit (created, author, what, tile_id, detail) VALUES (?, ?, ?, ?, ?)",
            (now(), author, what, tile_id, json.dumps(detail)),
        )

    def _in_words(self) -> AbstractContextManager[None]:
        return _in_words(self.path, read_only=self.read_only)


@contextmanager
def _in_words(path: Path, *, read_only: bool) -> Iterator[None]:
    try:
        yield
    except SemiMoEError:
        raise
    except (sqlite3.Error, OverflowError) as error:  # a number too large for a column
        raise _translated(path, error, read_only) from error


def sqlite_uri(path: PurePath) -> str:
    """Return a file's address as SQLite takes it, which knows no server before a path."""
    uri = path.as_uri()
    return uri if uri.startswith("file:///") else uri.replace("file://", "file:////", 1)


def _translated(path: Path, error: Exception, read_only: bool) -> SemiMoEError:
    code = (getattr(error, "sqlite_errorname", None) or "").split("_")
    kind = code[1] if len(code) > 1 else ""
    safe = "What was stored before is safe."
    if "closed database" in str(error):
        return ProjectError(f"The project {path.name} was closed meanwhile. {safe}")
    if kind == "FULL":
        return StorageError(
            f"The index of project {path.name} could not be stored: the disk is full; "
            f"free some space and try again. {safe}"
        )
    if kind == "READONLY" and read_only:  # a commit was cut off, and only a writer may undo it
        return ProjectCutOffError(
            f"The project {path.name} was cut off while it was storing something. "
            "Open it once for writing, so that it can put itself in order."
        )
    if kind in ("IOERR", "READONLY", "PERM"):
        return StorageError(
            f"The index of project {path.name} could not be stored: the disk refused ({error}); "
            f"check the disk and your rights. {safe}"
        )
    if kind in ("BUSY", "LOCKED"):
        return StorageError(
            f"The index of project {path.name} was busy for {BUSY_SECONDS:.0f} s; try again. {safe}"
        )
    if kind == "CANTOPEN" and (path / INDEX).is_file() and not os.access(path / INDEX, os.R_OK):
        return StorageError(
            f"The index {path / INDEX} cannot be read: the system refuses. Check your rights."
        )
    if kind in ("CORRUPT", "NOTADB", "CANTOPEN") or "no such table" in str(error):
        return ProjectFormatError(
            f"The index {path / INDEX} is missing or damaged ({error}). "
            "Restore it from a backup of the project; masks newer than the backup are then kept in "
            "the project's folder 'unreferenced'."
        )
    return ProjectError(f"The index of project {path.name} refused: {error}.")
