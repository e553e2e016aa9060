"""Names in the order in which people count."""

from __future__ import annotations

import re

_NUMBER = re.compile("([0-9]+)")


def natural_key(name: str) -> list[str | int]:
    """Return a key that sorts ``tile_10`` after ``tile_9``."""
    parts: list[str | int] = list(_NUMBER.split(name.casefold()))  # text and number in turn
    parts[1::2] = map(int, parts[1::2])
    return parts
