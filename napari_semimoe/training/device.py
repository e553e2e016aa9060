"""Choice of processor, threads and number format."""

from __future__ import annotations

import contextlib
import functools
from contextlib import AbstractContextManager

import torch

from napari_semimoe.core.cores import spare_cores
from napari_semimoe.core.errors import SettingsError
from napari_semimoe.model.semi_moe import SemiMoE


def choose_device(name: str) -> torch.device:
    """Turn a device setting into a device of this machine.

    Raises
    ------
    SettingsError
        If a device is asked for by name and is not there.
    """
    present = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if name == "auto":
        return torch.device(next(kind for kind, there in present.items() if there and works(kind)))
    if not present.get(name, False):
        found = ", ".join(kind for kind, there in present.items() if there)
        raise SettingsError(
            f"The device must be one that this computer has ({found}), got '{name}'. Choose "
            "'auto' or 'cpu'."
        )
    return torch.device(name)


@functools.cache
def works(kind: str) -> bool:
    """Whether a device can add: this build of torch may have nothing for a card that is there."""
    try:
        return kind == "cpu" or torch.ones(2, device=kind).sum().item() == 2
    except torch.OutOfMemoryError:  # it can when others have left it
        return True
    except RuntimeError:
        return False


def set_threads(count: int) -> int:
    """Set the processor threads; 0 leaves one core to the window. Return the number."""
    threads = count or spare_cores()
    torch.set_num_threads(threads)
    return threads


def gains_from_bfloat16(device: torch.device) -> bool:
    """Whether bfloat16 is faster than float32 here: GPUs and CPUs with instructions for it."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        capabilities = getattr(torch.cpu, "get_capabilities", dict[str, bool])()
        return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
    return False


def place(model: SemiMoE, device: torch.device) -> SemiMoE:
    """Move a network to a device, in the memory layout in which its convolutions are fastest.

    Channels last, but for U-Nets on a processor without bfloat16: there oneDNN takes two to three
    times as long for the gradients of their weights. The depthwise convolutions of a pretrained
    encoder gain more than that. Not on Apple's GPUs either: there torch's gradients of batch
    normalisation and pooling are wrong or crash in that layout (pytorch issues 175189, 175190).
    """
    unet = model.settings.architecture != "pretrained"
    first = device.type == "cpu" and unet and not gains_from_bfloat16(device)
    first = first or device.type == "mps"
    return model.placed(device, torch.contiguous_format if first else torch.channels_last)


def autocast(device: torch.device, wanted: bool) -> AbstractContextManager[object]:
    """Return a context in which convolutions use bfloat16 where that is faster."""
    if wanted and gains_from_bfloat16(device):
        return torch.autocast(device.type, dtype=torch.bfloat16)
    return contextlib.nullcontext()


def device_text(device: torch.device) -> str:
    """Name a device for a person."""
    if device.type == "cuda":
        return f"GPU {torch.cuda.get_device_name(device)}"
    return {"mps": "Apple GPU", "cpu": f"CPU, {torch.get_num_threads()} threads"}[device.type]
