"""Colours of the pseudo-label layer: distinct instances, and grey where nothing is learnt."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
from napari.utils.colormaps import DirectLabelColormap
from numpy.typing import NDArray

from napari_semimoe.core.colours import Colour, class_colour, instance_colour
from napari_semimoe.core.values import IGNORE

#: Ids that get a colour of their own turn; higher ids share one.
_COLOURED_IDS = 4096
#: Ids beyond those with a class that do: colours of classes are made anew at each new gland.
_MORE_IDS = 256
_GREY = np.array([0.18, 0.18, 0.20, 1.0], np.float32)  # dark, to be seen through the tint
_CLEAR = np.zeros(4, np.float32)


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
    return _colors({i: _rgba(class_colour(classes.get(i, 1), i)) for i in range(1, last)})


@cache
def one_class_colors() -> InstanceColors:
    """Return the colours of ids of one class, each with its own hue; made once, in 0.1 s."""
    colors = _colors({i: _rgba(instance_colour(i)) for i in range(1, _COLOURED_IDS)})
    colors.map(np.zeros(1, np.uint16))  # fills its table
    return colors


def _colors(ids: Mapping[int, NDArray[np.float32]]) -> InstanceColors:
    unknown = _rgba(instance_colour(0))
    return InstanceColors(color_dict={None: unknown, 0: _CLEAR, **ids, IGNORE: _GREY})


def _rgba(colour: Colour) -> NDArray[np.float32]:
    return np.array([*colour, 1.0], np.float32)
