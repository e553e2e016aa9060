"""Colours of the pseudo-label layer: distinct instances, and grey where nothing is learnt."""

from __future__ import annotations

import colorsys
from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
from napari.utils.colormaps import DirectLabelColormap
from numpy.typing import NDArray

from napari_semimoe.core.values import IGNORE

#: Ids that get a colour of their own turn; higher ids share one.
_COLOURED_IDS = 4096
#: Ids beyond those with a class that do: colours of classes are made anew at each new gland.
_MORE_IDS = 256
_GREY = np.array([0.18, 0.18, 0.20, 1.0], np.float32)  # dark, to be seen through the tint
_CLEAR = np.zeros(4, np.float32)
# Hues that stand out from the pink and purple of H&E and the blue of DAB sections:
# from yellow over green to cyan, and orange. Neighbouring ids are far apart.
_HUES = (0.16, 0.50, 0.33, 0.10, 0.42, 0.22, 0.53, 0.28, 0.07, 0.46)
# With several classes the hue tells the class and the lightness the instance.
_CLASS_HUES = (0.15, 0.50, 0.33, 0.60, 0.07, 0.42, 0.78, 0.97)


class InstanceColors(DirectLabelColormap):
    """Colours of instance ids, whose table is filled at once.

    napari fills it in a Python loop over 65536 ids, which froze the window for a tenth of a second.
    """

    def _map_without_cache(self, values: NDArray[Any]) -> NDArray[np.float32]:
        largest = np.iinfo(values.dtype).max
        table = np.tile(self.default_color, (largest + 1, 1))
        known = {i: color for i, color in self.color_dict.items() if i is not None and i <= largest}
        table[list(known)] = list(known.values())
        return table[values]


def instance_colors(classes: Mapping[int, int], n_classes: int) -> InstanceColors:
    """Return the colours of instance ids.

    Parameters
    ----------
    classes
        Class of each instance id; an absent id is class 1.
    n_classes
        Number of classes, background included. With two, each instance has its own hue; with
        more, the hue is the class's.
    """
    if n_classes <= 2:
        return one_class_colors()
    last = min(max(classes, default=0) + _MORE_IDS, _COLOURED_IDS)
    return _colors({i: class_color(classes.get(i, 1), i) for i in range(1, last)})


@cache
def one_class_colors() -> InstanceColors:
    """Return the colours of ids of one class, each with its own hue; made once, in 0.1 s."""
    palette = [_rgba(hue, light) for light in (0.55, 0.45, 0.65) for hue in _HUES]
    colors = _colors({i: palette[i % len(palette)] for i in range(1, _COLOURED_IDS)})
    colors.map(np.zeros(1, np.uint16))  # fills its table
    return colors


def _colors(ids: Mapping[int, NDArray[np.float32]]) -> InstanceColors:
    unknown = _rgba(_HUES[0], 0.55)
    return InstanceColors(color_dict={None: unknown, 0: _CLEAR, **ids, IGNORE: _GREY})


def class_color(class_index: int, instance: int = 1) -> NDArray[np.float32]:
    """Return the colour of an instance of a class; instances differ in lightness."""
    hue = _CLASS_HUES[(class_index - 1) % len(_CLASS_HUES)]
    return _rgba(hue, (0.55, 0.45, 0.65)[instance % 3])


def _rgba(hue: float, light: float) -> NDArray[np.float32]:
    return np.array([*colorsys.hls_to_rgb(hue, light, 0.95), 1.0], np.float32)
