"""TIFF and SVS files: metadata by tifffile, pixels by tifffile or, for JPEG and LZW, Pillow."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_semimoe.core.errors import ImageReadError
from napari_semimoe.project.images import (
    DECODER_ERRORS,
    MAX_PIXELS,
    ImageFile,
    cut_off,
    high_byte_note,
    joined,
    not_8_or_16_bit,
    not_an_image,
    opened,
    pillow_to_rgb,
    to_8_bit,
    too_large,
    turned_note,
)
from napari_semimoe.project.resolution import (
    UM_PER_CM,
    UM_PER_INCH,
    from_aperio,
    from_unit,
    not_square,
    plausible,
    sides_of_ome,
)

if TYPE_CHECKING:
    import tifffile
    from PIL import Image

_LAYOUTS = ("YX", "YXS", "SYX")
#: Compressions that are read here: none, two deflates, packbits.
_PLAIN = {1, 8, 32946, 32773}
#: Those that every Pillow has, too: fax, LZW, JPEG.
_USUAL = {*_PLAIN, 2, 3, 4, 5, 6, 7}
#: JPEG as of TIFF 6, and as it is written now.
_JPEG = {6, 7}
#: How to turn what a file's orientation says to be turned.
_TURNS: dict[int, Callable[[NDArray[Any]], NDArray[Any]]] = {
    2: lambda image: image[:, ::-1],
    3: lambda image: image[::-1, ::-1],
    4: lambda image: image[::-1],
    5: lambda image: image.swapaxes(0, 1),
    6: lambda image: np.rot90(image, -1),
    7: lambda image: np.rot90(image, 2).swapaxes(0, 1),
    8: lambda image: np.rot90(image),
}
#: Keeps tifffile's remarks on odd tags from the terminal: what matters of a file is said here.
_SILENT = logging.NullHandler()


@dataclass(frozen=True, slots=True)
class StoredTiff:
    """A TIFF's image as it is stored.

    Attributes
    ----------
    values
        ``(H, W)`` or ``(H, W, S)``, upright; None when only Pillow can decode them.
    um_per_px
        Microns per pixel where the file says it plausibly.
    zero_is_white
        Whether the file says that 0 is white.
    has_alpha
        Whether the last sample is transparency, as the file says.
    is_rgb
        Whether the first three samples are red, green and blue.
    is_over_black
        Whether the colours are multiplied by their transparency already.
    is_16_bit_colour
        Whether each colour has 16 bits, of which Pillow keeps the high ones.
    page
        Which page of the file it is.
    is_jpeg
        Whether it is compressed as JPEG, which changes values.
    unusual_codec
        Name of a compression that Pillow may not know; empty for the usual ones.
    notes
        Sentences on pixels that are not square, and on an image that is turned.
    """

    values: NDArray[Any] | None
    um_per_px: float | None
    zero_is_white: bool = False
    has_alpha: bool = False
    is_rgb: bool = False
    is_over_black: bool = False
    is_16_bit_colour: bool = False
    page: int = 0
    is_jpeg: bool = False
    unusual_codec: str = ""
    notes: tuple[str, ...] = ()


def read_tiff(path: Path) -> ImageFile:
    """Read the full-resolution image of a TIFF or SVS file as 8-bit RGB.

    Raises
    ------
    ImageReadError
        If it is not a TIFF, is cut off, or is a stack or a set of channels.
    """
    stored = read_stored(path)
    values = stored.values
    if values is None:
        from PIL import Image, ImageOps

        with decoded(path, stored) as image:
            if stored.zero_is_white and image.mode.startswith("I;16"):  # Pillow leaves it so
                upright = np.asarray(ImageOps.exif_transpose(image))
                image = Image.fromarray(np.iinfo(np.uint16).max - upright)
            pixels, note = pillow_to_rgb(image, path)
        if stored.is_16_bit_colour:
            note = high_byte_note(pixels, path)
        return ImageFile(pixels, stored.um_per_px, joined(*stored.notes, note))
    if values.dtype.kind == "b":
        values = values.astype(np.uint8) * 255
    if values.dtype.kind not in "ui":
        raise not_8_or_16_bit(path, f"{values.dtype} numbers")
    if stored.zero_is_white:
        values = np.iinfo(values.dtype).max - values
    pixels, note = _to_rgb(values, stored, path)
    return ImageFile(pixels, stored.um_per_px, joined(*stored.notes, note))


@contextmanager
def decoded(path: Path, stored: StoredTiff) -> Iterator[Image.Image]:
    """Open with Pillow what it alone can decode.

    Raises
    ------
    ImageReadError
        As `opened`, or naming the codec that is not known.
    """
    with ExitStack() as stack:
        try:
            image = stack.enter_context(opened(path, stored.page))
        except ImageReadError as error:
            if not stored.unusual_codec:
                raise
            raise ImageReadError(
                f"{path.name} is compressed as {stored.unusual_codec}, which cannot be read here. "
                "Export it with JPEG, LZW or no compression."
            ) from error
        yield image


def read_stored(path: Path) -> StoredTiff:
    """Read a TIFF's first image that is no preview of another, without changing its values."""
    import tifffile

    logging.getLogger("tifffile").addHandler(_SILENT)
    try:
        with tifffile.TiffFile(path) as file:
            full = (each for each in file.series if not each.keyframe.is_reduced)
            series = next(full, file.series[0])
            axes = _single_image_axes(series, path)
            page = series.keyframe
            sides = _sides_um(file, page)
            um_per_px, uneven = plausible(*sides), not_square(*sides)
            notes: tuple[str, ...] = (f"{path.name} {uneven}",) if uneven else ()
            notes += (turned_note(path),) * (_orientation(page) in _TURNS)
            if _needs_pillow(page):
                deep = page.bitspersample == 16 and page.samplesperpixel > 1
                return StoredTiff(
                    None,
                    um_per_px,
                    zero_is_white=_zero_is_white(page),
                    is_16_bit_colour=deep,
                    page=page.index,
                    is_jpeg=int(page.compression) in _JPEG,
                    unusual_codec=_unusual_codec(page),
                    notes=notes,
                )
            values = _upright(series.asarray(), series.axes, axes, page)
            if not values.size:
                raise ValueError("it has no pixels")
            extra = [int(kind) for kind in page.extrasamples]
            has_alpha = 1 in extra or 2 in extra
            return StoredTiff(
                values,
                um_per_px,
                _zero_is_white(page),
                has_alpha,
                is_rgb=int(page.photometric) == 2,
                is_over_black=1 in extra,
                notes=notes,
            )
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


def _zero_is_white(page: tifffile.TiffPage) -> bool:
    """Whether low numbers are bright.

    tifffile, and with it imageio, says so of every array of booleans and stores True as 1 all the
    same: there True is what was marked.
    """
    of_booleans = page.bitspersample == 1 and str(page.software).startswith("tifffile")
    return int(page.photometric) == 0 and not of_booleans


def _needs_pillow(page: tifffile.TiffPage) -> bool:
    """Whether the pixels need a codec or a colour table that Pillow has."""
    return int(page.compression) not in _PLAIN or int(page.photometric) in (3, 5, 6, 8)


def _unusual_codec(page: tifffile.TiffPage) -> str:
    codec = page.compression  # a number where tifffile has no name for it
    return "" if int(codec) in _USUAL else str(getattr(codec, "name", codec))


def _upright(
    values: NDArray[Any], stored_axes: str, axes: str, page: tifffile.TiffPage
) -> NDArray[Any]:
    dropped = tuple(at for at, axis in enumerate(stored_axes) if axis not in axes)
    values = np.squeeze(values, axis=dropped)
    if axes == "SYX":
        values = np.moveaxis(values, 0, -1)
    turn = _TURNS.get(_orientation(page))
    return turn(values) if turn else values


def _orientation(page: tifffile.TiffPage) -> int:
    tag = page.tags.get("Orientation")
    return int(tag.value) if tag else 1


def _to_rgb(
    values: NDArray[Any], stored: StoredTiff, path: Path
) -> tuple[NDArray[np.uint8], str | None]:
    if values.ndim == 2:
        return to_8_bit(values, path)
    colours = values[..., :-1] if stored.has_alpha else values
    if colours.shape[2] not in (1, 3):
        raise ImageReadError(
            f"{path.name} must be grey or RGB, got {colours.shape[2]} channels. "
            "Export it as 8-bit RGB."
        )
    pixels, note = to_8_bit(colours[..., 0] if colours.shape[2] == 1 else colours, path)
    if not stored.has_alpha or values[..., -1].min() == np.iinfo(values.dtype).max:
        return pixels, note
    alpha = values[..., -1:] / np.iinfo(values.dtype).max
    over_black = pixels if stored.is_over_black else pixels * alpha
    over_white = np.rint(over_black + 255 * (1 - alpha)).clip(0, 255).astype(np.uint8)
    return over_white, f"{path.name}: transparency was laid over white."


def _sides_um(
    file: tifffile.TiffFile, page: tifffile.TiffPage
) -> tuple[float | None, float | None]:
    """Return how wide and how high a pixel is, in microns, as far as the file says it."""
    if file.is_ome and file.ome_metadata:
        return sides_of_ome(file.ome_metadata)
    if file.is_svs:
        side = from_aperio(page.description)
        return side, side
    try:
        x, y = page.tags["XResolution"].value, page.tags["YResolution"].value
        per_x, per_y = x[1] / x[0], y[1] / y[0]
    except (KeyError, ZeroDivisionError, TypeError):
        return None, None
    unit = _unit(file, page)
    return (per_x * unit, per_y * unit) if unit else (None, None)


def _unit(file: tifffile.TiffFile, page: tifffile.TiffPage) -> float | None:
    if file.is_imagej:
        return from_unit(1.0, str((file.imagej_metadata or {}).get("unit", "")))
    return {2: UM_PER_INCH, 3: UM_PER_CM}.get(int(page.resolutionunit))


def _begins_as_tiff(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
