"""TIFF and SVS files: metadata by tifffile, pixels by tifffile or, for JPEG and LZW, Pillow."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_semimoe.core.errors import ImageReadError
from napari_semimoe.project.images import (
    DECODER_ERRORS,
    MAX_PIXELS,
    ImageFile,
    as_rgb,
    cut_off,
    not_8_or_16_bit,
    not_an_image,
    opened,
    pillow_to_rgb,
    to_8_bit,
    too_large,
)
from napari_semimoe.project.resolution import (
    UM_PER_CM,
    UM_PER_INCH,
    from_aperio,
    from_ome,
    from_unit,
    plausible,
)

if TYPE_CHECKING:
    import tifffile

_LAYOUTS = ("YX", "YXS", "SYX")


def read_tiff(path: Path) -> ImageFile:
    """Read the full-resolution image of a TIFF or SVS file as 8-bit RGB.

    Raises
    ------
    ImageReadError
        If it is not a TIFF, is cut off, or is a stack or a set of channels.
    """
    values, axes, um_per_px, plain = load(path)
    if values is None:
        with opened(path) as image:
            pixels, note = pillow_to_rgb(image, path)
        return ImageFile(pixels, um_per_px, note)
    if values.dtype.kind == "b":
        values = values.astype(np.uint8) * 255
    if values.dtype.kind not in "ui":
        raise not_8_or_16_bit(path, f"{values.dtype} numbers")
    if plain == "inverted":
        values = np.iinfo(values.dtype).max - values
    if axes == "YX":
        pixels, note = to_8_bit(values, path)
        return ImageFile(pixels, um_per_px, note)
    pixels, note = _colour(values, path)
    return ImageFile(pixels, um_per_px, note)


def load(path: Path) -> tuple[NDArray[Any] | None, str, float | None, str]:
    """Read a TIFF's first image as it is stored.

    Returns
    -------
    tuple
        Values ``(H, W)`` or ``(H, W, S)``, or None when only Pillow can decode them; their
        axes; microns per pixel; and "inverted" when 0 means white.
    """
    import tifffile

    try:
        with tifffile.TiffFile(path) as file:
            series = file.series[0]
            axes = _single_image_axes(series, path)
            page = series.keyframe
            um_per_px = _um_per_px(file, page)
            if _needs_pillow(page):
                return None, axes, um_per_px, ""
            values = _upright(series.asarray(), axes, page)
            inverted = "inverted" if page.photometric == 0 and page.bitspersample > 1 else ""
            return values, axes.replace("SYX", "YXS"), um_per_px, inverted
    except ImageReadError:
        raise
    except tifffile.TiffFileError as error:
        raise (cut_off(path, error) if _begins_as_tiff(path) else not_an_image(path)) from error
    except DECODER_ERRORS as error:
        raise cut_off(path, error) from error


def _single_image_axes(series: tifffile.TiffPageSeries, path: Path) -> str:
    axes, shape = series.axes, series.shape
    kept = "".join(axis for axis, size in zip(axes, shape, strict=True) if size > 1 or axis in "YX")
    if axes.replace("S", "") == "YX":
        kept = axes
    if kept not in _LAYOUTS:
        sizes = ", ".join(f"{axis} = {size}" for axis, size in zip(axes, shape, strict=True))
        raise ImageReadError(
            f"{path.name} must be one flat grey or RGB image, got a stack or channels ({sizes}). "
            "Export the plane you need as RGB."
        )
    if shape[axes.index("Y")] * shape[axes.index("X")] > MAX_PIXELS:
        raise too_large(path)
    return kept


def _needs_pillow(page: tifffile.TiffPage) -> bool:
    """Whether the pixels need a codec or a colour table that Pillow has."""
    plain = {1, 8, 32946, 32773}  # none, two deflates, packbits
    return int(page.compression) not in plain or int(page.photometric) in (3, 5, 6, 8)


def _upright(values: NDArray[Any], axes: str, page: tifffile.TiffPage) -> NDArray[Any]:
    values = np.squeeze(values) if values.ndim > len(axes) else values
    if axes == "SYX":
        values = np.moveaxis(values, 0, -1)
    tag = page.tags.get("Orientation")
    turns = {
        2: lambda image: image[:, ::-1],
        3: lambda image: image[::-1, ::-1],
        4: lambda image: image[::-1],
        5: lambda image: image.swapaxes(0, 1),
        6: lambda image: np.rot90(image, -1),
        7: lambda image: np.rot90(image, 2).swapaxes(0, 1),
        8: lambda image: np.rot90(image),
    }
    turn = turns.get(int(tag.value)) if tag else None
    return turn(values) if turn else values


def _colour(values: NDArray[Any], path: Path) -> tuple[NDArray[np.uint8], str | None]:
    samples = values.shape[2]
    if samples not in (1, 2, 3, 4):
        raise ImageReadError(
            f"{path.name} must be grey or RGB, got {samples} channels. Export it as 8-bit RGB."
        )
    if samples in (1, 3):
        return to_8_bit(values[..., 0] if samples == 1 else values, path)
    colours, note = to_8_bit(values[..., :-1] if samples == 4 else values[..., 0], path)
    full = np.iinfo(values.dtype).max
    alpha = (values[..., -1:] / full).astype(np.float32)
    if alpha.min() == 1:
        return colours, note
    over_white = np.rint(colours * alpha + 255 * (1 - alpha)).astype(np.uint8)
    return as_rgb(over_white), f"{path.name}: transparency was laid over white."


def _um_per_px(file: tifffile.TiffFile, page: tifffile.TiffPage) -> float | None:
    if file.is_ome and file.ome_metadata:
        return from_ome(file.ome_metadata)
    if file.is_svs:
        return from_aperio(page.description)
    try:
        x, y = page.tags["XResolution"].value, page.tags["YResolution"].value
        per_x, per_y = x[1] / x[0], y[1] / y[0]
    except (KeyError, ZeroDivisionError, TypeError):
        return None
    unit = _unit(file, page)
    return plausible(per_x * unit, per_y * unit) if unit else None


def _unit(file: tifffile.TiffFile, page: tifffile.TiffPage) -> float | None:
    if file.is_imagej:
        return from_unit(1.0, str((file.imagej_metadata or {}).get("unit", "")))
    return {2: UM_PER_INCH, 3: UM_PER_CM}.get(int(page.resolutionunit))


def _begins_as_tiff(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
