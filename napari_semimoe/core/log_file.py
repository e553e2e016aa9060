"""The whole story behind a sentence: a log file of this package, in the person's log folder."""

from __future__ import annotations

import logging
from contextlib import suppress
from logging.handlers import RotatingFileHandler
from pathlib import Path

import platformdirs

_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


def default_log_dir() -> Path:
    """Return the per-user folder for logs."""
    return platformdirs.user_log_path("napari-semimoe", appauthor=False)


class _RotatingFile(RotatingFileHandler):
    """Writes on where Windows refuses to rename a file that another window has open."""

    def rotate(self, source: str, dest: str) -> None:
        with suppress(OSError):
            super().rotate(source, dest)


class LogFile:
    """Writes what this package logs to a file until it is closed.

    Parameters
    ----------
    path
        The file; its folder is made when it is missing.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._handler = _RotatingFile(
            path, maxBytes=1_000_000, backupCount=2, delay=True, encoding="utf-8"
        )
        self._handler.setFormatter(logging.Formatter(_FORMAT))
        logging.getLogger("napari_semimoe").addHandler(self._handler)

    def close(self) -> None:
        """Stop writing."""
        logging.getLogger("napari_semimoe").removeHandler(self._handler)
        self._handler.close()
