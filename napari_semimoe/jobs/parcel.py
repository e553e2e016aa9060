"""What travels: one zip with a job, one with its answer, so that no folder need be shared.

A parcel holds JSON, arrays without objects, and files; nothing in it is ever unpickled.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from zipfile import ZipFile

from napari_semimoe.core.disk import storing, written_whole
from napari_semimoe.core.errors import JobError
from napari_semimoe.project.rounds import MANIFEST

#: The JSON in a job's parcel and in its answer's.
JOB, ANSWER = "job.json", "answer.json"
#: Where a round lies in its own small project: a manifest is at rounds/<n>/manifest.json.
ROUND = "rounds/1"
#: Payload keys that name weights.
WEIGHT_KEYS = ("weights", "base")


def round_files(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield the files below a folder that belong to its work, by their name in it."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name not in (MANIFEST, "network.json"):
            yield path.relative_to(folder).as_posix(), path


def add_json(parcel: ZipFile, name: str, value: Mapping[str, Any]) -> None:
    """Add a JSON file."""
    parcel.writestr(name, json.dumps(value), zipfile.ZIP_DEFLATED, 1)


def inside(folder: Path, name: str) -> Path:
    """Return where a parcel's entry belongs; refuses one that would leave the folder."""
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise JobError(
            f"A parcel may name only files of its own folder, got {name!r}. Check who sent it."
        )
    return path


def write_file(path: Path, data: bytes) -> None:
    """Write a file whole and flushed, or not at all."""
    with storing(path.name):
        path.parent.mkdir(parents=True, exist_ok=True)
        with written_whole(path) as temporary:
            temporary.write_bytes(data)
