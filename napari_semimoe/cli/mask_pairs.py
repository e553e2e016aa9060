"""Find the prediction that belongs to each true mask."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from napari_semimoe.core.errors import ImageReadError
from napari_semimoe.project.discovery import MASK_ENDINGS, list_images
from napari_semimoe.project.images import opened


@dataclass(frozen=True, slots=True)
class MaskPair:
    """A predicted and a true mask of one image."""

    name: str
    prediction: Path
    truth: Path


def pair_masks(
    predictions: Path, truths: Path, *, partial: bool = False
) -> tuple[list[MaskPair], list[str]]:
    """Pair two folders by name, ``NAME.png`` with ``NAME.*`` or ``NAME_anno.*``.

    Where a folder of truths has both (images with their masks beside them), the masks are taken.

    Returns
    -------
    tuple
        The pairs, sorted by name, and the names of truths without a prediction.

    Raises
    ------
    ImageReadError
        If a folder is missing or empty, no name fits, or, unless ``partial``, one is missing.
    """
    true, found = _masks(truths), _masks(predictions)
    missing = sorted(true.keys() - found.keys())
    common = sorted(true.keys() & found.keys())
    if not common or (missing and not partial):
        raise ImageReadError(
            f"Every mask in {truths} needs a prediction of the same name in {predictions}; "
            f"missing: {', '.join(missing[:5])}{' ...' if len(missing) > 5 else ''}. Predict "
            "them too, or add --partial to score the others."
        )
    return [MaskPair(name, found[name], true[name]) for name in common], missing


def image_size(path: Path) -> tuple[int, int]:
    """Return height and width of an image file."""
    with opened(path) as image:
        return image.height, image.width


def _masks(folder: Path) -> dict[str, Path]:
    files = list_images(folder)
    if not files:
        raise ImageReadError(
            f"The folder {folder} holds no mask (png, bmp or tif). Check its path."
        )
    marked = {_name(path): path for path in files if _name(path) != path.stem}
    return marked or {path.stem: path for path in files}


def _name(path: Path) -> str:
    """Return the name of the image whose mask this is."""
    for ending in MASK_ENDINGS:
        if path.stem.lower().endswith(ending) and len(path.stem) > len(ending):
            return path.stem[: -len(ending)]
    return path.stem
