"""How many processor cores there are to use."""

from __future__ import annotations

import os


def usable_cores() -> int:
    """Return the cores that this process may use: a container or a cluster allots fewer."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def spare_cores() -> int:
    """Return the usable cores but the one that is left to the window; at least 1."""
    return max(1, usable_cores() - 1)
