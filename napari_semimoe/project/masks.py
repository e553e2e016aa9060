"""Mask files as instance ids: binary, numbered or coloured."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_semimoe.core.errors import ImageReadError
from napari_semimoe.core.values import IGNORE, MAX_INSTANCE
from napari_semimoe.project.images import TIFF_SUFFIXES, opened, refuse_empty
from napari_semimoe.project.mask_png import is_own_png

MaskKind = Literal["instances", "classes"]

#: More colours than this are a photograph, not a mask.
MAX_COLOURS = 4096


def read_mask(path: Path, shape: tuple[int, int] | None = None) -> NDArray[np.uint16]:
    """Read a mask as instance ids.

    A mask with one value besides 0 is binary, unless it was exported from here: its connected
    parts become instances. A numbered mask keeps its ids. A coloured mask has one instance per
    colour, black (or, where there is none, white) being background. In a numbered 16-bit mask
    `IGNORE` keeps its meaning.

    Parameters
    ----------
    path
        A lossless file: png, bmp or tif.
    shape
        Height and width that it must have; None for any.

    Returns
    -------
    numpy.ndarray
        ``(H, W)`` uint16.

    Raises
    ------
    ImageReadError
        If it cannot be read, has another size, is no mask, or has too many instances.
    """
    values = read_values(path, shape)
    ids = np.unique(values)
    if len(ids[ids != 0]) == 1 and not is_own_png(path):
        return _parts(values != 0, path)
    return _numbered(values, ids, path)


def read_class_mask(
    path: Path, shape: tuple[int, int], class_count: int
) -> tuple[NDArray[np.uint16], dict[int, int]]:
    """Read a mask of class indices: the connected parts of each class become instances.

    255 (in a mask with other values) means pixels that must not teach.

    Returns
    -------
    tuple
        ``(H, W)`` uint16 instance ids, and the class index of each.
    """
    values = read_values(path, shape)
    ids = [int(value) for value in np.unique(values) if value != 0]
    if ids in ([255], [IGNORE]):
        values, ids = (values != 0).astype(np.uint8), [1]
    wrong = [value for value in ids if value >= class_count and value not in (255, IGNORE)]
    if wrong:
        raise ImageReadError(
            f"The class mask {path.name} must hold class indices from 0 to {class_count - 1}, "
            f"got {wrong[0]}. Add it as an instance mask, or make a project with more classes."
        )
    labels = np.zeros(shape, np.uint16)
    classes: dict[int, int] = {}
    for value in ids:
        if value >= class_count:
            labels[values == value] = IGNORE
            continue
        parts = _parts(values == value, path).astype(np.int64)
        first = max(classes, default=0)
        _refuse_too_many(first + int(parts.max()), path)
        labels[parts > 0] = (parts[parts > 0] + first).astype(np.uint16)
        classes |= {first + part: value for part in range(1, int(parts.max()) + 1)}
    return labels, classes


def read_values(path: Path, shape: tuple[int, int] | None) -> NDArray[Any]:
    """Read a mask's numbers, colours turned into numbers, and check its size if one is given."""
    path = Path(path)
    refuse_empty(path)
    if path.suffix.lower() in (".jpg", ".jpeg"):
        raise ImageReadError(
            f"The mask {path.name} must be a lossless file (png, bmp or tif), got a JPEG, which "
            "blurs ids into each other. Export it as PNG."
        )
    values = _stored(path)
    if shape is not None and values.shape[:2] != tuple(shape):
        raise ImageReadError(
            f"The mask {path.name} must have its image's size {shape[1]} x {shape[0]} px, got "
            f"{values.shape[1]} x {values.shape[0]}. Export the mask at the image's resolution."
        )
    return _colours_to_ids(values, path) if values.ndim == 3 else values


def _stored(path: Path) -> NDArray[Any]:
    if path.suffix.lower() in TIFF_SUFFIXES:
        from napari_semimoe.project.tiff import read_stored

        values = read_stored(path).values
        if values is not None:
            return _whole_numbers(values, path)
    with opened(path) as image:
        if image.mode in ("LA", "PA"):
            image = image.getchannel(0)
        elif image.mode not in ("1", "L", "P", "I", "F", "RGB", "RGBA") and image.mode[0] != "I":
            image = image.convert("RGB")
        return _whole_numbers(np.asarray(image), path)


def _whole_numbers(values: NDArray[Any], path: Path) -> NDArray[Any]:
    if values.dtype.kind == "b":
        return values.astype(np.uint8)
    if values.dtype.kind == "f":
        whole = np.rint(values)
        if not np.array_equal(whole, values):
            raise ImageReadError(
                f"The mask {path.name} must hold whole numbers, got fractions. "
                "Export the labels, not the probabilities."
            )
        values = whole.astype(np.int64)
    if values.min() < 0:
        raise ImageReadError(
            f"The mask {path.name} must hold ids of 0 or more, got {values.min()}. "
            "Renumber its objects."
        )
    return values


def _colours_to_ids(values: NDArray[Any], path: Path) -> NDArray[Any]:
    if values.shape[2] in (2, 4):  # what is transparent is background
        values = np.where(values[..., -1:] == 0, 0, values)[..., :-1]
    if (values == values[..., :1]).all():
        return np.ascontiguousarray(values[..., 0])
    packed = np.zeros(values.shape[:2], np.int64)
    for channel in range(values.shape[2]):
        packed = packed * 65536 + values[..., channel]
    colours, ids = np.unique(packed, return_inverse=True)
    if len(colours) > MAX_COLOURS:
        raise ImageReadError(
            f"{path.name} has {len(colours)} colours and looks like a photograph, not a mask. "
            "Use one plain colour per object, without smoothing."
        )
    ids = ids.reshape(values.shape[:2]) + 1
    white = int(np.iinfo(values.dtype).max) * (1 + 65536 + 65536**2)
    background = 0 if colours[0] == 0 else white
    at = int(np.searchsorted(colours, background))
    if at < len(colours) and colours[at] == background:
        ids[ids == at + 1] = 0
    return ids


def _numbered(values: NDArray[Any], ids: NDArray[Any], path: Path) -> NDArray[np.uint16]:
    if len(ids) == 0 or ids[-1] <= IGNORE:
        return np.ascontiguousarray(values, dtype=np.uint16)
    objects = ids[ids != 0]
    _refuse_too_many(len(objects), path)
    order = np.searchsorted(objects, values) + 1
    return np.where(values == 0, 0, order).astype(np.uint16)


def _parts(mask: NDArray[np.bool_], path: Path) -> NDArray[np.uint16]:
    from scipy.ndimage import label

    parts, count = label(mask, structure=np.ones((3, 3), int))
    _refuse_too_many(count, path)
    return parts.astype(np.uint16)


def _refuse_too_many(count: int, path: Path) -> None:
    if count > MAX_INSTANCE:
        raise ImageReadError(
            f"The mask {path.name} must hold at most {MAX_INSTANCE} objects, got {count}. "
            "Remove specks from it or cut the image into tiles."
        )
