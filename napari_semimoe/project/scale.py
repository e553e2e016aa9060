"""How large a pixel is: checked when it is given, and corrected when it was wrong."""

from __future__ import annotations

from collections.abc import Iterable

from napari_semimoe.core.disk import discard
from napari_semimoe.core.errors import SettingsError
from napari_semimoe.project.records import ImageRecord
from napari_semimoe.project.store import Store


def check(um_per_px: float) -> None:
    """Refuse what no scan has.

    Raises
    ------
    SettingsError
        If it is not above 0 and at most 1000 microns per pixel.
    """
    if not 0 < um_per_px <= 1000:
        raise SettingsError(
            f"um_per_px must be above 0 and at most 1000, got {um_per_px}. "
            "A 20x scan has about 0.5."
        )


def overridden(name: str, said: float | None, given: float | None) -> list[str]:
    """Return a sentence where the scale that is given is not that of a file."""
    if not said or not given or abs(given / said - 1) <= 0.05:
        return []
    return [f"{name} says {said:.3g} um per pixel; the given {given:.3g} was used."]


def correct(index: Store, images: Iterable[ImageRecord], um_per_px: float, author: str) -> int:
    """Give images another scale, and drop the predictions that were made with the one before.

    Returns
    -------
    int
        Number of images whose scale was another.
    """
    check(um_per_px)
    wrong = [image for image in images if abs(image.um_per_px / um_per_px - 1) > 1e-6]
    stale: list[str] = []
    with index.transaction() as connection:
        for image in wrong:
            connection.execute("UPDATE image SET um_per_px = ? WHERE id = ?", (um_per_px, image.id))
            told = {"image": image.name, "before": image.um_per_px, "now": um_per_px}
            index.audit(author, "um_per_px", None, **told)
            rows = "FROM prediction WHERE tile_id IN (SELECT id FROM tile WHERE image_id = ?)"
            found = connection.execute(f"SELECT path {rows}", (image.id,)).fetchall()
            connection.execute(f"DELETE {rows}", (image.id,))
            stale += [row["path"] for row in found]
    for path in stale:
        discard(index.path / path)
    return len(wrong)
