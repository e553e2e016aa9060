"""What a call to add files was asked for, and what it has done so far."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from napari_semimoe.core.errors import SettingsError
from napari_semimoe.core.settings import MIN_OBJECT_UM2
from napari_semimoe.core.states import Pool
from napari_semimoe.core.values import IGNORE
from napari_semimoe.project import mask_table, scale
from napari_semimoe.project.masks import MaskKind

#: Objects below the size that predictions mark from which it is told, their least share, and the
#: share of all that may be smaller than twice the size that is advised.
_ENOUGH, _MANY, _FEW = 10, 0.1, 0.05

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
    renamed: list[str] = field(default_factory=list)
    patients: dict[int, str] = field(default_factory=dict)  # of known images, by id
    tables: dict[Path, dict[str, str]] = field(default_factory=dict)
    areas_um2: list[float] = field(default_factory=list)  # of the objects of masks that were added

    def measure(self, labels: NDArray[np.uint16], um_per_px: float) -> None:
        """Keep how large the objects of a mask are."""
        counts = np.bincount(labels[(labels > 0) & (labels < IGNORE)])
        self.areas_um2 += (counts[counts > 0] * um_per_px**2).tolist()

    def note_renamed(self) -> None:
        """Say which images have another name than their file."""
        if self.renamed:
            self.notes.append(
                "Images whose file's name was taken have a number after it: "
                f"{len(self.renamed)} (first: {self.renamed[0]})."
            )

    def note_small_objects(self) -> None:
        """Say it where many objects are smaller than what predictions mark."""
        areas = np.sort(self.areas_um2)
        small = int(np.searchsorted(areas, MIN_OBJECT_UM2))
        if small >= max(_ENOUGH, _MANY * len(areas)):
            least = f"{float(f'{0.5 * areas[int(_FEW * len(areas))]:.2g}'):g}"
            self.notes.append(
                f"{small} of {len(areas)} objects in the masks are smaller than "
                f"{MIN_OBJECT_UM2:.0f} square microns, and so small ones are not marked at first. "
                f"Set 'Smallest gland' in the Preferences to about {least} (--min-object, and "
                f"--set min_object_um2={least} for the scores of a round)."
            )

    def note_once(self, *notes: str) -> None:
        """Keep sentences that were not said before."""
        self.notes += [note for note in notes if note not in self.notes]

    def classes_in(self, folder: Path) -> dict[str, str]:
        """Return what the table of a folder says of classes, read once."""
        if folder not in self.tables:
            self.tables[folder] = mask_table.read_classes(folder)
        return self.tables[folder]
