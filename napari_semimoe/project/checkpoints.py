"""Weights files from elsewhere, kept inside the project so that it can be moved as a whole."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

from napari_semimoe.core.disk import storing, written_whole

FOLDER = "models"


def keep(project: Path, source: Path) -> Path:
    """Copy a file to ``models/<hash>/<name>``, once, and return where it lies in the project.

    A file that lies inside the project already stays where it is.
    """
    source = source.resolve()
    if source.is_relative_to(project.resolve()):
        return source
    with storing(f"The weights file {source.name}"):
        with source.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        target = project / FOLDER / digest[:12] / source.name
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            with written_whole(target) as temporary:
                shutil.copyfile(source, temporary)
    return target
