"""The words beside the weights: what a checkpoint is, readable without torch.

A checkpoint is one safetensors file. Its header carries our JSON under the key ``semimoe``; the
same JSON lies beside the file for people. Nothing is ever unpickled.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import Field, model_validator
from safetensors import SafetensorError, safe_open

from napari_semimoe.core.closed_settings import Settings
from napari_semimoe.core.errors import CheckpointError
from napari_semimoe.core.settings import ModelSettings

METADATA_KEY = "semimoe"
SUFFIX = ".safetensors"


class CheckpointInfo(Settings):
    """What must be known to use a set of weights, and where they come from."""

    model: ModelSettings
    step: int = Field(0, ge=0)
    package_version: str
    data_hash: str = ""
    base: str = ""
    note: str = ""
    training: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _without_threshold(cls, values: Any) -> Any:
        """Read the files of early versions, whose threshold nothing ever used."""
        if isinstance(values, dict):
            return {name: value for name, value in values.items() if name != "threshold"}
        return values


def read_info(path: Path) -> CheckpointInfo:
    """Read the JSON in a checkpoint's header; the tensors are not touched.

    Raises
    ------
    CheckpointError
        If the file is missing, truncated, a pickle, or not one of our checkpoints.
    """
    text = _read_header(Path(path)).get(METADATA_KEY)
    if text is None:
        raise CheckpointError(
            f"{Path(path).name} holds weights but not what they are for. Use a file written by "
            "this plugin, convert the authors' file with 'semimoe import-weights', or give a "
            "pretrained encoder to 'semimoe train --encoder'."
        )
    try:
        return CheckpointInfo.parse(json.loads(text))
    except (ValueError, TypeError, RecursionError) as error:
        raise CheckpointError(
            f"{Path(path).name} is damaged or was written by a version that this one cannot read "
            f"({str(error).rstrip('.')}). Copy it again, or update napari-semimoe."
        ) from error


def is_foreign(path: Path) -> bool:
    """Whether a file holds weights, but not of one of our checkpoints; False where none can be."""
    try:
        if Path(path).suffix != SUFFIX:
            return Path(path).is_file()
        return METADATA_KEY not in _read_header(Path(path))
    except CheckpointError:
        return False


def may_hold_tensors(path: Path) -> bool:
    """Whether a file begins as those of safetensors or torch do."""
    try:
        with path.open("rb") as file:
            start = file.read(9)
    except PermissionError as error:
        raise no_rights(path) from error
    return start[4:] == bytes(4) + b"{" or start.startswith((b"PK\x03\x04", b"\x80"))


def no_rights(path: Path) -> CheckpointError:
    """Return what a person needs to know of a file that the system does not let them read."""
    return CheckpointError(f"You have no rights to read {path}. Ask for them, or copy the file.")


def _read_header(path: Path) -> dict[str, str]:
    """Return the words in a safetensors file's header."""
    try:
        _refuse_others(path)
        with safe_open(path, "np") as file:
            return file.metadata() or {}
    except FileNotFoundError as error:
        raise CheckpointError(
            f"The weights file {path} does not exist. Choose another model or file."
        ) from error
    except PermissionError as error:
        raise no_rights(path) from error
    except SafetensorError as error:
        raise CheckpointError(
            f"The weights file {path.name} is damaged or cut short. Copy it again or choose "
            "another model."
        ) from error


def _refuse_others(path: Path) -> None:
    """Raise for a folder, a pickle, or a file that was never one of safetensors."""
    if path.is_dir():
        raise CheckpointError(f"{path} is a folder, not a weights file. Choose a file in it.")
    with path.open("rb") as file:
        start = file.read(9)
    # a safetensors file begins with the length of its JSON, which may look like a pickle's start
    is_length = start[4:] == bytes(4) + b"{"
    pickled = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
    if start.startswith(pickled) and not is_length:
        raise CheckpointError(
            f"{path.name} is a pickled torch file, which can run code when it is opened. Only "
            "safetensors files are loaded; convert the authors' file with "
            "'semimoe import-weights FILE --out WEIGHTS.safetensors', or give a pretrained encoder "
            "to 'semimoe train --encoder'."
        )
    if len(start) == 9 and not is_length:
        raise CheckpointError(
            f"{path.name} is no weights file: those end in .safetensors and come from this plugin, "
            "or from 'semimoe import-weights'. Choose another."
        )
