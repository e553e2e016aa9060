"""What a round's models mark on tiles, kept to show where they differ."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_semimoe.core.disk import DAMAGED, storing, write_arrays

#: Files in a round's folder, of the validation tiles: what the model that it began from marks,
#: and what its own does.
BEFORE, AFTER = "validation_before.npz", "validation_after.npz"
#: Of the unlabelled tiles: the pseudo-labels that taught, at working resolution.
PSEUDO = "pseudo_labels.npz"


def write_found(path: Path, masks: Mapping[str, NDArray[np.bool_]]) -> None:
    """Store masks ``(H, W)`` bool by tile name, whole or not at all.

    Raises
    ------
    StorageError
        If the disk refuses.
    """
    names = np.array(json.dumps(list(masks)))  # a tile's name may be no name for a file
    arrays = {str(index): mask for index, mask in enumerate(masks.values())}
    with storing(f"What the model marks, {path},"):
        write_arrays(path, names=names, **arrays)


def read_found(path: Path, tile: str) -> NDArray[np.bool_] | None:
    """Return the mask of one tile; None if it is not there or cannot be read."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            names = json.loads(str(stored["names"]))
            return stored[str(names.index(tile))]
    except DAMAGED:
        return None
