"""Colours of objects and classes, the same in the window and in every export."""

from __future__ import annotations

import colorsys

# Hues that stand out from the pink and purple of H&E and the blue of DAB sections:
# from yellow over green to cyan, and orange. Neighbouring ids are far apart.
_HUES = (0.16, 0.50, 0.33, 0.10, 0.42, 0.22, 0.53, 0.28, 0.07, 0.46)
# With several classes the hue tells the class and the lightness the instance.
# The first three differ for people who do not tell red from green, too.
_CLASS_HUES = (0.15, 0.50, 0.60, 0.33, 0.07, 0.42, 0.78, 0.97)
_LIGHT = (0.55, 0.45, 0.65)

#: Red, green and blue in [0, 1].
Colour = tuple[float, float, float]


def instance_colour(number: int) -> Colour:
    """Return the colour of an instance where there is one class: its own hue, in turn."""
    turn, place = divmod(number, len(_HUES))
    return _rgb(_HUES[place], _LIGHT[turn % len(_LIGHT)])


def class_colour(class_index: int, instance: int = 3) -> Colour:
    """Return the colour of a class, 1 being the first that is not background.

    Instances differ in lightness; without one, it is the middle one.
    """
    return _rgb(_CLASS_HUES[(class_index - 1) % len(_CLASS_HUES)], _LIGHT[instance % len(_LIGHT)])


def as_bytes(colour: Colour) -> list[int]:
    """Return a colour as integers from 0 to 255."""
    return [round(255 * value) for value in colour]


def _rgb(hue: float, light: float) -> Colour:
    return colorsys.hls_to_rgb(hue, light, 0.95)
