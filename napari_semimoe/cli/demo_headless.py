"""The demo's loop without any window: the same session, pictures drawn from its arrays."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from skimage.draw import disk
from skimage.segmentation import mark_boundaries

from napari_semimoe.cli.predict_project import predict_tiles
from napari_semimoe.cli.train import follow_round
from napari_semimoe.cli.work import INTERRUPTED, session
from napari_semimoe.core.errors import JobError
from napari_semimoe.core.values import Prediction
from napari_semimoe.session.demo import WALKER, demo_round
from napari_semimoe.session.demo_person import Stroke, correction, stand_in
from napari_semimoe.session.demo_report import EXPORT, DemoReport
from napari_semimoe.session.session import Session

BRUSH_PX = 6

_Labels = NDArray[np.uint16]


def walk(project: Path, out: Path, minutes: float) -> None:
    """Predict, correct, accept, retrain, predict again, export; leave pictures and a report."""
    report = DemoReport(out, "without a window")
    try:
        with session(project, author=WALKER) as opened:
            tile = opened.next_tile()
            assert tile is not None, "a new demo project has tiles without a mask"
            _predict(opened, tile, report)
            corrected = _correct(opened, tile, report)
            opened.accept(tile, *corrected)
            _retrain(opened, minutes, report)
            _predict(opened, opened.next_tile() or tile, report)
            written = opened.export(out / EXPORT)
            report.add("Export", written.sentence)
    finally:
        report.write()


def _predict(opened: Session, tile: int, report: DemoReport) -> None:
    start = time.monotonic()
    _, refused = predict_tiles(opened, [tile], opened.predict_settings)
    if refused:
        raise JobError(refused[0][1])
    assert opened.project is not None, "the walk has opened it"
    prediction = opened.project.read_prediction(tile)
    assert prediction is not None, "predicted just now"
    name = opened.project.tile(tile).name
    text = f"{name} in {time.monotonic() - start:.1f} s by {opened.model_name}: "
    text += f"{len(prediction.classes)} glands, "
    text += f"mean disagreement {prediction.disagreement.mean():.3f}."
    image = opened.project.read_image(tile)
    picture = _save(report, "predict", _panels(image, prediction))
    report.add("Predict", text, picture)


def _correct(opened: Session, tile: int, report: DemoReport) -> tuple[_Labels, _Labels]:
    """Return the corrected mask, and the one before."""
    assert opened.project is not None, "the walk has opened it"
    prediction = opened.project.read_prediction(tile)
    assert prediction is not None, "predicted by the step before"
    image = opened.project.read_image(tile)
    seen = stand_in(opened.project.tile(tile).name, image)
    labels = painted(prediction.instances, correction(prediction, seen))
    changed = int(np.count_nonzero(labels != prediction.instances))
    outlined = mark_boundaries(image, labels, color=(1, 0.9, 0))
    picture = _save(report, "correct", (255 * outlined).astype(np.uint8))
    report.add("Correct and accept", f"One stroke changed {changed} pixels.", picture)
    return labels, prediction.instances


def _retrain(opened: Session, minutes: float, report: DemoReport) -> None:
    settings = demo_round(minutes=minutes)
    plan = opened.round_plan(settings).sentence
    record, interrupted = follow_round(opened, lambda: opened.start_round(settings))
    if interrupted:
        raise SystemExit(INTERRUPTED)
    report.add("Retrain", f"{plan}. {report.sentence_of(record)}")


def painted(labels: NDArray[np.uint16], stroke: Stroke) -> NDArray[np.uint16]:
    """Return a mask with a stroke of the brush on it."""
    result = labels.copy()
    first = tuple(map(int, stroke.path[0]))
    value = (int(labels[first]) or int(labels.max()) + 1) if stroke.adds else 0
    for y, x in stroke.path:
        result[disk((y, x), BRUSH_PX, shape=labels.shape)] = value
    return result


def _panels(image: NDArray[np.uint8], prediction: Prediction) -> NDArray[np.uint8]:
    """Show side by side: the instances on the image, and the maps in grey."""
    outlined = mark_boundaries(image, prediction.instances, color=(1, 0.9, 0))
    maps: list[NDArray[np.floating[Any]]]
    maps = [prediction.gated["segmentation"], prediction.disagreement]
    maps += [(values + 1) / 2 for name, values in prediction.gated.items() if name == "distance"]
    grey = [np.repeat(values[..., None], 3, axis=2) for values in maps]
    return (255 * np.concatenate([outlined, *grey], axis=1)).clip(0, 255).astype(np.uint8)


def _save(report: DemoReport, name: str, pixels: NDArray[np.uint8]) -> Path:
    report.folder.mkdir(parents=True, exist_ok=True)
    path = report.folder / f"{len(report.steps) + 1:02d}-{name}.png"
    Image.fromarray(pixels).save(path)
    return path
