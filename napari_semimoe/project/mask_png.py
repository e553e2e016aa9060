"""A mask as a 16-bit PNG of instance ids, known as written here."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_semimoe.core.disk import storing, written_whole
from napari_semimoe.project.resolution import UM_PER_INCH

#: Key of the text by which a PNG is known as written here; another is never replaced.
SOFTWARE = "napari-semimoe"
#: Kinds of a mask in its mark.
CURATED, PREDICTED = "curated", "predicted"


def save_png(
    path: Path, labels: NDArray[np.uint16], um_per_px: float, mark: Mapping[str, Any]
) -> None:
    """Write instance ids, the microns per pixel, and what the mask is.

    Parameters
    ----------
    mark
        Plain JSON by which the file is known again, see `mark_of`; not empty.

    Raises
    ------
    StorageError
        If the disk refuses.
    """
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    about = PngInfo()
    about.add_text("Software", SOFTWARE)
    about.add_text(SOFTWARE, json.dumps(mark))
    image = Image.fromarray(np.ascontiguousarray(labels, dtype=np.uint16))
    dots = UM_PER_INCH / um_per_px
    with storing(f"The mask {path.name}"), written_whole(path) as target:
        image.save(target, format="PNG", dpi=(dots, dots), pnginfo=about)


def is_own_png(path: Path) -> bool:
    """Whether a file is a mask that `save_png` wrote."""
    return bool(mark_of(path))


def is_predicted_png(path: Path) -> bool:
    """Whether a file is a mask that a network marked here, and no person has changed since."""
    return mark_of(path).get("kind") == PREDICTED


def mark_of(path: Path) -> dict[str, Any]:
    """Return what `save_png` was told of a mask, or nothing where it is not written here."""
    if path.suffix.lower() != ".png":
        return {}
    from PIL import Image

    bombs = Image.DecompressionBombError, Image.DecompressionBombWarning
    try:
        with Image.open(path) as image:  # its head only
            text = image.info.get(SOFTWARE)
            return json.loads(text) if isinstance(text, str) else {}
    except (OSError, ValueError, RecursionError, *bombs):  # no image, or none of ours
        return {}
