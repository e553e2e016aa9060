"""Pooled scores of a network on held-out tiles: native size, threshold 0.5 fixed."""

from __future__ import annotations

import numpy as np

from napari_semimoe.core.reports import ValidationReport
from napari_semimoe.core.settings import PredictSettings
from napari_semimoe.core.values import IGNORE
from napari_semimoe.model.semi_moe import SemiMoE
from napari_semimoe.training.predict import Predictor
from napari_semimoe.training.source import PatchSource

THRESHOLD = 0.5


def validate(
    model: SemiMoE, source: PatchSource, device: str, step: int
) -> ValidationReport | None:
    """Score ``model`` on the source's validation tiles; ``None`` if there are none.

    Dice and Jaccard are pooled over all pixels; ignored pixels count nowhere.
    """
    predictor = Predictor(model, PredictSettings(device=device))
    counts = {}
    for name in source.validation:
        patch = source.read(name)
        if patch.labels is None:
            continue
        seen = patch.labels != IGNORE
        truth = (patch.labels > 0) & seen
        found = (predictor.foreground(patch.image, patch.um_per_px) >= THRESHOLD) & seen
        counts[name] = (int((found & truth).sum()), int(found.sum()), int(truth.sum()))
    if not counts:
        return None
    both, found_px, truth_px = np.array(list(counts.values())).sum(0).tolist()
    return ValidationReport(
        step=step,
        tiles=len(counts),
        dice=_dice(both, found_px, truth_px),
        jaccard=_jaccard(both, found_px, truth_px),
        per_tile_dice={name: _dice(*values) for name, values in counts.items()},
    )


def _dice(both: int, found: int, truth: int) -> float:
    return 2 * both / (found + truth) if found + truth else 1.0


def _jaccard(both: int, found: int, truth: int) -> float:
    return both / (found + truth - both) if found + truth else 1.0
