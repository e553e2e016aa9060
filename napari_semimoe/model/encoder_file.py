"""A pretrained encoder from a file: its names and shapes tell what it is, no settings are needed.

Files of timm and torchvision are read, plain or inside a larger training's checkpoint: a prefix
such as ``teacher.backbone.`` is taken off, classifiers are left out, everything else must fit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from napari_semimoe.core.checkpoint_info import no_rights
from napari_semimoe.core.encoders import EncoderShape
from napari_semimoe.core.errors import CheckpointError, SettingsError
from napari_semimoe.core.settings import ModelSettings
from napari_semimoe.model.encoder_shape import LITE_STEM, RESNET_STEM, VIT_STEM, shape_of
from napari_semimoe.model.pretrained import build_encoder
from napari_semimoe.model.semi_moe import SemiMoE
from napari_semimoe.model.tensor_file import load_tensors

_STEMS = (RESNET_STEM, LITE_STEM, VIT_STEM)
#: What may stand before an encoder's own names.
_PREFIXES = {"backbone", "encoder", "model", "module", "state_dict", "teacher"}
#: What belongs to a classifier or to the encoder's own training.
_LEFT_OUT = (
    *("fc.", "fc_norm.", "head.", "classifier.", "mask_token"),
    *("_conv_head.", "_bn1.", "_fc."),
)
_COUNTER = "num_batches_tracked"  # counts steps of training; older files have none


def network_around(path: Path, settings: ModelSettings) -> SemiMoE:
    """Build a network around the encoder in a file; all other weights are random.

    Parameters
    ----------
    path
        A ``.safetensors`` file, or a torch file that holds nothing but tensors.
    settings
        With the architecture ``pretrained``; which encoder it is comes from the file.

    Raises
    ------
    CheckpointError
        If the file is missing, damaged, or holds none of the encoders that are known here.
    """
    shape, weights = read_encoder(Path(path))
    model = SemiMoE(settings.around(shape))
    model.get_submodule("backbone.encoder").load_state_dict(weights)
    return model


def read_encoder(path: Path) -> tuple[EncoderShape, dict[str, Tensor]]:
    """Return what the encoder in a file looks like, and its weights; see `network_around`."""
    found = _without_prefix(path, dict(_named("", _read(path))))
    try:
        shape = shape_of({name: tuple(value.shape) for name, value in found.items()})
    except KeyError as error:
        raise _foreign(path, f"{error.args[0]} is missing") from error
    except (IndexError, SettingsError, ValueError) as error:
        raise _foreign(path, str(error)) from error
    return shape, _fitted(path, shape, found)


def _read(path: Path) -> object:
    if path.suffix != ".safetensors":
        return load_tensors(path, lambda why: _foreign(path, why))
    try:
        return load_file(path)
    except FileNotFoundError as error:
        raise CheckpointError(f"The file {path} does not exist. Check the path.") from error
    except PermissionError as error:
        raise no_rights(path) from error
    except (OSError, SafetensorError) as error:
        raise _foreign(path, "it is damaged or cut short") from error


def _named(prefix: str, content: object) -> Iterator[tuple[str, Tensor]]:
    """Yield all tensors in nested dictionaries under their joined names."""
    if isinstance(content, Tensor):
        yield prefix, content
    elif isinstance(content, Mapping):
        for name, value in content.items():
            yield from _named(f"{prefix}.{name}" if prefix else str(name), value)


def _without_prefix(path: Path, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    prefixes = sorted(
        {
            name.removesuffix(stem)
            for name in tensors
            for stem in _STEMS
            if name.endswith(stem) and set(name.removesuffix(stem).split(".")) <= {*_PREFIXES, ""}
        }
    )
    if len(prefixes) != 1:
        known = ", ".join(prefixes) or f"it has none of {', '.join(_STEMS)}"
        raise _foreign(path, f"it holds several encoders, under {known}" if prefixes else known)
    return {
        name.removeprefix(prefixes[0]): value
        for name, value in tensors.items()
        if name.startswith(prefixes[0])
    }


def _fitted(path: Path, shape: EncoderShape, found: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights that the encoder needs, if the file holds these and no others."""
    with torch.device("meta"):
        wanted = build_encoder(shape).state_dict()
    needed = [name for name in wanted if not name.endswith(_COUNTER)]
    for name in needed:
        if name not in found:
            raise _foreign(path, f"{name} is missing")
        if found[name].shape != wanted[name].shape:
            sizes = f"{tuple(wanted[name].shape)}, got {tuple(found[name].shape)}"
            raise _foreign(path, f"{name} must have the shape {sizes}")
    for name in found:
        if name not in wanted and not name.startswith(_LEFT_OUT) and not name.endswith(_COUNTER):
            raise _foreign(path, f"{name} belongs to neither")
    counters = {name: torch.tensor(0) for name in wanted if name.endswith(_COUNTER)}
    return counters | {name: found[name].float() for name in needed}


def _foreign(path: Path, why: str) -> CheckpointError:
    return CheckpointError(
        f"A round cannot begin from the encoder in {path.name}. It must be a plain ResNet or a "
        "vision transformer with patches of 14 or 16 px, with the names that timm gives, or an "
        f"EfficientNet-Lite with those of efficientnet_lite_pytorch; {why}. "
        "Choose another file; for a model of this plugin use 'semimoe train --from', for one of "
        "the method's authors convert it with 'semimoe import-weights' first."
    )
