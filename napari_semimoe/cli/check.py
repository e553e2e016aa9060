"""``semimoe check``: what this computer has and what will be used."""

from __future__ import annotations

import importlib.util
import platform
import shutil
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil
import typer

from napari_semimoe import __version__
from napari_semimoe.cli.output import Json, result
from napari_semimoe.cli.output import facts as listed
from napari_semimoe.cli.virtual_screen import has_screen
from napari_semimoe.core.checkpoint_info import read_info
from napari_semimoe.core.cores import usable_cores
from napari_semimoe.core.errors import SemiMoEError
from napari_semimoe.core.starter import imagenet_encoder, starter_weights

LIBRARIES = ("napari", "torch", "numpy", "zarr", "ome-zarr", "scikit-image", "pydantic")
_INSTALL = 'pip install "napari-semimoe[all]"'
QT_BINDINGS = ("PyQt6", "PySide6", "PyQt5", "PySide2")


def check(as_json: Json = False) -> None:
    """Show what this computer has and what will be used.

    Hardware, versions, the device, and the weights that were found. Ends with exit code 1 if
    something is missing without which nothing can work.
    """
    facts = {
        "semimoe": __version__,
        "python": platform.python_version(),
        "system": platform.platform(),
        "processors": usable_cores(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "libraries": {name: _version(name) for name in LIBRARIES},
        "qt": _qt_binding(),
        "screen": _screen(),
        "compute": _compute(),
        "starter_weights": _starter(),
        "imagenet_encoder": _imagenet(),
    }
    problems = _problems(facts)
    rows = [(name, _in_words(value)) for name, value in facts.items()]
    told = problems or ["All that is needed is there."]
    result({**facts, "problems": problems}, [listed("", rows), *told], as_json)
    if problems:
        raise typer.Exit(1)


def _in_words(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_in_words(item)}" for name, item in value.items())
    return {None: "none", True: "yes", False: "no"}.get(value, str(value))


def _problems(facts: dict[str, Any]) -> list[str]:
    missing = [name for name, found in facts["libraries"].items() if found is None]
    told = []
    if missing:
        told.append(f"Missing: {', '.join(missing)}. Install: {_INSTALL}")
    if "error" in facts["compute"]:
        told.append(f"torch does not work here: {facts['compute']['error']}. Install it anew.")
    return told


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _qt_binding() -> str:
    for name in QT_BINDINGS:
        if importlib.util.find_spec(name):
            return f"{name} {_version(name)}"
    return f"none: the command line works, the window does not ({_INSTALL})"


def _screen() -> str:
    if has_screen():
        return "yes"
    return "none, a virtual one will be used" if shutil.which("Xvfb") else "none"


def _compute() -> dict[str, Any]:
    try:
        from napari_semimoe.training import device
    except (ImportError, OSError) as error:  # OSError: a torch library that cannot be loaded
        return {"error": str(error)}
    chosen = device.choose_device("auto")
    return {
        "device": device.device_text(chosen),
        "bfloat16": device.gains_from_bfloat16(chosen),
    }


def _starter() -> dict[str, Any] | None:
    path = starter_weights()
    if path is None:
        return None
    try:
        info = read_info(path)
    except SemiMoEError as error:
        return {"path": _relative(path), "error": str(error)}
    return {
        "path": _relative(path),
        "architecture": info.model.architecture,
        "width": info.model.width,
        "um_per_px": info.model.um_per_px,
    }


def _imagenet() -> str:
    path = imagenet_encoder()
    if path is None:
        return f"none: rounds cannot begin from it ({_INSTALL})"
    return _relative(path)


def _relative(path: Path) -> str:
    for folder in sys.path:
        if folder and path.is_relative_to(folder):
            return str(path.relative_to(folder))
    return str(path)
