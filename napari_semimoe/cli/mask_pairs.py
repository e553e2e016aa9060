"""Find the prediction that belongs to each true mask."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from napari_semimoe.core.errors import ImageReadError
from napari_semimoe.project.discovery import image_name, list_images
from napari_semimoe.project.images import stem


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


def _masks(folder: Path) -> dict[str, Path]:
    files = list_images(folder)
    if not files:
        raise ImageReadError(
            f"The folder {folder} holds no mask (png, bmp or tif). Check its path."
        )
    marked = {name: path for path in files if (name := image_name(path))}
    return marked or {stem(path): path for path in files}
