"""Read the tensors of a foreign torch file; code in it never runs."""

from __future__ import annotations

import pickle
import struct
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors import SafetensorError

from napari_semimoe.core.checkpoint_info import no_rights
from napari_semimoe.core.errors import CheckpointError

#: What torch's reader raises over bytes that are no file of its own.
_DAMAGE = (
    *(pickle.UnpicklingError, RuntimeError, EOFError, OSError, struct.error),
    *(LookupError, ValueError, TypeError, AttributeError),
    SafetensorError,  # newer versions of torch read these files, too
)


def load_tensors(source: Path, foreign: Callable[[str], CheckpointError]) -> object:
    """Return what a pickled torch file holds, if that is tensors in plain containers.

    Parameters
    ----------
    foreign
        Makes the error from what is wrong with the file.

    Raises
    ------
    CheckpointError
        If the file is missing, damaged, or holds anything else.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about foreign pickles, which are refused below
            return torch.load(source, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise CheckpointError(f"The file {source} does not exist. Check the path.") from error
    except PermissionError as error:
        raise no_rights(source) from error
    except _DAMAGE as error:
        raise foreign("it is damaged or holds more than tensors") from error
