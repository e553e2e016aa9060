"""Random crops with flips, rotation, zoom, empty glass and stain changes, on any device.

Every random number comes from a generator that the caller seeds, so a step can be repeated.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from skimage.color import rgb_from_hed
from torch import Generator, Tensor
from torch.nn import functional

from napari_semimoe.core.settings import AugmentSettings
from napari_semimoe.core.values import IGNORE
from napari_semimoe.data.prepare import PreparedTile

#: This share of a crop's half extent stays inside its tile; what is outside is mirrored.
_INSIDE = 0.7
#: Where the edge of empty glass lies, in sides of a crop from its centre; below -0.5 all is glass.
_GLASS_EDGE = (-0.6, 0.3)
#: Waves of that edge: their lengths and heights, in sides of a crop.
_WAVES = ((0.9, 0.06), (0.35, 0.025), (0.13, 0.008))
#: Glass over an object so near its edge, in sides of a crop, may look as the inside of a gland.
_UNSURE = 0.25
#: Where a crop is darker on the mean, what is empty is dark, too, as in fluorescence.
_DARK = 0.25


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
    px
        Pixels of its tile that a pixel of each crop is wide.
    """

    image: Tensor
    index: Tensor | None
    maps: Tensor | None
    px: tuple[float, ...]


def crop_batch(
    tiles: list[PreparedTile], size: int, settings: AugmentSettings, generator: Generator
) -> Crops:
    """Cut one random crop of ``size`` px from each tile; tiles smaller than that are mirrored."""
    places = [_place(tile, size, settings, generator) for tile in tiles]
    chosen = list(zip(tiles, places, strict=True))
    image = torch.cat([place.sample(tile.image, "bilinear") for tile, place in chosen])
    index = [place.sample(t.index, "nearest") for t, place in chosen if t.index is not None]
    maps = [place.sample(t.maps, "bilinear") for t, place in chosen if t.maps is not None]
    return Crops(
        image / 255,
        torch.cat(index).int() if len(index) == len(tiles) else None,
        torch.cat(maps) if len(maps) == len(tiles) else None,
        tuple(place.px for place in places),
    )


def with_glass(crops: Crops, chance: float, generator: Generator) -> Crops:
    """Let a part of some labelled crops be empty glass, with a wavy edge.

    Few labelled tiles show the slide beside the tissue, and the white inside of glands is all
    white that a network then knows. What glass covers is background; only where it covers a part
    of an object near its edge nobody can tell it from the inside of a gland, and nothing is taught.
    """
    if not chance:
        return crops
    assert crops.index is not None  # what is covered must be known to be background
    assert crops.maps is not None
    batch, _, size, _ = crops.image.shape
    chosen = torch.rand((batch, 1, 1, 1), generator=generator) < chance
    depth = torch.where(chosen, _glass_depth(batch, size, generator), -math.inf)
    level = 0.95 + _symmetric((batch, 1, 1, 1), 0.05, generator)
    tint = _symmetric((batch, 3, 1, 1), 0.02, generator)
    grain = 0.01 * torch.randn((batch, 3, size, size), generator=generator)
    device = crops.image.device
    glass, depth = (level + tint + grain).clamp(0, 1).to(device), depth.to(device)
    is_dark = crops.image.mean((1, 2, 3), keepdim=True) < _DARK
    glass = torch.where(is_dark, 1 - glass, glass)
    image = torch.lerp(crops.image, glass, torch.sigmoid(2 * depth))
    px = torch.tensor(crops.px, device=device)[:, None, None, None]
    covers = depth > 0
    unsure = covers & (crops.index[:, :1] > 0) & (depth < _UNSURE * size)
    known = torch.tensor([IGNORE, 0], device=device, dtype=torch.int32)[:, None, None]
    index = torch.where(unsure, known, torch.where(covers, 0, crops.index))
    distance = torch.where(covers, torch.minimum(crops.maps, -depth * px), crops.maps)
    return replace(crops, image=image, index=index, maps=distance)


def _glass_depth(batch: int, size: int, generator: Generator) -> Tensor:
    """Return ``(B, 1, S, S)`` pixels to the edge of a half of the slide, positive on glass."""
    angle, shift = torch.rand((2, batch, 1, 1), generator=generator)
    phases = 2 * math.pi * torch.rand((len(_WAVES), batch, 1, 1), generator=generator)
    along = (torch.arange(size) + 0.5) / size - 0.5
    y, x = torch.meshgrid(along, along, indexing="ij")
    cos, sin = torch.cos(2 * math.pi * angle), torch.sin(2 * math.pi * angle)
    low, high = _GLASS_EDGE
    depth = x * cos + y * sin - (low + (high - low) * shift)
    side = y * cos - x * sin
    for (length, height), phase in zip(_WAVES, phases, strict=True):
        depth = depth + height * torch.sin(2 * math.pi * side / length + phase)
    return size * depth[:, None]


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a crop lies.

    A part of its tile, the ``(1, S, S, 2)`` sampling grid in that, and how many of the tile's
    pixels a pixel of the crop is wide.
    """

    rows: slice
    columns: slice
    grid: Tensor
    px: float

    def sample(self, values: Tensor, mode: str) -> Tensor:
        """Return ``(1, C, S, S)`` float32 of a tile's ``(C, h, w)``."""
        part = values[None, :, self.rows, self.columns].float()  # all of a large tile takes long
        grid = self.grid.to(part.device)
        return functional.grid_sample(
            part, grid, mode=mode, padding_mode="reflection", align_corners=False
        )


def _place(
    tile: PreparedTile, size: int, settings: AugmentSettings, generator: Generator
) -> _Place:
    """Choose one random crop."""
    height, width = tile.image.shape[1:]
    linear = _random_linear(settings, generator)
    reach_x, reach_y = (size / 2 * linear.abs().sum(1)).tolist()  # half extent, tile px
    x = _random_centre(width, reach_x, generator)
    y = _random_centre(height, reach_y, generator)
    columns, rows = _part(x, reach_x, width), _part(y, reach_y, height)
    first = torch.tensor([columns.start, rows.start])
    sides = torch.tensor([columns.stop, rows.stop]) - first
    centre = (torch.tensor([x, y]) - first) * 2 / sides - 1  # from -1 at an edge to 1
    theta = torch.cat([linear * size / sides[:, None], centre[:, None]], dim=1)
    grid = functional.affine_grid(theta[None], [1, 1, size, size], align_corners=False)
    return _Place(rows, columns, grid, float(linear.det().abs().sqrt()))


def _part(centre: float, reach: float, length: int) -> slice:
    """Return which of a tile's pixels a crop shows.

    What lies outside is mirrored at the edges, which never reaches further than the crop itself.
    """
    return slice(max(0, math.floor(centre - reach) - 1), min(length, math.ceil(centre + reach) + 1))


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


def _random_centre(length: int, reach: float, generator: Generator) -> float:
    """Draw a centre anywhere in the tile, and move it inwards until little of the crop is outside.

    So the rim of a tile teaches too: a crop that had to stay inside would hardly ever reach it.
    """
    margin = min(_INSIDE * reach, 0.4 * length)
    return min(max(length * float(torch.rand((), generator=generator)), margin), length - margin)


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
