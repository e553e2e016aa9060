"""Where a round's model differs from the one that it began from, on one validation tile."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_semimoe.core.values import IGNORE
from napari_semimoe.project.found_masks import AFTER, BEFORE, read_found
from napari_semimoe.project.project import Project

SAME, BETTER, WORSE = 0, 1, 2


def read_difference(project: Project, number: int, tile_id: int) -> NDArray[np.uint8] | None:
    """Compare what both models mark with the tile's present mask.

    Returns
    -------
    ndarray or None
        ``(H, W)`` uint8: `BETTER` where only the round's model is right, `WORSE` where only the
        earlier one is, else `SAME`. None where one of them was not kept: the round began from
        nothing, or an earlier version trained it.
    """
    folder, name = project.round_folder(number), project.tile(tile_id).name
    before, after = read_found(folder / BEFORE, name), read_found(folder / AFTER, name)
    truth = project.read_labels(tile_id)
    if before is None or after is None or truth is None:
        return None
    return difference(before, after, truth)


def difference(
    before: NDArray[np.bool_], after: NDArray[np.bool_], truth: NDArray[np.integer]
) -> NDArray[np.uint8]:
    """Return where ``after`` is right and ``before`` is not, and the reverse; all ``(H, W)``."""
    changed = (before != after) & (truth != IGNORE)
    right = after == (truth > 0)
    return np.where(changed, np.where(right, BETTER, WORSE), SAME).astype(np.uint8)
