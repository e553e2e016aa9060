"""Of which patient images are: a table beside them says it, or a person does later."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple
from unicodedata import normalize

from napari_semimoe.core.errors import ImageReadError, SettingsError
from napari_semimoe.project import pools, tiles
from napari_semimoe.project.images import SUFFIXES, stem
from napari_semimoe.project.records import counted
from napari_semimoe.project.store import Store

#: The table that is looked for beside images and one folder above, and the one of GlaS.
TABLE, GLAS_TABLE = "patients.csv", "Grade.csv"
#: Headings in small letters, the first that fits.
_NAME = ("name", "image", "file")
_PATIENT = ("patient", "patient id", "patient_id")
_SEPARATORS = ",;\t"


class Named(NamedTuple):
    """How many images have another patient than before, and how many tiles moved by it."""

    images: int
    moved: int

    @property
    def sentence(self) -> str:
        """One line for the window."""
        if not self.images:
            return "The patient is what it was."
        moved = f", and {counted(self.moved, 'tile')} moved with it" if self.moved else ""
        return f"The patient of {counted(self.images, 'image')} was set{moved}."


def read_table(path: Path) -> dict[str, str]:
    """Return patient by image name from a table with a column ``name`` and one ``patient``.

    Names may have their file's ending or not; cells are separated by commas, semicolons or tabs.

    Raises
    ------
    ImageReadError
        If it cannot be read, has no such columns, or gives one image two patients.
    """
    return _parsed(_read_rows(path), path)


def _parsed(rows: list[list[str]], path: Path) -> dict[str, str]:
    head = _head(rows)
    name, patient = _column(head, _NAME), _column(head, _PATIENT)
    if name is None or patient is None:
        raise ImageReadError(
            f"{path} needs a column 'name' and a column 'patient', got "
            f"{', '.join(map(repr, head)) or 'none'}. Repair or remove it."
        )
    found: dict[str, str] = {}
    for row in rows[1:]:
        if len(row) > max(name, patient) and row[name] and row[patient]:
            key = _key(row[name])
            if found.setdefault(key, row[patient]) != row[patient]:
                raise ImageReadError(
                    f"{path} says of {row[name]} that it is of the patient {found[key]}, and of "
                    f"{row[patient]}. Repair the table."
                )
    return found


def patient_of(path: Path, table: Mapping[str, str]) -> str | None:
    """Return the patient of an image from a table, or None.

    A name in it stands for the file of this name, else for all whose names go on from it with
    something other than a letter or a digit: ``S12`` for ``S12 [x=0,y=512].png``, too.
    """
    name = stem(path).casefold()
    if name in table:
        return table[name]
    begun = [
        key for key in table if name.startswith(key) and not name[len(key) : len(key) + 1].isalnum()
    ]
    return table[max(begun, key=len)] if begun else None


def beside(images: Iterable[Path]) -> tuple[dict[Path, str], tuple[str, ...]]:
    """Return the patients of images of which tables beside them say it.

    And a sentence for each table that cannot be used: it may be there for something else.
    """
    tables: dict[Path, dict[str, str]] = {}
    notes: dict[str, None] = {}
    found = {}
    for image in images:
        folder = image.parent
        if folder not in tables:
            try:
                tables[folder] = _table_of(folder)
            except ImageReadError as error:
                tables[folder] = {}
                notes[f"No patients were read. {error}"] = None
        patient = patient_of(image, tables[folder])
        if patient is not None:
            found[image] = patient
    return found, tuple(notes)


def read_glas(folder: Path) -> dict[str, str]:
    """Return patient by image name from the GlaS challenge's table; empty where it is absent."""
    path = folder / GLAS_TABLE
    if not path.is_file():
        return {}
    rows = _read_rows(path)
    return _parsed(rows, path) if {"name", "patient id"} <= set(_head(rows)) else {}


def assign(index: Store, wanted: Mapping[int, str | None], author: str) -> Named:
    """Say of which patients images are, by their ids; None: of an unknown one.

    The tiles of a patient stand on one side of training and validation, see `pools.regroup`.

    Raises
    ------
    SettingsError
        If a name is empty.
    """
    if any(patient is not None and not patient.strip() for patient in wanted.values()):
        raise SettingsError("A patient needs a name, got an empty one. Give one, or none at all.")
    with index.transaction() as connection:
        known = {image.id: image for image in tiles.images(index)}
        stripped = {image_id: name and name.strip() for image_id, name in wanted.items()}
        changed = {i: name for i, name in stripped.items() if known[i].patient != name}
        if not changed:
            return Named(0, 0)
        before = {tile.id: tile.pool for tile in tiles.every(index)}
        for image_id, patient in changed.items():
            image = known[image_id]
            connection.execute("UPDATE image SET patient = ? WHERE id = ?", (patient, image_id))
            told = {"image": image.name, "before": image.patient, "now": patient}
            index.audit(author, "patient", None, **told)
        pools.regroup(index, changed, author)
        moved = sum(tile.pool is not before[tile.id] for tile in tiles.every(index))
    return Named(len(changed), moved)


def _table_of(folder: Path) -> dict[str, str]:
    for path in (folder / TABLE, folder.parent / TABLE):
        if path.is_file():
            return read_table(path)
    return read_glas(folder)


def _read_rows(path: Path) -> list[list[str]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
        first = text.split("\n", 1)[0]
        separator = max(_SEPARATORS, key=first.count)
        rows = csv.reader(text.splitlines(), delimiter=separator)
        return [[cell.strip() for cell in row] for row in rows if row]
    except FileNotFoundError as error:
        raise ImageReadError(f"The table {path} does not exist. Check its path.") from error
    except (OSError, ValueError, csv.Error) as error:
        raise ImageReadError(
            f"{path} cannot be read as a table ({error}). Save it as CSV in UTF-8, or remove it."
        ) from error


def _head(rows: list[list[str]]) -> list[str]:
    return [cell.lower() for cell in rows[0]] if rows else []


def _column(head: list[str], names: tuple[str, ...]) -> int | None:
    return next((head.index(each) for each in names if each in head), None)


def _key(name: str) -> str:
    path = Path(name)
    known = path.suffix.lower() in SUFFIXES
    return (stem(path) if known else normalize("NFC", name)).casefold()
