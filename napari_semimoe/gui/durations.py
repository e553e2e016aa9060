"""How long something still takes, in words."""

from __future__ import annotations


def time_left(seconds: float) -> str:
    """Say how long something still takes, no more exactly than is honest."""
    if seconds < 10:
        return "a few seconds left"
    if seconds < 90:
        return f"about {10 * round(seconds / 10)} seconds left"
    if seconds < 90 * 60:
        return f"about {round(seconds / 60)} minutes left"
    return f"about {seconds / 3600:.1f} hours left"
