"""The colours of a tile's tissue, and a tile of another stain in colours that a network knows.

A network that learned from one stain may mark nothing in another, such as brown glands of
immunohistochemistry. Light that a stain takes away adds up in optical density, so multiplying each
channel's density turns one stain's colours into another's; what is white stays white.

Source: after Reinhard et al. 2001 and Ruifrok & Johnston 2001. Differs: only the strength of each
channel is taken over, that of the most similar tile that taught, and only by tiles that are
unlike all of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from napari_semimoe.core.settings import Colour

#: Optical density of the values 0 to 255.
_DENSITY = -np.log(np.maximum(np.arange(256), 1) / 255).astype(np.float32)
#: A pixel is tissue where its mean density is more than this.
_TISSUE = 0.15
#: Less tissue, as a share of a tile's pixels, has no colour of its own.
_LEAST_TISSUE = 0.02
#: A darker mean, of 255, is fluorescence, where light does not count as density.
_DARK = 64
#: How far a tile's colour may be from those that are known, as the length of three logarithms. Each
#: image of GlaS is within 0.3 of another one; brown glands are 1.0 away from all of them.
FAR = 0.4
#: Of colours nearer to each other than this one stands for all.
_ALIKE = 0.1
#: Pixels that are looked at, about.
_LOOKED_AT = 250_000


def colour_of(image: NDArray[np.uint8]) -> Colour | None:
    """Return the colour of a tile's tissue; ``None`` without tissue, or where it is dark.

    Parameters
    ----------
    image
        ``(H, W, 3)`` uint8 RGB.
    """
    step = max(1, int((image.shape[0] * image.shape[1] / _LOOKED_AT) ** 0.5))
    seen = image[::step, ::step].reshape(-1, 3)
    if seen.mean() < _DARK:
        return None
    density = _DENSITY[seen]
    tissue = density[density.mean(1) > _TISSUE]
    if len(tissue) < max(1, _LEAST_TISSUE * len(seen)):
        return None
    red, green, blue = (max(float(mean), 0.01) for mean in tissue.mean(0, dtype=np.float64))
    return red, green, blue


def in_known_colours(image: NDArray[np.uint8], known: Sequence[Colour]) -> NDArray[np.uint8]:
    """Return a tile, in the colour nearest to its own where none of those known is near.

    Parameters
    ----------
    image
        ``(H, W, 3)`` uint8 RGB.
    known
        Colours of tiles that taught; without any the tile stays as it is.
    """
    own = colour_of(image) if known else None
    if own is None or not is_unlike(own, known):
        return image
    values = (255 * np.exp(-_DENSITY * _gains(own, known)[:, None])).round().astype(np.uint8)
    return np.stack([values[channel][image[..., channel]] for channel in range(3)], axis=-1)


def is_unlike(colour: Colour, known: Sequence[Colour]) -> bool:
    """Whether a tile's colour is far from all that are known: another stain."""
    return not _is_near(colour, known, FAR)


def different(colours: Iterable[Colour | None]) -> tuple[Colour, ...]:
    """Return colours that stand for all, each unlike the others, in three decimals."""
    kept: list[Colour] = []
    for colour in colours:
        if colour is not None and not _is_near(colour, kept, _ALIKE):
            kept.append((round(colour[0], 3), round(colour[1], 3), round(colour[2], 3)))
    return tuple(kept)


def _is_near(colour: Colour, others: Sequence[Colour], distance: float) -> bool:
    return bool(others) and bool(np.linalg.norm(np.log(_gains(colour, others))) <= distance)


def _gains(own: Colour, known: Sequence[Colour]) -> NDArray[np.float64]:
    """Return what turns a colour into the nearest known one, channel by channel."""
    gains = np.array(known) / np.array(own)
    return gains[np.linalg.norm(np.log(gains), axis=1).argmin()]
