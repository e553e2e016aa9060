"""Predict image files that belong to no project: native-size instance masks beside them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from napari_semimoe.core.disk import storing, written_whole
from napari_semimoe.core.errors import ImageReadError, ScaleUnknownError, SemiMoEError, StorageError
from napari_semimoe.core.reports import Observer
from napari_semimoe.core.values import Prediction


def predict_each(payload: Mapping[str, Any], observer: Observer, predictor: Any) -> dict[str, Any]:
    """Predict every file; one that cannot be read is refused in words and the others go on."""
    written: list[str] = []
    refused: list[list[str]] = []
    without_scale: list[str] = []
    files = [Path(file) for file in payload["files"]]
    for index, file in enumerate(files):
        if observer.should_stop():
            break
        report = {"fraction": index / len(files), "text": file.name}
        observer.report("progress", report)
        try:
            written += _predict_file(file, payload, predictor, written)
        except StorageError:
            raise  # the next file would find the same full disk
        except SemiMoEError as error:
            refused.append([str(file), str(error)])
            without_scale += [str(file)] * isinstance(error, ScaleUnknownError)
    return {"written": written, "refused": refused, "without_scale": without_scale}


def _predict_file(
    file: Path, payload: Mapping[str, Any], predictor: Any, written: list[str]
) -> list[str]:
    from napari_semimoe.project.images import read_image, stem

    target = Path(payload["out_dir"]) / f"{stem(file)}.png"
    if str(target).lower() in map(str.lower, written):  # as Windows and macOS compare names
        raise ImageReadError(
            f"{file.name} would overwrite the result of another file with the same stem. "
            "Rename it, or predict it into another folder."
        )
    image = read_image(file)
    um_per_px = payload.get("um_per_px") or image.um_per_px
    if um_per_px is None:
        raise ScaleUnknownError(
            f"{file.name} does not say how large its pixels are. Give the microns per pixel."
        )
    prediction = predictor.predict(image.pixels, float(um_per_px))
    return _write(
        prediction, float(um_per_px), target, all_outputs=bool(payload.get("all_outputs"))
    )


def _write(
    prediction: Prediction, um_per_px: float, target: Path, *, all_outputs: bool
) -> list[str]:
    from napari_semimoe.project.mask_png import PREDICTED, save_png

    with storing(f"The mask {target.name}"):
        target.parent.mkdir(parents=True, exist_ok=True)
    save_png(target, prediction.instances, um_per_px, {"kind": PREDICTED})
    if not all_outputs:
        return [str(target)]
    beside = target.with_suffix(".npz")
    with (
        storing(f"The maps {beside.name}"),
        written_whole(beside) as temporary,
        temporary.open("wb") as file,
    ):
        np.savez_compressed(file, **_arrays(prediction))
    return [str(target), str(beside)]


def _arrays(prediction: Prediction) -> dict[str, Any]:
    maps = {f"expert_{name}": values for name, values in prediction.experts.items()}
    maps |= {f"gated_{name}": values for name, values in prediction.gated.items()}
    return maps | {
        "class_probabilities": prediction.class_probabilities,
        "instances": prediction.instances,
        "disagreement": prediction.disagreement,
        "gates": prediction.gates,
        "expert_names": np.array(prediction.expert_names),
    }
