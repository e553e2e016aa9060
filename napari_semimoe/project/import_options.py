"""What a call to add files was asked for, and what it has done so far."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import get_args

from napari_semimoe.core.errors import SettingsError
from napari_semimoe.core.states import Pool
from napari_semimoe.project import mask_table, scale
from napari_semimoe.project.masks import MaskKind

#: Hears how many of how many files are done, and the name of the file at hand.
Progress = Callable[[int, int, str], None]
#: Asked before each file.
ShouldStop = Callable[[], bool]


@dataclass(frozen=True, slots=True)
class AddOptions:
    """How files are added; the same for all files of one call."""

    author: str
    classes: tuple[str, ...]
    um_per_px: float | None = None
    um_per_px_if_silent: float | None = None
    mask_kind: MaskKind = "instances"
    pool: Pool | None = None
    tile_px: int | None = 2048
    patients: Mapping[Path, str] = field(default_factory=dict)
    patients_if_silent: Mapping[Path, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for told in (self.um_per_px, self.um_per_px_if_silent):
            if told is not None:
                scale.check(told)
        if self.tile_px is not None and self.tile_px < 64:
            raise SettingsError(f"tile_px must be 64 or more, got {self.tile_px}.")
        if self.mask_kind not in get_args(MaskKind):
            raise SettingsError(f"mask_kind is 'instances' or 'classes', got {self.mask_kind!r}.")

    def patient(self, path: Path, known: str | None = None) -> str | None:
        """Return of which patient a file is, of which so much is known already."""
        told = self.patients.get(path) or known or self.patients_if_silent.get(path)
        return (told or "").strip() or None


@dataclass(slots=True)
class Tally:
    """What one call has done so far."""

    added: list[int] = field(default_factory=list)
    duplicates: list[str] = field(default_factory=list)
    refused: list[tuple[str, str]] = field(default_factory=list)
    labelled: list[int] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    not_read: int = 0
    without_scale: list[str] = field(default_factory=list)
    rescaled: int = 0
    patients: dict[int, str] = field(default_factory=dict)  # of known images, by id
    tables: dict[Path, dict[str, str]] = field(default_factory=dict)

    def classes_in(self, folder: Path) -> dict[str, str]:
        """Return what the table of a folder says of classes, read once."""
        if folder not in self.tables:
            self.tables[folder] = mask_table.read_classes(folder)
        return self.tables[folder]
