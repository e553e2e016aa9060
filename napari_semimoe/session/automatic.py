"""When a round is due by itself: after 3, 6, 12, 24, ... accepted tiles."""

from __future__ import annotations

from napari_semimoe.core.states import Pool
from napari_semimoe.project.project import Project

#: Accepted tiles before the first round; each further round waits for twice as many.
FIRST = 3
#: Project setting: the milestone that the last round began with.
_COVERED = "milestone_of_last_round"


def milestone(accepted: int) -> int:
    """Return the largest of 0, 3, 6, 12, 24, ... that ``accepted`` has reached."""
    return 0 if accepted < FIRST else FIRST * 2 ** ((accepted // FIRST).bit_length() - 1)


def is_due(project: Project) -> bool:
    """Whether a milestone was reached since the last round began, however that was started."""
    return _reached(project) > project.setting(_COVERED, 0)


def note_start(project: Project) -> None:
    """Remember that a round begins with the tiles accepted so far."""
    project.set_setting(_COVERED, _reached(project))


def _reached(project: Project) -> int:
    return milestone(len(project.tiles(Pool.CURATED)))
