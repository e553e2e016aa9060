"""The whole story behind a sentence in the window: a log file of this package."""

from __future__ import annotations

import logging
from logging.handlers import RotatingFileHandler
from pathlib import Path

_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class LogFile:
    """Writes what this package logs to ``window.log`` until it is closed.

    Parameters
    ----------
    folder
        Where the file lies; made when it is missing.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / "window.log"
        self._handler = RotatingFileHandler(
            self.path, maxBytes=1_000_000, backupCount=2, delay=True, encoding="utf-8"
        )
        self._handler.setFormatter(logging.Formatter(_FORMAT))
        logging.getLogger("napari_semimoe").addHandler(self._handler)

    def close(self) -> None:
        """Stop writing."""
        logging.getLogger("napari_semimoe").removeHandler(self._handler)
        self._handler.close()
