"""Pooled scores of a network on held-out tiles: native size, threshold 0.5 fixed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from napari_semimoe.core.reports import ValidationReport
from napari_semimoe.core.settings import PredictSettings
from napari_semimoe.core.values import IGNORE
from napari_semimoe.model.semi_moe import SemiMoE
from napari_semimoe.training.metrics import PixelCounts, count_pixels, pool
from napari_semimoe.training.predict import Predictor
from napari_semimoe.training.source import PatchSource

THRESHOLD = 0.5


def validate(
    model: SemiMoE,
    source: PatchSource,
    names: Sequence[str],
    device: str,
    step: int,
    *,
    check: Callable[[], None] = lambda: None,
) -> ValidationReport | None:
    """Score ``model`` on tiles of the source; ``None`` if none of them has a mask.

    Dice, Jaccard and the shares of foreground are pooled over all pixels; ignored pixels count
    nowhere. ``check`` is called before every tile and may raise to end the work there.
    """
    predictor = Predictor(model, PredictSettings(device=device))
    counts: dict[str, PixelCounts] = {}
    pixels = 0
    for name in names:
        check()
        patch = source.read(name)
        if patch.labels is None:
            continue
        found = predictor.foreground(patch.image, patch.um_per_px) >= THRESHOLD
        counts[name] = count_pixels(found, patch.labels)
        pixels += int((patch.labels != IGNORE).sum())
    if not counts:
        return None
    pooled = pool(counts.values())
    return ValidationReport(
        step=step,
        tiles=len(counts),
        dice=pooled.dice,
        jaccard=pooled.jaccard,
        per_tile_dice={name: count.dice for name, count in counts.items()},
        foreground=pooled.predicted / pixels if pixels else None,
        true_foreground=pooled.true / pixels if pixels else None,
    )
