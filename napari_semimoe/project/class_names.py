"""The names of a project's classes. Their order never changes: masks hold their numbers."""

from __future__ import annotations

from collections.abc import Sequence

from napari_semimoe.core.errors import SettingsError
from napari_semimoe.project.mask_geojson import IGNORE_CLASS, REGION_CLASS


def checked(names: Sequence[str], new: Sequence[str]) -> tuple[str, ...]:
    """Return the names without space around them, the background first.

    Parameters
    ----------
    new
        Those that the project did not have before.

    Raises
    ------
    SettingsError
        If a class has no name, or two have the same, or a new one has a sign that stands between
        two names (``semimoe classes --rename OLD=NEW``).
    """
    found = tuple(each.strip() for each in names)
    # other programs' files tell classes by name, in capitals or not
    taken = {IGNORE_CLASS.casefold(), REGION_CLASS.casefold(), ""}
    distinct = {each.casefold() for each in found} - taken
    if len(distinct) < len(found):
        raise SettingsError(
            f"Every class needs a name of its own, not {IGNORE_CLASS} or {REGION_CLASS}, got "
            f"{', '.join(map(repr, names))}. Leave the background out; it is there already."
        )
    if odd := [each for each in new if "=" in each]:
        raise SettingsError(f"The name of a class has no '=', got {odd[0]!r}. Choose another.")
    return found


def renamed(names: Sequence[str], old: str, new: str) -> tuple[str, ...]:
    """Return the names with another one for a class besides the background.

    Raises
    ------
    SettingsError
        If there is no such class, or the new name is taken.
    """
    known = [each.casefold() for each in names]
    if old.strip().casefold() not in known[1:]:
        raise SettingsError(
            f"There is no class '{old}'; the project has {', '.join(names[1:])}. Name one of these."
        )
    place = known.index(old.strip().casefold())
    return checked([*names[:place], new, *names[place + 1 :]], [new])
