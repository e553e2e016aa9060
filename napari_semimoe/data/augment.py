"""Random crops with flips, rotation, zoom and stain changes, on any device.

Every random number comes from a generator that the caller seeds, so a step can be repeated.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from skimage.color import rgb_from_hed
from torch import Generator, Tensor
from torch.nn import functional

from napari_semimoe.core.settings import AugmentSettings
from napari_semimoe.data.prepare import PreparedTile

#: This share of a crop's half extent stays inside its tile; what is outside is mirrored.
_INSIDE = 0.7


@dataclass(frozen=True, slots=True)
class Crops:
    """A batch of crops of equal size S.

    Attributes
    ----------
    image
        ``(B, 3, S, S)`` float in [0, 1], colours unchanged.
    index
        ``(B, 2, S, S)`` int32 instance ids and classes, or ``None``.
    maps
        ``(B, K, S, S)`` float32 smooth maps, or ``None``.
    """

    image: Tensor
    index: Tensor | None
    maps: Tensor | None


def crop_batch(
    tiles: list[PreparedTile], size: int, settings: AugmentSettings, generator: Generator
) -> Crops:
    """Cut one random crop of ``size`` px from each tile; tiles smaller than that are mirrored."""
    grids = [_grid(tile, size, settings, generator) for tile in tiles]
    image = torch.cat(
        [_sample(t.image.float(), g, "bilinear") for t, g in zip(tiles, grids, strict=True)]
    )
    index = maps = None
    if all(tile.index is not None for tile in tiles):
        index = torch.cat(
            [_sample(t.index.float(), g, "nearest") for t, g in zip(tiles, grids, strict=True)]
        ).int()
    if all(tile.maps is not None for tile in tiles):
        maps = torch.cat(
            [_sample(t.maps.float(), g, "bilinear") for t, g in zip(tiles, grids, strict=True)]
        )
    return Crops(image / 255, index, maps)


def _sample(values: Tensor, grid: Tensor, mode: str) -> Tensor:
    return functional.grid_sample(
        values[None], grid, mode=mode, padding_mode="reflection", align_corners=False
    )


def _grid(tile: PreparedTile, size: int, settings: AugmentSettings, generator: Generator) -> Tensor:
    """Return the ``(1, S, S, 2)`` sampling grid of one random crop."""
    height, width = tile.image.shape[1:]
    linear = _random_linear(settings, generator)
    reach = size / 2 * linear.abs().sum(1)  # half extent of the crop in x and y, tile px
    centre = torch.stack(
        [
            _random_centre(width, float(reach[0]), generator),
            _random_centre(height, float(reach[1]), generator),
        ]
    )
    scale = torch.tensor([2.0 / width, 2.0 / height])
    theta = torch.cat([linear * (size / 2) * scale[:, None], (centre * scale - 1)[:, None]], dim=1)
    return functional.affine_grid(theta[None], [1, 1, size, size], align_corners=False).to(
        tile.image.device
    )


def _random_linear(settings: AugmentSettings, generator: Generator) -> Tensor:
    angle = 0.0
    if settings.rotate == "quarter":
        angle = math.pi / 2 * int(torch.randint(4, (1,), generator=generator))
    elif settings.rotate == "any":
        angle = 2 * math.pi * float(torch.rand((), generator=generator))
    low, high = math.log(1 - settings.scale), math.log(1 + settings.scale)
    zoom = math.exp(low + (high - low) * float(torch.rand((), generator=generator)))
    mirror = -1.0 if settings.flip and float(torch.rand((), generator=generator)) < 0.5 else 1.0
    cos, sin = math.cos(angle) / zoom, math.sin(angle) / zoom
    return torch.tensor([[cos * mirror, -sin], [sin * mirror, cos]])


def _random_centre(length: int, reach: float, generator: Generator) -> Tensor:
    """Draw a centre anywhere in the tile, and move it inwards until little of the crop is outside.

    So the rim of a tile teaches too: a crop that had to stay inside would hardly ever reach it.
    """
    margin = min(_INSIDE * reach, 0.4 * length)
    return (length * torch.rand((), generator=generator)).clamp(margin, length - margin)


def change_colours(image: Tensor, settings: AugmentSettings, generator: Generator) -> Tensor:
    """Change stain strength in optical density, then brightness, contrast and sharpness.

    Parameters
    ----------
    image
        ``(B, 3, H, W)`` float in [0, 1].
    """
    if settings.stain:
        image = _change_stains(image, settings.stain, generator)
    if settings.brightness:
        change = _symmetric((2, image.shape[0], 1, 1, 1), settings.brightness, generator)
        contrast, brightness = change.to(image.device)
        mean = image.mean((1, 2, 3), keepdim=True)
        image = (image - mean) * (1 + contrast) + mean + brightness
    if settings.blur:
        chosen = torch.rand((image.shape[0], 1, 1, 1), generator=generator) < settings.blur
        smooth = functional.avg_pool2d(image, 3, stride=1, padding=1, count_include_pad=False)
        image = torch.where(chosen.to(image.device), smooth, image)
    return image.clamp(0, 1)


def _change_stains(image: Tensor, strength: float, generator: Generator) -> Tensor:
    """Scale and shift each stain; haematoxylin, eosin and DAB as in Ruifrok and Johnston 2001."""
    from_stains = torch.tensor(rgb_from_hed, dtype=torch.float32)
    batch = image.shape[0]
    scale = 1 + _symmetric((batch, 3), strength, generator)
    shift = _symmetric((batch, 3), 0.2 * strength, generator)
    matrix = torch.linalg.inv(from_stains) @ torch.diag_embed(scale) @ from_stains
    matrix, offset = matrix.to(image.device), (shift @ from_stains).to(image.device)
    density = -torch.log(image.clamp_min(1 / 255))
    changed = torch.einsum("bchw,bcd->bdhw", density, matrix) + offset[:, :, None, None]
    return torch.exp(-changed)


def _symmetric(shape: tuple[int, ...], strength: float, generator: Generator) -> Tensor:
    return strength * (2 * torch.rand(shape, generator=generator) - 1)
