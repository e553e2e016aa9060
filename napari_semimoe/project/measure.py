"""Sizes and shapes of the objects of a mask, in microns."""

from __future__ import annotations

import csv
import math
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_semimoe.core.values import IGNORE

#: What `measured` tells, in its order.
MEASURES = (
    "centroid_x_px",
    "centroid_y_px",
    "area_um2",
    "filled_area_um2",
    "perimeter_um",
    "circularity",
    "solidity",
    "eccentricity",
    "major_axis_um",
    "minor_axis_um",
    "at_edge",
)
#: Columns of `rows_of`.
COLUMNS = ("object", "class", *MEASURES, "um_per_px")
#: Columns of the table of an image that was predicted.
PREDICTED_COLUMNS = ("image", *COLUMNS)


def measured(
    labels: NDArray[np.uint16],
    um_per_px: float,
    corner: tuple[int, int] = (0, 0),
    unknown: NDArray[np.bool_] | None = None,
) -> Iterator[tuple[int, dict[str, float]]]:
    """Measure every object.

    Parameters
    ----------
    labels
        ``(H, W)`` instance ids; `IGNORE` is no object.
    corner
        The x and y of the array's first pixel in the image.
    unknown
        ``(H + 2, W + 2)``: where nothing is known, in the array and one pixel around it; without
        it, around the array and at `IGNORE`.

    Yields
    ------
    tuple
        Instance id, and its `MEASURES`: the centroid in pixels of the image, the centre of whose
        first pixel is (0.5, 0.5); the area without and with its holes (square microns); the
        perimeter along outer and inner rims (microns, by Crofton's formula); the circularity
        ``4 pi area / perimeter**2`` of the filled object, at most 1; the solidity, the
        eccentricity and the axes of the ellipse with the same moments (scikit-image); and 1 for
        ``at_edge`` where the object lies beside what is unknown, so that a part of it may be
        missing.
    """
    from skimage.measure import perimeter_crofton, regionprops

    ignored = labels == IGNORE
    if unknown is None:
        unknown = np.pad(ignored, 1, constant_values=True)
    for each in regionprops(np.where(ignored, 0, labels)):
        filled = np.pad(each.image_filled, 1)
        around = perimeter_crofton(filled, directions=4)
        y, x = each.centroid
        values = (
            x + corner[0] + 0.5,
            y + corner[1] + 0.5,
            each.area * um_per_px**2,
            each.area_filled * um_per_px**2,
            perimeter_crofton(np.pad(each.image, 1), directions=4) * um_per_px,
            min(1.0, 4 * math.pi * each.area_filled / around**2) if around else 1.0,
            _solidity(each),
            each.eccentricity,
            each.axis_major_length * um_per_px,
            each.axis_minor_length * um_per_px,
            _at_edge(each, unknown),
        )
        yield int(each.label), dict(zip(MEASURES, map(float, values), strict=True))


def rows_of(
    labels: NDArray[np.uint16],
    classes: Mapping[int, int],
    names: Sequence[str],
    um_per_px: float,
    corner: tuple[int, int] = (0, 0),
    unknown: NDArray[np.bool_] | None = None,
) -> Iterator[dict[str, Any]]:
    """Yield a table's row for each object: its id, its class and its `MEASURES`.

    Parameters
    ----------
    classes
        Class index of the ids; absent ids are class 1.
    names
        Of the classes, that of the background first.
    corner, unknown
        See `measured`.
    """
    for number, measures in measured(labels, um_per_px, corner, unknown):
        numbers = {name: round(value, 4) for name, value in measures.items()}
        numbers["at_edge"] = int(numbers["at_edge"])
        about = {"object": number, "class": names[classes.get(number, 1)]}
        yield {**about, **numbers, "um_per_px": um_per_px}


def write_table(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write rows below the names of their columns."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=columns)
        writer.writeheader()
        writer.writerows(rows)


def first_row(path: Path, columns: Sequence[str]) -> dict[str, str] | None:
    """Return the first row of a table with these columns, empty if it has none.

    Returns
    -------
    dict or None
        None where the file is no such table.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            table = csv.DictReader(file)
            if tuple(table.fieldnames or ()) != tuple(columns):
                return None
            return next(iter(table), {})
    except (OSError, ValueError, csv.Error):
        return None


def _solidity(region: Any) -> float:
    """Return the share of the convex hull that is filled; of a line, which has none, it is 1."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        hull = region.area_convex
    return float(region.area / hull) if hull else 1.0


def _at_edge(region: Any, unknown: NDArray[np.bool_]) -> bool:
    """Whether a pixel of an object touches one of which nothing is known."""
    from scipy.ndimage import binary_dilation

    rows, columns = region.slice
    around = unknown[rows.start : rows.stop + 2, columns.start : columns.stop + 2]
    if not around.any():
        return False
    beside = binary_dilation(around, np.ones((3, 3), bool))[1:-1, 1:-1]
    return bool((beside & region.image).any())
