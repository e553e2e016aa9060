"""Sorting names as people do."""

from __future__ import annotations


def natural_key(name: str) -> list[tuple[int, int, str]]:
    """Return a key that sorts ``tile_10`` after ``tile_9``."""
    parts: list[tuple[int, int, str]] = []
    digits = ""
    for letter in name.casefold() + "\0":
        if letter.isascii() and letter.isdigit():
            digits += letter
            continue
        if digits:
            parts.append((0, int(digits), ""))
            digits = ""
        parts.append((1, 0, letter))
    return parts
