"""Microns per pixel where a file says it plausibly."""

from __future__ import annotations

import math
import re
from html import unescape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image

#: Values outside this range are a screen's or a printer's resolution, not a microscope's.
PLAUSIBLE_UM = (0.05, 20.0)

UM_PER_INCH = 25_400.0
UM_PER_CM = 10_000.0

_UM = {"um": 1.0, "µm": 1.0, "μm": 1.0, "micron": 1.0, "microns": 1.0, "micrometer": 1.0}
_UNITS = {**_UM, "nm": 1e-3, "mm": 1e3, "cm": 1e4, "m": 1e6, "inch": UM_PER_INCH, "in": UM_PER_INCH}
_UNITS[r"\u00b5m"] = 1.0  # as ImageJ writes it


def plausible(x: float | None, y: float | None = None) -> float | None:
    """Return microns per pixel if they could be a microscope's and are the same along y."""
    if x is None or not math.isfinite(x) or not PLAUSIBLE_UM[0] <= x <= PLAUSIBLE_UM[1]:
        return None
    if y is not None and not math.isclose(x, y, rel_tol=0.01):
        return None
    return x


def not_square(x: float | None, y: float | None) -> str | None:
    """Return the end of a sentence where a pixel's sides are plausible and differ, else None."""
    if plausible(x) is None or plausible(y) is None or plausible(x, y) is not None:
        return None
    return (
        f"says that its pixels are not square but {x:.3g} x {y:.3g} um, which counts as no scale. "
        "Resample it to square ones."
    )


def from_pillow(image: Image.Image) -> float | None:
    """Read PNG pHYs, JFIF density or the BMP header, which Pillow gives as dots per inch."""
    dots = image.info.get("dpi")
    if not dots or min(dots) <= 0:
        return None
    return plausible(UM_PER_INCH / float(dots[0]), UM_PER_INCH / float(dots[1]))


def from_unit(value: float, unit: str) -> float | None:
    """Convert a pixel's side in a named unit; None for an unknown unit."""
    factor = _UNITS.get(unit.strip().lower())
    return value * factor if factor else None


def from_aperio(description: str) -> float | None:
    """Read ``MPP`` of an Aperio description."""
    match = re.search(r"\bMPP\s*=\s*([0-9.]+)", description)
    return plausible(_number(match[1])) if match else None


def sides_of_ome(xml: str) -> tuple[float | None, float | None]:
    """Read ``PhysicalSizeX`` and ``PhysicalSizeY`` of the first image in OME-XML, in microns."""
    sizes: list[float | None] = []
    for axis in "XY":
        size = re.search(rf'PhysicalSize{axis}="([^"]+)"', xml)
        unit = re.search(rf'PhysicalSize{axis}Unit="([^"]+)"', xml)
        number = _number(size[1]) if size else None
        if number is None:
            return None, None
        sizes.append(from_unit(number, unescape(unit[1]) if unit else "um"))
    return sizes[0], sizes[1]


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:  # a person or another program may have typed it
        return None
