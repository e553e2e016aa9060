"""A project to try everything on: real tissue to correct, and a few masks to begin with."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypedDict, Unpack

from napari_semimoe.core.errors import ImageReadError
from napari_semimoe.core.settings import RoundSettings
from napari_semimoe.core.states import Pool
from napari_semimoe.core.values import USUAL_CLASSES
from napari_semimoe.project.discovery import find_files
from napari_semimoe.project.folder import DESCRIPTION
from napari_semimoe.project.import_options import Progress, ShouldStop
from napari_semimoe.session.session import Session

NAME = "Semi-MoE demo"
#: Author of the masks that the demo accepts by itself.
WALKER = "semimoe demo"
#: Estimated from nuclei of about 10 microns; the picture's source does not give its scale.
IMMUNOHISTOCHEMISTRY_UM_PER_PX = 0.35
#: Size of a drawn tile.
DRAWN_PX = (320, 400)
#: GlaS images that come with their masks, and without.
GLAS_LABELLED, GLAS_UNLABELLED = 12, 8
#: A demo with fewer tiles was interrupted while it was made.
FEWEST_TILES = 18


class _HowToFill(TypedDict, total=False):
    progress: Progress | None
    should_stop: ShouldStop | None


def find_glas(environment: Mapping[str, str] | None = None) -> Path | None:
    """Return the GlaS training images where ``SEMIMOE_DATA`` leads to them, else None."""
    named = (os.environ if environment is None else environment).get("SEMIMOE_DATA")
    if not named:
        return None
    for place in (Path(named) / "glas" / "train", Path(named) / "train", Path(named)):
        if place.is_dir() and any(place.glob("train_*_anno.*")):
            return place
    raise ImageReadError(
        f"SEMIMOE_DATA must name a folder with the GlaS images (train/train_1.png and "
        f"train_1_anno.png beside it), got {named}. Correct it, or unset it."
    )


def open_demo_project(session: Session, path: Path, **how: Unpack[_HowToFill]) -> None:
    """Open the demo; make it on first use, and fill it where its making was interrupted.

    Parameters
    ----------
    session, path, **how
        As of `make_demo_project`.
    """
    if not (path / DESCRIPTION).exists():
        make_demo_project(session, path, **how)
        return
    session.open(path, take_over=True)
    if len(session.tiles()) < FEWEST_TILES:
        _fill(session, **how)  # what is there already is passed over


def make_demo_project(session: Session, path: Path, **how: Unpack[_HowToFill]) -> None:
    """Create a project and fill it, with GlaS where it is at hand, else with what is packaged.

    Packaged: the immunohistochemistry picture of scikit-image, cut into two tiles to correct,
    and drawn tissue: in two stains with exact masks, and some more without.

    Parameters
    ----------
    session
        Opens the new project.
    path
        A new or empty folder.
    **how
        ``progress`` hears how many of how many files are done, and the file at hand;
        ``should_stop`` is asked before each of them.
    """
    find_glas()  # refuses a wrong folder before anything is made
    session.new(path, USUAL_CLASSES, name=NAME)
    _fill(session, **how)


def _fill(session: Session, **how: Unpack[_HowToFill]) -> None:
    glas = find_glas()
    if glas is not None:
        _add_glas(session, glas, how)
    else:
        _add_packaged(session, how)


def first_round(*, minutes: float = 1.0) -> RoundSettings:
    """Return settings of a short round on the masks that the demo brings along."""
    return RoundSettings.fine_tune(
        budget_minutes=minutes,
        crop_px=128,
        labelled_batch=4,
        unlabelled_batch=2,
        stages=1,
        pseudo_views=1,
        labelled_only=0.6,
    )


def demo_round(*, minutes: float = 1.0) -> RoundSettings:
    """Return settings of a short round that learns from corrections."""
    return first_round(minutes=minutes).changed(labelled_only=0.0)


def _add_packaged(session: Session, how: _HowToFill) -> None:
    # drawing needs scipy; the window imports this module at its start
    from napari_semimoe.data.synthetic import DIAMINOBENZIDINE, EOSIN, write_tiles

    drawn: tuple[dict[str, Any], ...] = (
        {"count": 6, "seed": 1, "stain": EOSIN, "name": "drawn_he"},
        {"count": 6, "seed": 21, "stain": DIAMINOBENZIDINE, "name": "drawn_ihc"},
        {
            "count": 4,
            "seed": 41,
            "stain": DIAMINOBENZIDINE,
            "name": "drawn_unlabelled",
            "masks": False,
        },
    )
    should_stop = how.get("should_stop")
    with tempfile.TemporaryDirectory() as folder:
        tissue = Path(folder) / "tissue"
        for tiles in drawn:
            if should_stop and should_stop():
                return
            write_tiles(tissue, size=DRAWN_PX, **tiles)
        session.add_folder(tissue, **how)
        pictures = _write_immunohistochemistry(Path(folder))
        session.add_files(pictures, um_per_px=IMMUNOHISTOCHEMISTRY_UM_PER_PX, **how)


def _write_immunohistochemistry(folder: Path) -> list[Path]:
    """Write the picture's halves: each shows two glands, a quarter would be all gland."""
    from PIL import Image
    from skimage.data import immunohistochemistry

    picture = immunohistochemistry()
    middle = picture.shape[1] // 2
    halves = {"colon_left": picture[:, :middle], "colon_right": picture[:, middle:]}
    for name, half in halves.items():
        Image.fromarray(half).save(folder / f"{name}.png")
    return [folder / f"{name}.png" for name in halves]


def _add_glas(session: Session, folder: Path, how: _HowToFill) -> None:
    found = find_files(folder)
    known = {"um_per_px": found.um_per_px, **how}
    first = found.images[:GLAS_LABELLED]
    masks = [found.masks[image] for image in first if image in found.masks]
    session.add_files([*first, *masks], **known)
    rest = found.images[GLAS_LABELLED : GLAS_LABELLED + GLAS_UNLABELLED]
    session.add_files(rest, pool=Pool.UNLABELLED, **known)
