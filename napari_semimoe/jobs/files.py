"""Predict image files that belong to no project: native-size instance masks beside them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from napari_semimoe.core.disk import storing, write_arrays, write_text, written_whole
from napari_semimoe.core.errors import ImageReadError, ScaleUnknownError, SemiMoEError, StorageError
from napari_semimoe.core.reports import Observer
from napari_semimoe.core.values import Prediction
from napari_semimoe.project.arrays import content_hash
from napari_semimoe.project.export_geojson import predicted_collection
from napari_semimoe.project.images import read_image, stem
from napari_semimoe.project.mask_geojson import SUFFIX
from napari_semimoe.project.mask_png import PREDICTED, mark_of, save_png
from napari_semimoe.project.measure import PREDICTED_COLUMNS, rows_of, write_table
from napari_semimoe.project.scale import overridden


def predict_each(payload: Mapping[str, Any], observer: Observer, predictor: Any) -> dict[str, Any]:
    """Predict every file; one that cannot be read is refused in words and the others go on."""
    written: list[str] = []
    notes: list[str] = []
    refused: list[list[str]] = []
    without_scale: list[str] = []
    files = [Path(file) for file in payload["files"]]
    scales = payload.get("scales_if_silent") or [None] * len(files)
    for index, (file, if_silent) in enumerate(zip(files, scales, strict=True)):
        if observer.should_stop():
            break
        report = {"fraction": index / len(files), "text": file.name}
        observer.report("progress", report)
        try:
            written += _predict_file(file, if_silent, payload, predictor, written, notes)
        except StorageError:
            raise  # the next file would find the same full disk
        except SemiMoEError as error:
            refused.append([str(file), str(error)])
            without_scale += [str(file)] * isinstance(error, ScaleUnknownError)
    return {
        "written": written,
        "notes": notes,
        "refused": refused,
        "without_scale": without_scale,
    }


def _predict_file(
    file: Path,
    if_silent: float | None,
    payload: Mapping[str, Any],
    predictor: Any,
    written: list[str],
    notes: list[str],
) -> list[str]:
    """Write one image's mask; return what was written, and note what was changed."""
    target = Path(payload["out_dir"]) / f"{stem(file)}.png"
    if str(target).lower() in map(str.lower, written):  # as Windows and macOS compare names
        raise ImageReadError(
            f"{file.name} would overwrite the result of another file with the same stem. "
            "Rename it, or predict it into another folder."
        )
    image = read_image(file)
    notes += [image.note] if image.note else []
    sha256 = content_hash(image.pixels)
    if mark_of(target).get("of_image", sha256) != sha256:
        raise ImageReadError(
            f"{file.name} would overwrite {target}, the mask of another image of that name. "
            "Predict it into another folder, or move that mask."
        )
    um_per_px = payload.get("um_per_px") or image.um_per_px or if_silent
    if um_per_px is None:
        raise ScaleUnknownError(
            f"{file.name} does not say how large its pixels are. Give the microns per pixel."
        )
    prediction = predictor.predict(image.pixels, float(um_per_px))
    mark = {"kind": PREDICTED, "of_image": sha256}
    with storing(f"The mask {target.name}"):
        target.parent.mkdir(parents=True, exist_ok=True)
    save_png(target, prediction.instances, float(um_per_px), mark)
    beside = _write_maps(prediction, target) if payload.get("all_outputs") else []
    if payload.get("geojson"):
        found = predicted_collection(
            file.name,
            sha256,
            prediction.instances,
            prediction.classes,
            predictor.model.settings.classes,
        )
        beside.append(_write_outlines(found, target))
    if payload.get("table"):
        names = predictor.model.settings.classes
        rows = rows_of(prediction.instances, prediction.classes, names, float(um_per_px))
        beside.append(_write_table(file, rows, target))
    notes += overridden(file.name, image.um_per_px, payload.get("um_per_px"))
    return [str(target), *beside]


def _write_outlines(collection: Mapping[str, Any], target: Path) -> str:
    beside = target.with_suffix(SUFFIX)
    with storing(f"The outlines {beside.name}"):
        write_text(beside, json.dumps(collection))
    return str(beside)


def _write_table(file: Path, rows: Iterable[Mapping[str, Any]], target: Path) -> str:
    beside = target.with_suffix(".csv")
    named = ({"image": file.name, **row} for row in rows)
    with storing(f"The table {beside.name}"), written_whole(beside) as path:
        write_table(path, PREDICTED_COLUMNS, named)
    return str(beside)


def _write_maps(prediction: Prediction, target: Path) -> list[str]:
    beside = target.with_suffix(".npz")
    with storing(f"The maps {beside.name}"):
        write_arrays(beside, **_arrays(prediction))
    return [str(beside)]


def _arrays(prediction: Prediction) -> dict[str, Any]:
    maps = {f"expert_{name}": values for name, values in prediction.experts.items()}
    maps |= {f"gated_{name}": values for name, values in prediction.gated.items()}
    objects = sorted(prediction.classes.items())  # id and class
    return maps | {
        "object_classes": np.array(objects, np.uint16).reshape(-1, 2),
        "class_probabilities": prediction.class_probabilities,
        "instances": prediction.instances,
        "disagreement": prediction.disagreement,
        "gates": prediction.gates,
        "expert_names": np.array(prediction.expert_names),
    }
