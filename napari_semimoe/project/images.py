"""Image files of any ordinary kind as 8-bit RGB, or a sentence that says why not."""

from __future__ import annotations

import struct
import unicodedata
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_semimoe.core.errors import ImageReadError
from napari_semimoe.project.resolution import from_pillow

if TYPE_CHECKING:
    from PIL import Image

#: Names such as ``slide.ome.tif`` end in two.
_DOUBLE = ".ome"
TIFF_SUFFIXES = (".tif", ".tiff", ".svs")
JPEG_SUFFIXES = (".jpg", ".jpeg")
SUFFIXES = (".png", *JPEG_SUFFIXES, ".bmp", *TIFF_SUFFIXES)

#: Share of an image's pixels that may be brighter than its bit depth: hot pixels, dust, saturation.
_ALWAYS_BRIGHT = 0.001

#: Larger images are cut into regions before they are added: one is held in memory as a whole.
MAX_PIXELS = 150_000_000

_ORIENTATION = 0x0112  # of EXIF
_WITH_ALPHA = ("RGBA", "RGBa", "LA", "La", "PA")

#: What decoders are known to raise on files that are cut off or damaged.
DECODER_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    ArithmeticError,
    EOFError,
    IndexError,
    KeyError,
    TypeError,
    struct.error,
    zlib.error,
)


# Pillow warns of large images; what is too large here is refused in words.
warnings.filterwarnings("ignore", "Image size .* could be decompression bomb")


@dataclass(frozen=True, slots=True)
class ImageFile:
    """What was read from one image file.

    Attributes
    ----------
    pixels
        ``(H, W, 3)`` uint8 RGB.
    um_per_px
        Microns per pixel where the file says it plausibly, else None.
    note
        What had to be converted, or is odd, in sentences, or None.
    """

    pixels: NDArray[np.uint8]
    um_per_px: float | None
    note: str | None = None


def read_image(path: Path) -> ImageFile:
    """Read an image as 8-bit RGB.

    Grey and palette images become RGB, transparency is laid over white, the camera's
    orientation is applied, 16-bit values are scaled to 8 bits (with a note).

    Raises
    ------
    ImageReadError
        If the file is not an image, is cut off, or cannot be converted without guessing.
    """
    path = Path(path)
    refuse_empty(path)
    if path.suffix.lower() in TIFF_SUFFIXES:
        from napari_semimoe.project.tiff import read_tiff

        return read_tiff(path)
    with opened(path) as image:
        turned = image.getexif().get(_ORIENTATION, 1) in range(2, 9)
        pixels, note = pillow_to_rgb(image, path)
        note = joined(turned_note(path) if turned else None, note)
        return ImageFile(pixels, from_pillow(image), note)


def turned_note(path: Path) -> str:
    """Say that an image is not as it is stored: a mask that was drawn on that has another shape."""
    return f"{path.name} was turned as its camera says."


def joined(*notes: str | None) -> str | None:
    """Return the sentences as one text; None if there is none."""
    return " ".join(note for note in notes if note) or None


def stem(path: Path) -> str:
    """Return a file's name without its ending, of which an OME-TIFF has two.

    Letters with accents are one character each: macOS stores some of them as two.
    """
    name = unicodedata.normalize("NFC", path.stem)
    if path.suffix.lower() in TIFF_SUFFIXES and name.lower().endswith(_DOUBLE):
        return name[: -len(_DOUBLE)] or name
    return name


def refuse_empty(path: Path) -> None:
    """Raise unless there is a file with at least one byte."""
    try:
        size = path.stat().st_size
    except OSError as error:
        raise not_permitted(path, error) from error
    if size == 0:
        raise ImageReadError(f"{path.name} is empty (0 bytes). Copy or export it again.")


@contextmanager
def opened(path: Path, page: int = 0) -> Iterator[Image.Image]:
    """Open and decode a file's image with Pillow; what goes wrong in the block is put in words."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            if page:
                image.seek(page)
            _refuse_stacks_and_giants(image, path)
            image.load()
            yield image
    except ImageReadError:
        raise
    except UnidentifiedImageError as error:
        raise not_an_image(path) from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise too_large(path) from error
    except PermissionError as error:
        raise not_permitted(path, error) from error
    except DECODER_ERRORS as error:
        raise cut_off(path, error) from error


def not_an_image(path: Path) -> ImageReadError:
    """Return the sentence for a file of another kind."""
    return ImageReadError(
        f"{path.name} is not an image that can be read. "
        "Add png, jpg, bmp, tif or svs files; export others as one of these."
    )


def not_permitted(path: Path, error: OSError) -> ImageReadError:
    """Return the sentence for a file that the system does not give."""
    return ImageReadError(
        f"{path.name} cannot be read ({error.strerror}). Check the path and your rights."
    )


def too_large(path: Path) -> ImageReadError:
    """Return the sentence for an image that does not fit in memory."""
    return ImageReadError(
        f"{path.name} has more than {MAX_PIXELS // 1_000_000} million pixels. "
        "Export the regions of interest from it and add those."
    )


def cut_off(path: Path, error: Exception) -> ImageReadError:
    """Return the sentence for a file whose beginning is an image and whose rest is not."""
    said = isinstance(error, (OSError, SyntaxError, ValueError)) and str(error)
    why = f" ({error})" if said else ""
    return ImageReadError(f"{path.name} is cut off or damaged{why}. Copy or export it again.")


def _refuse_stacks_and_giants(image: Image.Image, path: Path) -> None:
    frames = getattr(image, "n_frames", 1)
    by_tiff = path.suffix.lower() in TIFF_SUFFIXES  # it tells pyramids and stacks apart
    if frames > 1 and image.format != "MPO" and not by_tiff:
        raise ImageReadError(
            f"{path.name} must be a single image, got {frames} frames. Export the one you need."
        )
    if image.width * image.height > MAX_PIXELS:
        raise too_large(path)
    if not image.width * image.height:
        raise cut_off(path, ValueError("it has no pixels"))


def pillow_to_rgb(image: Image.Image, path: Path) -> tuple[NDArray[np.uint8], str | None]:
    """Convert a decoded image to ``(H, W, 3)`` uint8, upright; return what was converted."""
    from PIL import Image, ImageOps

    high = png_is_16_bit_colour(image, path)
    image = ImageOps.exif_transpose(image)
    if image.mode == "F":
        raise not_8_or_16_bit(path, "32-bit decimal")
    if image.mode.startswith("I"):
        return to_8_bit(np.asarray(image), path)
    note = None
    if image.mode == "CMYK":
        note = f"{path.name}: CMYK colours were converted to RGB without a colour profile."
    if image.mode in _WITH_ALPHA or "transparency" in image.info:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, "white")
        image = Image.alpha_composite(white, rgba)
        note = f"{path.name}: transparency was laid over white."
    pixels = np.ascontiguousarray(image.convert("RGB"))
    return pixels, high_byte_note(pixels, path) if high else note


def to_8_bit(values: NDArray[Any], path: Path) -> tuple[NDArray[np.uint8], str | None]:
    """Scale grey ``(H, W)`` or RGB ``(H, W, 3)`` whole numbers to 8-bit RGB.

    The scale is the smallest usual bit depth (8, 10, 12, 14, 16) that holds all but the brightest
    thousandth, because cameras store 12 bits in 16 and have pixels that are always bright.
    """
    if values.dtype == np.uint8:
        return as_rgb(values), None
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > 65535:
        raise not_8_or_16_bit(path, f"values from {low} to {high}")
    if high < 256:
        return as_rgb(values.astype(np.uint8)), None
    up_to = np.cumsum(np.bincount(values.astype(np.uint16).ravel()))
    usual = int(np.searchsorted(up_to, (1 - _ALWAYS_BRIGHT) * values.size))
    bits = next(bits for bits in (8, 10, 12, 14, 16) if usual < 2**bits)
    white = 2**bits - 1
    scaled = np.rint(np.minimum(values, white) * (255.0 / white)).astype(np.uint8)
    what = "values were taken as" if bits == 8 else f"{bits}-bit values were scaled to"
    brighter = f", and the few above {white} became white" if high > white else ""
    return as_rgb(scaled), f"{path.name}: {what} 8 bits{brighter}."


def as_rgb(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return grey or RGB pixels as contiguous ``(H, W, 3)``."""
    if pixels.ndim == 2:
        pixels = np.repeat(pixels[..., None], 3, axis=2)
    return np.ascontiguousarray(pixels)


def not_8_or_16_bit(path: Path, got: str) -> ImageReadError:
    """Return the sentence for numbers whose white is unknown."""
    return ImageReadError(
        f"{path.name} must hold 8- or 16-bit whole numbers, got {got}. "
        "Export it as 8-bit RGB, so that black and white are where you want them."
    )


def png_is_16_bit_colour(image: Image.Image, path: Path) -> bool:
    """Whether a PNG has 16 bits a colour, of which Pillow keeps the high ones."""
    if image.format != "PNG" or image.mode not in ("RGB", "RGBA"):
        return False
    with path.open("rb") as file:
        return file.read(25)[24:] == b"\x10"


def high_byte_note(pixels: NDArray[np.uint8], path: Path) -> str:
    """Say that of 16-bit colours only the high bytes were kept; refuse where that is too little."""
    if pixels.max() < 32:
        raise ImageReadError(
            f"{path.name} has 16-bit colours of which it uses only the darkest eighth, so 8 bits "
            "cannot hold it. Export it as 8-bit RGB."
        )
    return f"{path.name}: 16-bit values were scaled to 8 bits."
