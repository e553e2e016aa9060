"""A mask as a 16-bit PNG of instance ids, known as written here."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_semimoe.core.disk import storing, written_whole
from napari_semimoe.project.resolution import UM_PER_INCH

#: Marks a PNG as written here; another is never replaced.
SOFTWARE = "napari-semimoe"


def save_png(path: Path, labels: NDArray[np.uint16], um_per_px: float) -> None:
    """Write instance ids, the microns per pixel, and who wrote them.

    Raises
    ------
    StorageError
        If the disk refuses.
    """
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    about = PngInfo()
    about.add_text("Software", SOFTWARE)
    image = Image.fromarray(np.ascontiguousarray(labels, dtype=np.uint16))
    dots = UM_PER_INCH / um_per_px
    with storing(f"The mask {path.name}"), written_whole(path) as target:
        image.save(target, format="PNG", dpi=(dots, dots), pnginfo=about)


def is_own_png(path: Path) -> bool:
    """Whether a file is a mask that `save_png` wrote."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            return image.info.get("Software") == SOFTWARE
    except (OSError, ValueError):  # missing, or no image
        return False
