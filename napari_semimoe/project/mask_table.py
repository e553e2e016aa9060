"""The table beside exported PNG masks: who made each, and which class its objects have."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from unicodedata import normalize

from napari_semimoe.core.errors import ImageReadError

NAME = "masks.csv"
#: How our own tables begin.
_HEAD = b"file,project,image,tile,"
#: Characters of a cell; Python allows too few for the classes of ten thousand objects.
_MOST_CHARACTERS = 2**31 - 1


def is_own(path: Path) -> bool:
    """Whether a file is a table that was written here."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(_HEAD)) == _HEAD


def read_rows(folder: Path) -> list[dict[str, str]]:
    """Read the table of our own in a folder; none has no rows.

    Raises
    ------
    ImageReadError
        If the table is damaged.
    """
    path = folder / NAME
    usual = csv.field_size_limit(_MOST_CHARACTERS)
    try:
        if not is_own(path):
            return []
        with path.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))
    except (OSError, ValueError, csv.Error) as error:
        raise ImageReadError(
            f"{path} cannot be read as a table ({error}). Repair or remove it."
        ) from error
    finally:
        csv.field_size_limit(usual)


def write_rows(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write a table with the columns of its last row."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[-1]), extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)


def read_classes(folder: Path) -> dict[str, str]:
    """Return what the table of a folder says of classes, by file name in Unicode's form NFC."""
    rows = read_rows(folder)
    return {normalize("NFC", row["file"]): row.get("classes") or "" for row in rows}


def parse_classes(text: str, path: Path) -> dict[int, str]:
    """Return the name of the class of each instance id from a cell; nothing from an empty one.

    Raises
    ------
    ImageReadError
        If the cell is damaged.
    """
    try:
        return {int(key): name.strip() for key, name in json.loads(text or "{}").items()}
    except (ValueError, AttributeError) as error:
        raise ImageReadError(
            f"{NAME} must give the classes of {path.name} as JSON of ids and names, got "
            f"{text[:40]}. Repair or remove the table."
        ) from error
