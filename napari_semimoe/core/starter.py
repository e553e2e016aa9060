"""Where the weights that ship with the package lie."""

from __future__ import annotations

from pathlib import Path


def starter_weights() -> Path | None:
    """Return the shipped checkpoint, or ``None`` in a build without one."""
    path = Path(__file__).resolve().parent.parent / "weights" / "starter.safetensors"
    return path if path.is_file() else None
