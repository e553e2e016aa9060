"""The words beside the weights: what a checkpoint is, readable without torch.

A checkpoint is one safetensors file. Its header carries our JSON under the key ``semimoe``; the
same JSON lies beside the file for people. Nothing is ever unpickled.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

from pydantic import Field

from napari_semimoe.core.closed_settings import Settings
from napari_semimoe.core.errors import CheckpointError, SettingsError
from napari_semimoe.core.settings import ModelSettings

METADATA_KEY = "semimoe"
SUFFIX = ".safetensors"
_LARGEST_HEADER = 100_000_000  # the safetensors format's own limit, bytes


class CheckpointInfo(Settings):
    """What must be known to use a set of weights, and where they come from."""

    model: ModelSettings
    threshold: float = Field(0.5, gt=0, lt=1)
    step: int = Field(0, ge=0)
    package_version: str
    data_hash: str = ""
    base: str = ""
    note: str = ""
    training: dict[str, Any] = Field(default_factory=dict)


def read_info(path: Path) -> CheckpointInfo:
    """Read the JSON in a checkpoint's header; the tensors are not touched.

    Raises
    ------
    CheckpointError
        If the file is missing, truncated, a pickle, or not one of our checkpoints.
    """
    header = _read_header(Path(path))
    text = header.get("__metadata__", {}).get(METADATA_KEY)
    if text is None:
        raise CheckpointError(
            f"{Path(path).name} holds weights but not what they are for. Use a file written by "
            "this plugin, convert the authors' file with 'semimoe import-weights', or give a "
            "pretrained encoder to 'semimoe train --encoder'."
        )
    try:
        return CheckpointInfo.parse(json.loads(text))
    except (SettingsError, json.JSONDecodeError) as error:
        raise CheckpointError(
            f"{Path(path).name} was written by a version that this one cannot read ({error}). "
            "Update napari-semimoe."
        ) from error


def is_foreign(path: Path) -> bool:
    """Whether a file holds weights, but not of one of our checkpoints; False where none can be."""
    try:
        if Path(path).suffix != SUFFIX:
            return Path(path).is_file()
        return METADATA_KEY not in _read_header(Path(path)).get("__metadata__", {})
    except CheckpointError:
        return False


def _read_header(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            start = file.read(8)
            _refuse_pickle(path, start)
            length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
            if not 2 <= length <= min(_LARGEST_HEADER, path.stat().st_size - 8):
                raise _damaged(path)
            header = json.loads(file.read(length))
    except FileNotFoundError as error:
        raise CheckpointError(
            f"The weights file {path} does not exist. Choose another model or file."
        ) from error
    except (ValueError, IsADirectoryError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise _damaged(path) from error
    _check_length(path, 8 + length, header)
    return header


def _check_length(path: Path, start: int, header: dict[str, Any]) -> None:
    tensors = [entry for name, entry in header.items() if name != "__metadata__"]
    expected = start + max((entry["data_offsets"][1] for entry in tensors), default=0)
    if path.stat().st_size != expected:
        raise _damaged(path)


def _refuse_pickle(path: Path, start: bytes) -> None:
    if start.startswith((b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")):
        raise CheckpointError(
            f"{path.name} is a pickled torch file, which can run code when it is opened. Only "
            "safetensors files are loaded; convert the authors' file with "
            "'semimoe import-weights FILE --out WEIGHTS.safetensors', or give a pretrained encoder "
            "to 'semimoe train --encoder'."
        )


def _damaged(path: Path) -> CheckpointError:
    return CheckpointError(
        f"The weights file {path.name} is damaged or cut short. Copy it again or choose "
        "another model."
    )
