"""Colours of objects and classes in exports: fixed, so two exports look the same."""

from __future__ import annotations

import colorsys

#: Tol's "bright" scheme (2021), told apart by people with colour blindness.
_CLASSES = (
    (34, 136, 51),
    (68, 119, 170),
    (238, 102, 119),
    (204, 187, 68),
    (102, 204, 238),
    (170, 51, 119),
    (187, 187, 187),
)

#: Steps of the golden ratio spread neighbouring ids over all hues.
_GOLDEN = 0.618033988749895


def class_colour(class_index: int) -> tuple[int, int, int]:
    """Return the colour of a class, 1 being the first that is not background."""
    return _CLASSES[(class_index - 1) % len(_CLASSES)]


def instance_colour(number: int) -> tuple[int, int, int]:
    """Return the colour of an object's id."""
    red, green, blue = colorsys.hsv_to_rgb(number * _GOLDEN % 1.0, 0.75, 0.95)
    return round(red * 255), round(green * 255), round(blue * 255)
