"""Which network sockets a process has, read from /proc (Linux)."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


def network_sockets(pid: int) -> list[str]:
    """Return the process's TCP and UDP sockets of any state; pairs inside it do not count."""
    mine = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            mine.add(os.readlink(link).removeprefix("socket:[").removesuffix("]"))
    found = []
    for table in ("tcp", "tcp6", "udp", "udp6"):
        path = Path(f"/proc/{pid}/net/{table}")
        lines = path.read_text().splitlines()[1:] if path.exists() else []
        found += [line for line in lines if line.split()[9] in mine]
    return found
