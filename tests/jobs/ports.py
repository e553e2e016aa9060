"""Which network sockets a process has, read from /proc (Linux)."""

from __future__ import annotations

import contextlib
import os
import socket
from pathlib import Path

_LISTENING = "0A"  # the kernel's number for this state


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


def family(pid: int) -> list[int]:
    """Return a process and all that it started, and those in turn."""
    children = [
        int(child)
        for listed in Path(f"/proc/{pid}/task").glob("*/children")
        for child in listed.read_text().split()
    ]
    return [pid, *(member for child in children for member in family(child))]


def ports_of_all_interfaces(pid: int) -> list[int]:
    """Return the ports where a process listens for other machines, not only for its own."""
    fields = [line.split() for line in network_sockets(pid)]
    addresses = [entry[1].split(":") for entry in fields if entry[3] == _LISTENING]
    return [int(port, 16) for host, port in addresses if not _is_loopback(host)]


def _is_loopback(host: str) -> bool:
    """Whether an address is 127.x.x.x, which the kernel writes backwards."""
    return len(host) == 8 and host.endswith("7F")


def answers_plainly(port: int) -> bool:
    """Whether a port of this machine answers somebody who shows no certificate."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as line:
        line.sendall(b"GET /json/identity.json HTTP/1.0\r\n\r\n")
        with contextlib.suppress(ConnectionResetError):
            return line.recv(5) == b"HTTP/"
    return False
