"""Which files of a folder are images, and which are their masks."""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Collection, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from unicodedata import normalize

from napari_semimoe.core.errors import ImageReadError, StorageError
from napari_semimoe.core.natural import natural_key
from napari_semimoe.project import mask_geojson
from napari_semimoe.project.images import SUFFIXES, stem
from napari_semimoe.project.mask_png import is_own_png, is_predicted_png
from napari_semimoe.project.patients import read_glas

#: A folder, and the name of an image in it.
_Name = tuple[Path | None, str]

#: Endings of a mask's name that lies beside its image, in small letters; the first that fits.
MASK_ENDINGS = (
    "_cp_masks",  # Cellpose
    *("_anno", "_mask", "_masks", "_label", "_labels", "-mask", "-labels", ".labels"),
    *("_simple segmentation", "_object identities"),  # ilastik
    "-labelled",  # QuPath
)
#: Endings of what a program marked by itself, the better first: what a person drew goes before.
_AUTOMATIC = ("_cp_masks", "_object identities", "_simple segmentation")
#: Endings of pictures that Cellpose makes of an image, which are no tissue.
_PICTURES = ("_cp_output", "_cp_outlines", "_cellprob", "_flows")
MASK_FOLDERS = ("masks", "mask", "labels", "label", "annotations", "anno", "gt")
IMAGE_FOLDERS = ("images", "image", "img", "tiles")

#: The GlaS images were scanned at 20x, 0.62 microns per pixel (challenge description, 2015).
GLAS_UM_PER_PX = 0.62


@dataclass(frozen=True, slots=True)
class FoundFiles:
    """Images of a folder with what lies beside them.

    Attributes
    ----------
    images
        Image files by name.
    masks
        Mask file of an image; images without one are absent.
    um_per_px
        Microns per pixel that the folder's layout implies, or None.
    notes
        Sentences about files that were left out.
    """

    images: tuple[Path, ...]
    masks: Mapping[Path, Path] = field(default_factory=dict)
    um_per_px: float | None = None
    notes: tuple[str, ...] = ()


def find_files(folder: Path, masks: Path | None = None) -> FoundFiles:
    """Look through a folder.

    Parameters
    ----------
    folder
        Holds images, or an ``images`` folder with them.
    masks
        Folder of masks named as the images; where it is not given, masks are looked for beside
        the images (``NAME_anno``, ``NAME_mask``, ..., ``NAME.geojson`` or ``NAME.png.geojson``)
        and in a folder such as ``masks``.

    Raises
    ------
    StorageError
        If the folder cannot be read.
    ImageReadError
        If it holds no image.
    """
    folder = Path(folder)
    files = list_images(folder)
    place = folder
    if not files:
        place, files = _images_folder(folder)
    if masks is None:
        masks = next((folder / name for name in MASK_FOLDERS if (folder / name).is_dir()), None)
    elif not list_images(masks) and not list_outlines(masks):
        raise ImageReadError(
            f"The folder {masks} holds no mask (png, bmp, tif or geojson). Check its path."
        )
    found = pair_files([*files, *list_outlines(place)], masks)
    if not found.images:
        raise _no_image(folder, any(is_own_png(path) for path in files))
    unreadable = _unreadable([place, *([masks] if masks and masks != place else [])], found)
    return dataclasses.replace(
        found,
        um_per_px=GLAS_UM_PER_PX if read_glas(place) else None,
        notes=(*found.notes, *unreadable),
    )


def pair_files(files: Sequence[Path], masks: Path | None = None) -> FoundFiles:
    """Tell masks from images by their names and pair them.

    Parameters
    ----------
    files
        Images, perhaps with masks among them (``NAME_anno`` or ``NAME.geojson`` with ``NAME``).
    masks
        Folder of masks named as the images. Of several masks of an image what a person drew
        goes first, then what lies in this folder, then pixels before GeoJSON.
    """
    kinds = _sorted_out(files)
    given = set(files)
    elsewhere = [] if masks is None else [*list_outlines(masks), *list_images(masks)]
    elsewhere = [path for path in elsewhere if path not in given]
    masks_given = (*kinds.beside, *kinds.outlines, *elsewhere)
    predicted = {path for path in masks_given if is_prediction(path)}
    outlines = [path for path in kinds.outlines if path not in predicted]
    beside = [path for path in kinds.beside if path not in predicted]
    elsewhere = [path for path in elsewhere if path not in predicted]
    beside.sort(key=rank, reverse=True)
    by_name = _by_name(elsewhere), {kinds.beside[p]: p for p in beside}, _by_name(outlines)
    pairs = {}
    for path in kinds.images:
        folders = masks, path.parent, path.parent
        found = [
            each
            for of, where in zip(by_name, folders, strict=True)
            for each in _masks_of(path, of, where)
        ]
        if found:
            pairs[path] = min(found, key=rank)  # the first of equals
    shared = [mask for mask, count in Counter(pairs.values()).items() if count > 1]
    pairs = {path: mask for path, mask in pairs.items() if mask not in shared}
    masklike = [path for path in kinds.images if image_name(path) and path not in pairs]
    masks_found = [*elsewhere, *outlines, *beside]
    notes = _notes(masks_found, pairs, shared, kinds.written_here, masklike)
    return FoundFiles(kinds.images, pairs, notes=(*notes, *_left_out(kinds.pictures, predicted)))


@dataclass(frozen=True, slots=True)
class _Kinds:
    """Files by what they are.

    Attributes
    ----------
    beside
        Masks in pixels, and whose they are.
    outlines
        Masks as GeoJSON.
    pictures
        What Cellpose draws beside its masks.
    written_here
        Masks of this plugin that lie beside no image of theirs.
    """

    images: tuple[Path, ...]
    beside: Mapping[Path, _Name]
    outlines: Sequence[Path]
    pictures: Sequence[Path]
    written_here: Sequence[Path]


def _sorted_out(files: Sequence[Path]) -> _Kinds:
    outlines = [path for path in files if path.suffix.lower() == mask_geojson.SUFFIX]
    pixels = [path for path in files if path.suffix.lower() != mask_geojson.SUFFIX]
    stems = {(path.parent, stem(path).lower()) for path in pixels}
    kinds: dict[Path, str] = {}
    beside: dict[Path, _Name] = {}
    for path in pixels:
        if _is_picture(path, stems):
            kinds[path] = "picture"
        elif name := _of_these(path, stems):
            beside[path] = name
        else:
            kinds[path] = "written here" if is_own_png(path) else "image"

    def all_of(kind: str) -> tuple[Path, ...]:
        return tuple(path for path, each in kinds.items() if each == kind)

    return _Kinds(all_of("image"), beside, outlines, all_of("picture"), all_of("written here"))


def _is_picture(path: Path, stems: Container[tuple[Path, str]]) -> bool:
    name = re.sub(r"_flows_[0-2]$", "_flows", stem(path).lower())
    return any(
        name.endswith(end) and (path.parent, name.removesuffix(end)) in stems for end in _PICTURES
    )


def is_prediction(path: Path) -> bool:
    """Whether a mask is what a network marked here, and no person has changed since."""
    return is_predicted_png(path) or mask_geojson.is_prediction(path)


def _left_out(pictures: Sequence[Path], predicted: Collection[Path]) -> Iterator[str]:
    if pictures:
        yield (
            "Pictures that Cellpose made of images are no tissue and were left out: "
            f"{len(pictures)} (first: {pictures[0].name})."
        )
    if predicted:
        yield (
            "Masks that a network marked here and nobody corrected were left out, for they would "
            f"teach it what it says already: {len(predicted)} (first: {min(predicted).name})."
        )


def _of_these(path: Path, stems: set[tuple[Path, str]]) -> tuple[Path, str] | None:
    """Return folder and name of the image whose mask a file is, if that image is there."""
    names = ((path.parent, name.lower()) for name in _image_names(path))
    return next((name for name in names if name in stems), None)


def _masks_of(
    image: Path, masks: Mapping[tuple[Path | None, str], Path], folder: Path | None
) -> list[Path]:
    """Return masks of an image by its name; QuPath's scripts also say ``NAME.png.geojson``."""
    return [masks[folder, name] for name in _names_of(image) if (folder, name) in masks]


def _names_of(image: Path) -> tuple[str, str]:
    """Return what a mask may be named after, in small letters and Unicode's form NFC."""
    return stem(image).lower(), normalize("NFC", image.name).lower()


def _by_name(masks: Sequence[Path]) -> dict[_Name, Path]:
    """Return masks by their folder and their image's name; later ones win, and whole names."""
    masks = sorted(masks, key=rank, reverse=True)
    found: dict[_Name, Path]
    found = {(path.parent, (image_name(path) or stem(path)).lower()): path for path in masks}
    return found | {(path.parent, stem(path).lower()): path for path in masks}


def rank(path: Path) -> int:
    """Return 0 for what a person may have drawn, more for what a program marked by itself."""
    name = stem(path).lower()
    return next((nr for nr, end in enumerate(_AUTOMATIC, start=1) if name.endswith(end)), 0)


def _notes(
    masks: Sequence[Path],
    pairs: Mapping[Path, Path],
    shared: Sequence[Path],
    written_here: Sequence[Path],
    masklike: Sequence[Path],
) -> tuple[str, ...]:
    used = {*pairs.values(), *shared}
    taken = {name: mask for image, mask in pairs.items() for name in _names_of(image)}
    unused = [path for path in masks if path not in used]
    second = {
        path: taken[name]
        for path in unused
        for name in (stem(path).lower(), (image_name(path) or "").lower())
        if name in taken
    }
    alone = [path.name for path in unused if path not in second]
    notes = [
        f"{mask.name} matches several images by name and was left out. Rename one of them."
        for mask in shared
    ]
    if alone:
        notes.append(
            f"Masks that match no image by name were left out: {len(alone)} (first: {alone[0]})."
        )
    if second:
        notes.append(
            f"Masks of images that have another one were left out: {len(second)} "
            f"(first: {_told_apart(*next(iter(second.items())))} was taken)."
        )
    if written_here:
        notes.append(
            f"Masks that this plugin wrote are no tissue and were left out: {len(written_here)} "
            f"(first: {written_here[0].name})."
        )
    if masklike:
        notes.append(
            f"Files named like masks count as images, for no image fits them: {len(masklike)} "
            f"(first: {masklike[0].name})."
        )
    return tuple(notes)


def _told_apart(left: Path, taken: Path) -> str:
    """Name two masks, with their folders where they have the same name."""
    if left.name != taken.name:
        return f"{left.name}; {taken.name}"
    return f"{left.parent.name}/{left.name}; {taken.parent.name}/{taken.name}"


def _unreadable(places: Sequence[Path], found: FoundFiles) -> tuple[str, ...]:
    """Return a sentence on masks in formats of other programs that images without one may have."""
    bare = {stem(image).lower() for image in found.images if image not in found.masks}
    files = [path for place in places for path in list_images(place, (".npy", ".roi", ".zip"))]
    left = [
        path.name
        for path in files
        if (path.suffix.lower() == ".npy" and stem(path).lower().removesuffix("_seg") in bare)
        or path.suffix.lower() == ".roi"
        or (path.suffix.lower() == ".zip" and "roi" in path.name.lower())
    ]
    if not (bare and left):
        return ()
    return (
        f"Masks of Cellpose (_seg.npy) and ImageJ (.roi, RoiSet.zip) cannot be read: {len(left)} "
        f"(first: {left[0]}). Save them as PNG or TIFF: in Cellpose by 'Save masks as PNG/tif', in "
        "ImageJ as a label image or by Edit > Selection > Create Mask.",
    )


def list_outlines(folder: Path) -> list[Path]:
    """Return the GeoJSON files directly in a folder, by name."""
    return list_images(folder, (mask_geojson.SUFFIX,))


def list_images(folder: Path, suffixes: tuple[str, ...] = SUFFIXES) -> list[Path]:
    """Return the image files directly in a folder, by name."""
    try:
        entries = sorted(folder.iterdir(), key=lambda path: (natural_key(path.name), path.name))
        return [path for path in entries if path.suffix.lower() in suffixes and _is_file(path)]
    except FileNotFoundError as error:
        raise StorageError(f"The folder {folder} does not exist. Check its path.") from error
    except NotADirectoryError as error:
        raise StorageError(f"{folder} is a file, not a folder. Choose a folder.") from error
    except OSError as error:
        raise StorageError(
            f"The folder {folder} cannot be read ({error.strerror}). Check your rights to it, "
            "or copy it to a place that you may read."
        ) from error


def _is_file(path: Path) -> bool:
    return path.is_file() and not path.name.startswith(".")


def _images_folder(folder: Path) -> tuple[Path, list[Path]]:
    for name in IMAGE_FOLDERS:
        if (folder / name).is_dir() and (files := list_images(folder / name)):
            return folder / name, files
    raise _no_image(folder)


def _no_image(folder: Path, written_here: bool = False) -> ImageReadError:
    if written_here:
        return ImageReadError(
            f"The folder {folder} holds only masks that this plugin wrote, no image. Choose the "
            "folder of their images; the masks come along where they lie in a folder masks in it."
        )
    below = [path for path in folder.iterdir() if path.is_dir() and path.name[0] != "."]
    hint = "Choose another."
    if any(path.suffix.lower() == ".zarr" for path in (folder, *below)):
        hint = "OME-Zarr cannot be added; choose the images that it was exported from."
    elif any(path.suffix.lower() == mask_geojson.SUFFIX for path in folder.iterdir()):
        hint = (
            "GeoJSON files are masks: put them beside their images, or in a folder masks there, "
            "and add the folder of the images."
        )
    elif below:
        hint = f"Its {len(below)} sub-folders are not searched; choose one of them."
    return ImageReadError(f"The folder {folder} holds no image (png, jpg, bmp, tif or svs). {hint}")


def image_name(path: Path) -> str | None:
    """Return the name of the image whose mask this file is by its ending, else None."""
    return next(_image_names(path), None)


def _image_names(path: Path) -> Iterator[str]:
    name = stem(path)
    for ending in MASK_ENDINGS:
        if name.lower().endswith(ending) and len(name) > len(ending):
            yield name[: -len(ending)]
