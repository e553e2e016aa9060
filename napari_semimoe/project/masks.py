"""Mask files as instance ids: binary, numbered or coloured."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_semimoe.core.errors import (
    ImageReadError,
    OtherImageError,
    UnsaidBackgroundError,
)
from napari_semimoe.core.values import IGNORE, MAX_INSTANCE
from napari_semimoe.project.images import (
    JPEG_SUFFIXES,
    TIFF_SUFFIXES,
    opened,
    png_is_16_bit_colour,
    refuse_empty,
    stem,
)
from napari_semimoe.project.mask_png import is_own_png

if TYPE_CHECKING:
    from PIL import Image

    from napari_semimoe.project.tiff import StoredTiff

MaskKind = Literal["instances", "classes"]

#: More colours than this are a photograph, not a mask.
MAX_COLOURS = 4096
#: Greys of a blurred mask of 0 and 255 lie mostly so near to these, and on both sides.
_NEAR = 64
#: Modes of Pillow whose numbers are those of the file.
_NUMBERS = ("1", "L", "LA", "P", "I", "F", "RGB", "RGBA")


def read_mask(path: Path, shape: tuple[int, int] | None = None) -> NDArray[np.uint16]:
    """Read a mask as instance ids.

    A mask with one value besides 0 is binary, unless it was exported from here: its connected
    parts become instances. A numbered mask keeps its ids. A coloured mask has one instance per
    colour, black (or, where there is none, white) being background; so has a palette in which
    black is used and does not come first. In a numbered 16-bit mask `IGNORE` keeps its meaning.

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
    values = _read(path, shape)
    if values.ndim == 3:
        values = _colours_to_ids(values, path)
    ids = np.unique(values)
    if len(ids[ids != 0]) == 1 and not is_own_png(path):
        return _parts(values != 0, path)
    if values.dtype == np.uint8:
        _refuse_blurred(values, ids, path)
    return _numbered(values, ids, path)


def holds_classes(path: Path, kind: MaskKind) -> bool:
    """Whether a mask's values are classes; masks that were written here number their objects."""
    return kind == "classes" and not is_own_png(path)


def read_class_mask(
    path: Path, shape: tuple[int, int] | None, class_count: int
) -> tuple[NDArray[np.uint16], dict[int, int]]:
    """Read a mask of class indices: the connected parts of each class become instances.

    255 (in a mask with other values) means pixels that must not teach. In a palette the numbers
    count, whatever their colours.

    Returns
    -------
    tuple
        ``(H, W)`` uint16 instance ids, and the class index of each.

    Raises
    ------
    ImageReadError
        As of `read_mask`, and if it has colours: which class a colour is, no file says.
    """
    values = _read(path, shape, colours_of_palette=False)
    if values.ndim == 3:
        raise ImageReadError(
            f"The class mask {path.name} must hold one number per class (grey or palette), got "
            "colours. Export class indices, or add it as an instance mask."
        )
    ids = [int(value) for value in np.unique(values) if value != 0]
    if ids in ([255], [IGNORE]):
        values, ids = (values != 0).astype(np.uint8), [1]
    wrong = [value for value in ids if value >= class_count and value not in (255, IGNORE)]
    if wrong:
        raise ImageReadError(
            f"The class mask {path.name} must hold class indices from 0 to {class_count - 1}, "
            f"got {wrong[0]}. Give the project more classes first (Project menu, or semimoe "
            "classes --add); if its numbers are objects, add it as an instance mask."
        )
    labels = np.zeros(values.shape, np.uint16)
    classes: dict[int, int] = {}
    for value in ids:
        if value >= class_count:
            labels[values == value] = IGNORE
            continue
        parts = _parts(values == value, path).astype(np.int64)
        first = max(classes, default=0)
        refuse_too_many(first + int(parts.max()), path)
        labels[parts > 0] = (parts[parts > 0] + first).astype(np.uint16)
        classes |= {first + part: value for part in range(1, int(parts.max()) + 1)}
    return labels, classes


def class_of(name: str, class_names: Sequence[str], path: Path) -> int:
    """Return the index of an object's class by its name, in capitals or not.

    An object without a name is of the first class besides the background. Where there is no
    other class, every object is, unless it is named as the background.

    Raises
    ------
    ImageReadError
        If the project has no class of that name.
    """
    known = [each.casefold() for each in class_names]
    if name.casefold() in known:
        return known.index(name.casefold())
    if name and len(class_names) > 2:
        raise ImageReadError(
            f"An object of {path.name} must have a class of the project "
            f"({', '.join(class_names[1:])}), got {name}. Rename its class, or make a project "
            "with that class."
        )
    return 1


def only_class_notes(names: Iterable[str], class_names: Sequence[str]) -> list[str]:
    """Return a sentence for each class whose objects count as those of the project's only one."""
    known = {each.casefold() for each in (*class_names, "")}
    return [
        f"Objects of the class {name} were added as {class_names[1]}, the project's only class. "
        "If they are something else, remove them, or make a project with both classes."
        for name in sorted(set(names))
        if name.casefold() not in known
    ]


def _read(
    path: Path, shape: tuple[int, int] | None, *, colours_of_palette: bool = True
) -> NDArray[Any]:
    """Read a mask's numbers ``(H, W)`` or colours ``(H, W, 3)``; check the size if one is given."""
    path = Path(path)
    refuse_empty(path)
    if path.suffix.lower() in JPEG_SUFFIXES:
        raise _blurred(path)
    values = _without_alpha(_stored(path, colours_of_palette))
    if shape is not None and values.shape[:2] != tuple(shape):
        raise ImageReadError(
            f"The mask {path.name} must have its image's size {shape[1]} x {shape[0]} px, got "
            f"{values.shape[1]} x {values.shape[0]}. Export the mask at the image's resolution."
        )
    return values


def _stored(path: Path, colours_of_palette: bool) -> NDArray[Any]:
    if path.suffix.lower() in TIFF_SUFFIXES:
        from napari_semimoe.project.tiff import decoded, read_stored

        stored = read_stored(path)
        if stored.is_jpeg:
            raise _blurred(path)
        if stored.values is not None:
            one_bit_inverted = stored.zero_is_white and stored.values.dtype.kind == "b"
            values = ~stored.values if one_bit_inverted else stored.values
            _refuse_channels(values, stored, path)
            return _whole_numbers(values, path)
        if stored.is_16_bit_colour:
            raise _too_deep(path)
        with decoded(path, stored) as image:
            inverted = stored.zero_is_white and image.mode == "L"  # by Pillow
            found = _numbers_of(image, path, colours_of_palette)
            return 255 - found if inverted else found
    with opened(path) as image:
        return _numbers_of(image, path, colours_of_palette)


def _refuse_channels(values: NDArray[Any], stored: StoredTiff, path: Path) -> None:
    """Raise for samples that are neither grey nor colours; one more may be transparency."""
    colours = values.shape[2] if values.ndim == 3 else 1
    if stored.has_alpha or (stored.is_rgb and colours == 4):  # many writers do not declare it
        colours -= 1
    if colours not in (1, 3):
        raise ImageReadError(
            f"The mask {path.name} must have one number or one colour at each pixel, got "
            f"{colours} channels. Export one number per object."
        )


def _numbers_of(image: Image.Image, path: Path, colours_of_palette: bool) -> NDArray[Any]:
    """Return the numbers or colours of a decoded image."""
    from PIL import ImageOps

    if png_is_16_bit_colour(image, path):
        raise _too_deep(path)
    if image.format in ("JPEG", "MPO"):
        raise _blurred(path)
    image = ImageOps.exif_transpose(image)  # as its image is
    if image.mode == "P" and colours_of_palette and _hides_background(image):
        image = image.convert("RGB")
    elif image.mode in ("PA", "La", "RGBa"):
        image = image.convert("RGBA")
    elif image.mode not in _NUMBERS and image.mode[0] != "I":
        image = image.convert("RGB")
    return _whole_numbers(np.asarray(image), path)


def _blurred(path: Path) -> ImageReadError:
    return ImageReadError(
        f"The mask {path.name} must be a lossless file (png, bmp or tif), got a JPEG, which "
        "blurs ids into each other; converting it does not help. Export it anew, as PNG, from the "
        "program that made it."
    )


def _too_deep(path: Path) -> ImageReadError:
    return ImageReadError(
        f"The mask {path.name} has 16-bit colours, of which only the high bytes can be read. "
        "Export it as 16-bit grey, one number per object."
    )


def _hides_background(image: Image.Image) -> bool:
    """Whether a palette does not begin with black, or without it white, and uses it further on."""
    table = np.frombuffer(bytes(image.convert("P").getpalette() or ()), np.uint8)
    colours = table[: len(table) // 3 * 3].reshape(-1, 3)
    if np.array_equal(colours, np.repeat(np.arange(255, -1, -1)[:, None], 3, axis=1)):
        return False  # ImageJ's inverting table: what it marked is 255 and shown black
    used = np.unique(np.asarray(image))
    for level in (0, 255):
        background = np.intersect1d(np.flatnonzero((colours == level).all(axis=1)), used)
        if background.size:
            return 0 not in background
    return False


def _without_alpha(values: NDArray[Any]) -> NDArray[Any]:
    """Make what is transparent background, and grey of what has equal channels.

    Black shapes on nothing are a mask by what is seen of them.
    """
    if values.ndim == 3 and values.shape[2] in (2, 4):
        seen = values[..., -1] != 0
        values = np.where(seen[..., None], values, 0)[..., :-1]
        if not values.any() and not seen.all():
            return seen.astype(np.uint8)
    if values.ndim == 3 and (values == values[..., :1]).all():
        return np.ascontiguousarray(values[..., 0])
    return values


def _whole_numbers(values: NDArray[Any], path: Path) -> NDArray[Any]:
    if values.dtype.kind == "b":
        return values.astype(np.uint8)
    if values.dtype.kind not in "iu":
        is_real = values.dtype.kind == "f"
        if not is_real or not (np.isfinite(values) & (np.rint(values) == values)).all():
            raise ImageReadError(
                f"The mask {path.name} must hold whole numbers, got fractions or none. "
                "Export the labels, not the probabilities."
            )
        values = values.astype(np.int64)
    if values.min() < 0:
        raise ImageReadError(
            f"The mask {path.name} must hold ids of 0 or more, got {values.min()}. "
            "Renumber its objects."
        )
    return values


def _colours_to_ids(values: NDArray[Any], path: Path) -> NDArray[Any]:
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


def _refuse_blurred(values: NDArray[np.uint8], ids: NDArray[np.uint8], path: Path) -> None:
    """Raise for a mask of 0 and 255 that was resized smoothly, or a JPEG once.

    An object's number fills an area; of a rim's greys hardly a pixel has four neighbours alike.
    """
    dark, bright = (ids > 0) & (ids <= _NEAR), (ids >= 255 - _NEAR) & (ids < 255)
    if (ids[0], ids[-1]) != (0, 255) or not (dark.any() and bright.any()):
        return
    if ((values > _NEAR) & (values < 255 - _NEAR)).mean() > 0.1:
        return
    inner = values[1:-1, 1:-1]
    around = values[:-2, 1:-1], values[2:, 1:-1], values[1:-1, :-2], values[1:-1, 2:]
    between = (inner > 0) & (inner < 255)
    fills = np.logical_and.reduce([between, *(inner == each for each in around)])
    if fills.sum() < max(len(ids), 0.01 * between.sum()):
        raise ImageReadError(
            f"The mask {path.name} has black and white areas with {len(ids) - 2} greys at their "
            "rims, as smoothing and JPEG leave them. Export it anew from the program that made "
            "it, as PNG and without smoothing (nearest neighbour)."
        )


def _numbered(values: NDArray[Any], ids: NDArray[Any], path: Path) -> NDArray[np.uint16]:
    is_16_bit = values.dtype.itemsize <= 2 or path.suffix.lower() not in TIFF_SUFFIXES
    if len(ids) == 0 or ids[-1] < IGNORE or (ids[-1] == IGNORE and is_16_bit):
        return np.ascontiguousarray(values, dtype=np.uint16)
    objects = ids[ids != 0]
    refuse_too_many(len(objects), path)
    order = np.searchsorted(objects, values) + 1
    return np.where(values == 0, 0, order).astype(np.uint16)


def _parts(mask: NDArray[np.bool_], path: Path) -> NDArray[np.uint16]:
    from scipy.ndimage import label

    parts, count = label(mask, structure=np.ones((3, 3), int))
    refuse_too_many(count, path)
    return parts.astype(np.uint16)


def refuse_other_image(path: Path, mark: object, sha256: str | None) -> None:
    """Raise where a mask's mark says that it was exported for other pixels than known ones.

    Raises
    ------
    OtherImageError
        If it does; two images of one name are easily given each other's mask.
    """
    told = mark.get("image_sha256") if isinstance(mark, Mapping) else None
    if None not in (told, sha256) and told != sha256:
        raise OtherImageError(
            f"The mask {path.name} was exported for an image with other pixels. If it is of this "
            "one, such as of a copy in another format, save it anew elsewhere."
        )


def refuse_unsaid_background(path: Path, labels: NDArray[np.integer]) -> None:
    """Raise for a segmentation of ilastik that has no 0: it numbers its classes from 1.

    Raises
    ------
    UnsaidBackgroundError
        If so, for any of them may be the background.
    """
    if labels.all() and stem(path).lower().endswith("_simple segmentation"):
        raise UnsaidBackgroundError(
            f"{path.name} has no 0, for ilastik numbers classes from 1, and does not say which of "
            "them is the background. Set that one to 0."
        )


def refuse_too_many(count: int, path: Path) -> None:
    """Raise if a mask has more objects than there are ids."""
    if count > MAX_INSTANCE:
        raise ImageReadError(
            f"The mask {path.name} must hold at most {MAX_INSTANCE} objects, got {count}. "
            "Remove specks from it or cut the image into tiles."
        )
