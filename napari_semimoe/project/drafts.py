"""Strokes that were made but not accepted yet, kept so that nothing a person did is lost.

One compressed file for each tile in the project's ``drafts`` folder, named after the tile's pixels:
a tile's number may be another's where an older index was put back. A draft is not an annotation:
it has no version, it never teaches, and it is gone once the tile is accepted.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_semimoe.core.disk import DAMAGED, remove, storage_error, write_arrays
from napari_semimoe.core.errors import StorageError
from napari_semimoe.project.folder import DESCRIPTION
from napari_semimoe.project.records import TileRecord

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Draft:
    """Unaccepted work on one tile.

    Attributes
    ----------
    labels
        ``(H, W)`` uint16 as the person left them.
    baseline
        ``(H, W)`` uint16 as shown before the first stroke.
    classes
        Class of each instance id.
    seconds
        Time spent on the tile so far.
    model
        Name of the model whose suggestion the work began with.
    baseline_classes
        Class of each instance id of ``baseline``.
    """

    labels: NDArray[np.uint16]
    baseline: NDArray[np.uint16]
    classes: Mapping[int, int] = field(default_factory=dict)
    seconds: float = 0.0
    model: str | None = None
    baseline_classes: Mapping[int, int] = field(default_factory=dict)


def draft_path(project: Path, tile: TileRecord) -> Path:
    """Return where the draft of a tile lies, whether it exists or not."""
    return project / "drafts" / f"{tile.content_hash}.npz"


def write_draft(project: Path, tile: TileRecord, draft: Draft) -> None:
    """Store a draft in place of the tile's previous one, all or nothing.

    Raises
    ------
    StorageError
        When the disk refuses; the previous draft is still there.
    """
    path = draft_path(project, tile)
    if not (project / DESCRIPTION).is_file():
        raise StorageError(
            f"The unaccepted strokes of {tile.name} could not be stored: the project's folder "
            f"{project} is gone. Put it back where it was, then accept the tile."
        )
    about = {"classes": dict(draft.classes), "seconds": draft.seconds, "model": draft.model}
    about |= {"baseline_classes": dict(draft.baseline_classes)}
    try:
        path.parent.mkdir(exist_ok=True)
        write_arrays(path, labels=draft.labels, baseline=draft.baseline, note=json.dumps(about))
    except OSError as error:
        raise storage_error(f"The unaccepted strokes of {tile.name}", error) from error


def read_draft(project: Path, tile: TileRecord) -> Draft | None:
    """Return the draft of a tile, or ``None`` when there is none that fits the tile's size."""
    path = draft_path(project, tile)
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            labels, baseline = stored["labels"], stored["baseline"]
            note = json.loads(str(stored["note"]))
    except FileNotFoundError:
        return None
    except DAMAGED:
        # A damaged draft must not keep a person from their tile.
        logger.warning("The draft %s cannot be read and is left aside", path, exc_info=True)
        return None
    if labels.shape != tile.box.shape or baseline.shape != tile.box.shape:
        return None
    classes, before = (
        {int(key): int(value) for key, value in note.get(name, {}).items()}
        for name in ("classes", "baseline_classes")
    )
    return Draft(labels, baseline, classes, float(note["seconds"]), note.get("model"), before)


def drop_draft(project: Path, tile: TileRecord) -> None:
    """Forget the draft of a tile, if there is one."""
    remove(draft_path(project, tile))


def drafted_tiles(project: Path) -> set[str]:
    """Return the content hashes of all tiles with unaccepted strokes."""
    return {path.stem for path in (project / "drafts").glob("*.npz")}
