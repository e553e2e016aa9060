"""Memory: what to do where it does not hold a step, and that it is free after a round."""

from __future__ import annotations

import ctypes
import gc
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from napari_semimoe.core.settings import RoundSettings

#: Options of ``mallopt`` in ``malloc.h``.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4

#: Smaller crops than this show too little of a gland.
_SMALLEST_CROP = 128


def _glibc() -> ctypes.CDLL | None:
    """Return the C library of nearly all Linux systems; ``None`` on others."""
    if sys.platform != "linux":
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "gnu_get_libc_version") else None


_GLIBC = _glibc()


def halved(settings: RoundSettings) -> RoundSettings:
    """Return settings whose step needs about half the memory; the same if none is left to save.

    First the batches are halved, down to one crop of each pool, then the crop's side.
    """
    labelled, unlabelled = settings.labelled_batch, settings.unlabelled_batch
    if max(labelled, unlabelled) > 1:
        return settings.changed(
            labelled_batch=max(1, labelled // 2),
            unlabelled_batch=min(unlabelled, max(1, unlabelled // 2)),
        )
    side = 16 * (settings.crop_px // 32)  # crops are whole multiples of 16
    return settings.changed(crop_px=side) if side >= _SMALLEST_CROP else settings


@contextmanager
def given_back() -> Iterator[None]:
    """Give back the memory of what is inside when it ends, also when it fails.

    A graphics card's memory would else stay with this process, which waits for its next round.
    """
    try:
        yield
    except BaseException as error:
        raised: BaseException | None = error
        while raised is not None:  # the frames of a failure hold the network
            traceback.clear_frames(raised.__traceback__)
            raised = raised.__context__
        raise
    finally:
        free_memory()


def reuse_memory() -> None:
    """Let this process keep what a step frees for the next step, until `free_memory`.

    The allocator of Linux asks the system for every large tensor anew, which costs a page fault
    for each 4 KiB: up to a quarter of a step. Other systems' allocators are left as they are.
    """
    if _GLIBC is not None:
        _GLIBC.mallopt(_MMAP_MAX, 0)
        _GLIBC.mallopt(_TRIM_THRESHOLD, 2**31 - 1)
        _GLIBC.mallopt(_TOP_PAD, 2**28)


def free_memory() -> None:
    """Give back what a step that failed has left."""
    gc.collect()
    if _GLIBC is not None:
        _GLIBC.malloc_trim(0)
    free_card_memory()


def free_card_memory() -> None:
    """Leave a graphics card's memory to other processes, such as that of a round."""
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()
    if torch.backends.mps.is_available():
        torch.mps.empty_cache()
