"""Find the prediction that belongs to each true mask."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from napari_semimoe.cli.output import typed
from napari_semimoe.core.errors import ImageReadError
from napari_semimoe.project.discovery import (
    MASK_FOLDERS,
    image_name,
    is_prediction,
    list_images,
    list_outlines,
    rank,
)
from napari_semimoe.project.folder import DESCRIPTION
from napari_semimoe.project.images import JPEG_SUFFIXES, SUFFIXES, stem
from napari_semimoe.project.mask_png import is_own_png


@dataclass(frozen=True, slots=True)
class MaskPair:
    """A predicted and a true mask of one image."""

    name: str
    prediction: Path
    truth: Path


def pair_masks(
    predictions: Path, truths: Path, *, partial: bool = False
) -> tuple[list[MaskPair], list[str], list[str]]:
    """Pair two folders by name, ``NAME.png`` with ``NAME.*``, ``NAME_anno.*`` or ``NAME.geojson``.

    Where a folder of truths has both, the masks are taken: those beside their images, or those in
    a folder such as ``masks``. What was predicted here is the truth only where there is no other.
    Where no name is the same, capitals do not count.

    Returns
    -------
    tuple
        The pairs, sorted by name, the names of truths without a prediction, and those of
        predictions without a truth.

    Raises
    ------
    ImageReadError
        If a folder is missing, empty or a project, no name fits, both are the same, or, unless
        ``partial``, one is missing.
    """
    for folder in (predictions, truths):
        _refuse_project(folder)
    truths = next(filter(_holds_truth, (truths / name for name in MASK_FOLDERS)), truths)
    true, found = _masks(truths, truth=True), _masks(predictions)
    named = _partners(true, found)
    missing = sorted(true.keys() - named.keys())
    if not named:
        raise ImageReadError(
            f"No prediction in {predictions} has the name of a mask in {truths}: there is "
            f"{next(iter(found))}, and here {next(iter(true))}. Rename them, or name other folders."
        )
    if all(found[other] == true[name] for name, other in named.items()):
        raise ImageReadError(
            f"The predictions and the truth are the same files in {truths}, which says nothing. "
            "Name the folder of the predictions, and that of the true masks."
        )
    if missing and not partial:
        raise ImageReadError(
            f"Every mask in {truths} needs a prediction of the same name in {predictions}; "
            f"missing: {', '.join(missing[:5])}{' ...' if len(missing) > 5 else ''}. Predict "
            "them too, or add --partial to score the others."
        )
    extra = sorted(found.keys() - named.values())
    pairs = [MaskPair(name, found[named[name]], true[name]) for name in sorted(named)]
    return pairs, missing, extra


def _partners(true: Collection[str], found: Collection[str]) -> dict[str, str]:
    """Return the name among ``found`` for each of ``true`` that has one."""
    in_small = {name.casefold(): name for name in found if name not in true}
    pairs = {name: name if name in found else in_small.get(name.casefold()) for name in true}
    return {name: other for name, other in pairs.items() if other is not None}


def _refuse_project(folder: Path) -> None:
    if (folder / DESCRIPTION).is_file():
        project = typed(folder)
        raise ImageReadError(
            f"{folder} is a project, not a folder of masks: 'semimoe evaluate {project}' scores "
            f"its validation tiles, and 'semimoe export {project} MASKS --kind png' writes its "
            "masks."
        )


def _holds_truth(folder: Path) -> bool:
    if not folder.is_dir():
        return False
    return bool(_not_predicted([*list_outlines(folder), *list_images(folder)]))


def _not_predicted(files: Iterable[Path]) -> list[Path]:
    return [path for path in files if not is_prediction(path)]


def _masks(folder: Path, *, truth: bool = False) -> dict[str, Path]:
    """Return masks by their images' names."""
    files, drawn = list_images(folder), _not_predicted(list_outlines(folder))
    if truth:
        files = _not_predicted(files) or files
    if not files and not drawn:
        below = sorted(p.name for p in folder.iterdir() if p.is_dir() and p.name[0] != ".")
        hint = f"Name one of its sub-folders, such as {below[0]}." if below else "Check its path."
        raise ImageReadError(
            f"The folder {folder} holds no mask (png, bmp, tif or geojson). {hint}"
        )
    files = sorted(files, key=rank, reverse=True)  # of two the last stays, what a person drew
    own = {stem(path): path for path in files if is_own_png(path)}  # under their images' names
    marked = [(n, path) for path in files if (n := image_name(path)) and stem(path) not in own]
    outlines = {_image_of(path): path for path in drawn}
    if marked or outlines:  # what else there is are images
        by_program = {name: path for name, path in marked if rank(path)}
        by_person = _one_each([(name, path) for name, path in marked if not rank(path)], folder)
        return {**by_program, **outlines, **by_person, **own}
    able = [path for path in files if path.suffix.lower() not in JPEG_SUFFIXES] or files
    named = [(stem(path), path) for path in able]
    return _one_each([(name, path) for name, path in named if own.get(name, path) == path], folder)


def _one_each(named: Iterable[tuple[str, Path]], folder: Path) -> dict[str, Path]:
    """Return files by their images' names; two of one image are refused."""
    masks: dict[str, Path] = {}
    for name, path in named:
        other = masks.setdefault(name, path)
        if other is not path:
            raise ImageReadError(
                f"Each image must have one mask in {folder}, got {other.name} and {path.name}. "
                "Move one of them elsewhere."
            )
    return masks


def _image_of(outlines: Path) -> str:
    """Return the name of an image by that of its GeoJSON, which may hold the image's ending."""
    name = image_name(outlines) or stem(outlines)
    return stem(Path(name)) if name.lower().endswith(SUFFIXES) else name
