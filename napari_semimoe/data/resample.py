"""Isotropic resampling between a tile's own resolution and the network's."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from napari_semimoe.core.errors import ShapeError

#: Pixels to which a tile may be enlarged.
MAX_ENLARGED = 64_000_000


def working_size(native: tuple[int, ...], um_per_px: float, working: float) -> tuple[int, int]:
    """Return height and width of a tile at ``working`` um per px; at least 1 x 1.

    Raises
    ------
    ShapeError
        If it is a wrong pixel size that makes it larger than memory holds.
    """
    height, width = native
    size = scaled((height, width), working / um_per_px)
    if um_per_px > working and size[0] * size[1] > MAX_ENLARGED:
        raise ShapeError(
            f"A tile of {width} x {height} px would be enlarged to {size[1]} x {size[0]} px, for "
            f"its pixels are said to be {um_per_px:.3g} um large and the network works at "
            f"{working:.3g}. Correct the tile's pixel size: about 0.5 for a 20x scan."
        )
    return size


def scaled(size: tuple[int, int], scale: float) -> tuple[int, int]:
    """Return a size in pixels that are ``scale`` times as long; at least 1 x 1."""
    return max(1, round(size[0] / scale)), max(1, round(size[1] / scale))


def resample_image(image: NDArray[np.uint8], size: tuple[int, int]) -> Tensor:
    """Resample ``(H, W, 3)`` uint8 to ``(3, h, w)`` uint8 with an anti-aliased bilinear filter."""
    tensor = torch.from_numpy(np.array(image)).permute(2, 0, 1)  # a copy: it may be read-only
    if tuple(tensor.shape[1:]) == size:
        return tensor.contiguous()
    smooth = partial(functional.interpolate, mode="bilinear", antialias=True, align_corners=False)
    if size[1] == 1:  # torch would take each row from the first one
        upright = smooth(tensor.mT[None].float(), size=(1, size[0]))
        resampled = upright[0].mT
    else:
        resampled = smooth(tensor[None].float(), size=size)[0]
    return resampled.round().clamp(0, 255).to(torch.uint8)


def resample_labels(labels: NDArray[np.uint16], size: tuple[int, int]) -> NDArray[np.int32]:
    """Resample ``(H, W)`` instance ids to ``size`` by the nearest pixel centre."""
    rows = _nearest_index(labels.shape[0], size[0])
    columns = _nearest_index(labels.shape[1], size[1])
    return labels[np.ix_(rows, columns)].astype(np.int32)


def resample_maps(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Resample ``(K, h, w)`` float maps to ``size`` by bilinear interpolation."""
    if tuple(maps.shape[1:]) == size:
        return maps
    return functional.interpolate(maps[None], size=size, mode="bilinear", align_corners=False)[0]


def _nearest_index(old: int, new: int) -> NDArray[np.intp]:
    centres = (np.arange(new) + 0.5) * (old / new)
    return np.minimum(centres.astype(np.intp), old - 1)
