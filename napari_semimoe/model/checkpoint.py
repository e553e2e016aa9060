"""Write and read checkpoints: safetensors with our JSON in the header, never a pickle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from napari_semimoe import __version__
from napari_semimoe.core.checkpoint_info import METADATA_KEY, CheckpointInfo, read_info
from napari_semimoe.core.disk import write_text, written_whole
from napari_semimoe.core.errors import CheckpointError, StorageError
from napari_semimoe.core.values import known_classes
from napari_semimoe.model.semi_moe import SemiMoE


def save_checkpoint(
    path: Path, model: SemiMoE, info: CheckpointInfo, *, half: bool = False
) -> None:
    """Write the weights and their description; the file appears whole or not at all.

    Parameters
    ----------
    path
        Ends in ``.safetensors``; the same JSON is written beside it as ``.json`` for people.
    half
        Store 16-bit floats: half the size, predictions change by about 1e-3.

    Raises
    ------
    CheckpointError
        If a weight is no number.
    StorageError
        If the disk refuses. An older file at ``path`` is then still whole.
    """
    text = info.model_dump_json(indent=1)
    state = {
        name: (value.half() if half and value.is_floating_point() else value)
        .detach()
        .cpu()
        .contiguous()
        for name, value in model.state_dict().items()
    }
    _check_numbers(state, "learned")
    try:
        with written_whole(path) as unfinished:
            save_file(state, unfinished, metadata={METADATA_KEY: text})
        write_text(path.with_suffix(".json"), text + "\n")
    except (OSError, SafetensorError) as error:
        raise StorageError(
            f"The weights could not be written to {path} ({error}). Free some space there or "
            "choose another folder; the previous model is untouched."
        ) from error


def load_checkpoint(path: Path) -> tuple[SemiMoE, CheckpointInfo]:
    """Build the network that a checkpoint describes and load its weights, on the CPU.

    Raises
    ------
    CheckpointError
        If the file is missing, damaged, a pickle, does not fit its own description, or holds
        weights that are no numbers.
    """
    info = read_info(Path(path))
    model = SemiMoE(info.model)
    try:
        state = {
            name: value.float() if value.is_floating_point() else value
            for name, value in load_file(path).items()
        }
        model.load_state_dict(state)
    except (RuntimeError, SafetensorError, OSError) as error:
        reason = str(error).strip().splitlines()[-1].strip().rstrip(".")  # the first says where
        raise CheckpointError(
            f"The weights in {Path(path).name} do not fit the network that it names ({reason}). "
            "Choose another model."
        ) from error
    _check_numbers(model.state_dict(), f"in {Path(path).name}")
    return model.eval(), info


def _check_numbers(state: Mapping[str, Tensor], which: str) -> None:
    if not all(value.isfinite().all() for value in state.values()):
        raise CheckpointError(
            f"The weights {which} must be numbers, got some that are none or infinite: a network "
            "of them marks nothing. Choose another model; in a new round, lower the learning rate."
        )


def describe(model: SemiMoE, **values: object) -> CheckpointInfo:
    """Describe a network with this package's version."""
    return CheckpointInfo.parse({"model": model.settings, "package_version": __version__} | values)


def with_classes(model: SemiMoE, classes: Sequence[str]) -> SemiMoE:
    """Return a network for other classes: what it knows of them stays, the others begin at zero.

    Which are which, `known_classes` says.
    """
    places = known_classes(model.settings.classes, classes)
    if places == list(range(model.settings.n_classes)):
        model.settings = model.settings.changed(classes=tuple(classes))
        return model
    fitted = SemiMoE(model.settings.changed(classes=tuple(classes)))
    state = model.state_dict()
    for name in (f"{heads}.segmentation" for heads in ("expert_heads", "gated_heads")):
        for part in (f"{name}.weight", f"{name}.bias"):
            before = state[part]
            state[part] = before.new_zeros(len(places), *before.shape[1:])
            for number, place in enumerate(places):
                if place is not None:
                    state[part][number] = before[place]
    fitted.load_state_dict(state)
    return fitted


def copy_of(model: SemiMoE) -> SemiMoE:
    """Return a network with the same weights that shares no memory with ``model``.

    It lies in memory as ``model`` does: numbers depend on the layout in their last bits.
    """
    device = next(model.parameters()).device
    twin = SemiMoE(model.settings).placed(device, model.layout)
    with torch.no_grad():
        twin.load_state_dict(model.state_dict())
    return twin
