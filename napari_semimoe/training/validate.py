"""Scores of a network on held-out tiles: native size, threshold 0.5 fixed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean

import numpy as np
from numpy.typing import NDArray

from napari_semimoe.core.measures import MEASURES
from napari_semimoe.core.reports import ValidationReport
from napari_semimoe.core.settings import PredictSettings, RoundSettings
from napari_semimoe.core.values import IGNORE, Prediction
from napari_semimoe.model.semi_moe import SemiMoE
from napari_semimoe.training.agreement import AgreementCurve
from napari_semimoe.training.evaluation import of_class
from napari_semimoe.training.metrics import PixelCounts, count_pixels
from napari_semimoe.training.object_metrics import ObjectCounts, count_objects
from napari_semimoe.training.predict import Predictor
from napari_semimoe.training.source import PatchSource

THRESHOLD = 0.5
#: Value from which an expert's shown map is inside an object; a boundary is not a region.
_INSIDE = {"segmentation": THRESHOLD, "distance": 0.0}


def validate(
    model: SemiMoE,
    source: PatchSource,
    names: Sequence[str],
    settings: RoundSettings,
    step: int,
    *,
    check: Callable[[], None] = lambda: None,
    hear: Callable[[str, NDArray[np.bool_]], None] = lambda name, found: None,
) -> ValidationReport | None:
    """Score ``model`` on tiles of the source; ``None`` if none of them has a mask.

    Dice, Jaccard and the shares of foreground are pooled over all pixels; ignored pixels count
    nowhere. Where there are several classes, Dice and Jaccard are the mean of those of each class,
    and an object counts as found only by one of its own class.

    Parameters
    ----------
    settings
        Device and precision, whether to fit to each tile, and which objects count.
    check
        Called before every tile; may raise to end the work there.
    hear
        Gets the name of every tile and what the network marks on it, ``(H, W)`` bool.
    """
    how = PredictSettings(
        device=settings.device,
        threshold=THRESHOLD,
        adapt=settings.adapt,
        min_object_um2=settings.min_object_um2,
        min_confidence=settings.min_confidence,
    )
    predictor = Predictor(model, how, mixed_precision=settings.mixed_precision)
    tally = _Tally()
    for name in names:
        check()
        patch = source.read(name)
        if patch.labels is None:
            continue
        prediction = predictor.predict(patch.image, patch.um_per_px)
        hear(name, tally.add(name, prediction, patch.labels, patch.classes))
    return tally.report(step) if tally.gated else None


@dataclass(slots=True)
class _Tally:
    gated: dict[str, tuple[PixelCounts, ...]] = field(default_factory=dict)  # of each class
    marked: PixelCounts = field(default_factory=PixelCounts)  # of whatever class
    objects: dict[str, ObjectCounts] = field(default_factory=dict)
    experts: dict[str, PixelCounts] = field(default_factory=dict)
    curve: AgreementCurve = field(default_factory=AgreementCurve)
    pixels: int = 0

    def add(
        self,
        name: str,
        prediction: Prediction,
        truth: NDArray[np.integer],
        classes: Mapping[int, int],
    ) -> NDArray[np.bool_]:
        """Count one tile; return what the gated head marks."""
        found = prediction.gated["segmentation"] >= THRESHOLD
        self.marked += count_pixels(found, truth)
        kinds = np.where(found, 1 + prediction.class_probabilities[1:].argmax(axis=0), 0)
        marked = prediction.instances
        each, objects = [], ObjectCounts()
        for kind in range(1, len(prediction.class_probabilities)):
            true = of_class(truth, classes, kind)
            each.append(count_pixels(kinds == kind, true))
            objects += count_objects(of_class(marked, prediction.classes, kind), true)
        self.gated[name], self.objects[name] = tuple(each), objects
        for expert, inside in _INSIDE.items():
            if expert in prediction.experts and len(each) == 1:  # alone it tells no class
                counts = count_pixels(prediction.experts[expert] >= inside, truth)
                self.experts[expert] = self.experts.get(expert, PixelCounts()) + counts
        self.curve.add(1 - prediction.disagreement, found, truth)
        self.pixels += int((truth != IGNORE).sum())
        return found

    def report(self, step: int) -> ValidationReport:
        pooled = [sum(counts, PixelCounts()) for counts in zip(*self.gated.values(), strict=True)]
        objects = sum(self.objects.values(), ObjectCounts())
        return ValidationReport(
            step=step,
            tiles=len(self.gated),
            dice=_mean(each.dice for each in pooled if _is_there(each)),
            jaccard=_mean(each.jaccard for each in pooled if _is_there(each)),
            **_object_scores(objects),
            experts={name: counts.dice for name, counts in self.experts.items()},
            per_tile_dice={
                name: _mean(each.dice for each in counts if _is_there(each))
                for name, counts in self.gated.items()
            },
            per_tile_objects={name: _object_scores(each) for name, each in self.objects.items()},
            foreground=self.marked.predicted / self.pixels if self.pixels else None,
            true_foreground=self.marked.true / self.pixels if self.pixels else None,
            agreement=self.curve.points(),
        )


def _is_there(counts: PixelCounts) -> bool:
    return bool(counts.predicted or counts.true)


def _mean(scores: Iterable[float]) -> float:
    """Return the mean over classes; 1 where none is there, nor marked."""
    values = list(scores)
    return fmean(values) if values else 1.0


def _object_scores(counts: ObjectCounts) -> dict[str, float]:
    values = (counts.f1, counts.dice, counts.hausdorff)
    return dict(zip(MEASURES[1:], values, strict=True))
