"""The job functions: what a worker process does. torch is imported inside them only.

Each takes a plain JSON payload and an observer and returns plain JSON, so that any engine can
run it anywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from napari_semimoe.core.cores import spare_cores
from napari_semimoe.core.errors import StorageError
from napari_semimoe.core.reports import Observer
from napari_semimoe.core.settings import ModelSettings, PredictSettings, RoundSettings

#: Held in a round's folder while a process trains there.
ROUND_LOCK = "training.lock"
#: A process whose window was killed notices within seconds, and then lets go of its round.
_LOCK_SECONDS = 30.0


def warm_up(lane: str) -> None:
    """Import what the first job of a lane needs."""
    if lane == "train":
        import torch

        import napari_semimoe.training.round

        torch.optim.SGD([torch.zeros(1)])  # the first one imports a compiler, for seconds
    else:
        import napari_semimoe.project.arrays
        import napari_semimoe.training.predict  # noqa: F401


def predict_tile(payload: Mapping[str, Any], observer: Observer) -> dict[str, Any]:
    """Predict one tile and write the prediction beside the others.

    Parameters
    ----------
    payload
        ``weights``: checkpoint; ``image``: ``{array, box, um_per_px, name}``; ``out``: new
        folder for the prediction; ``settings``: `PredictSettings` as a dict; ``classes``: names
        of the project's classes.
    observer
        Not asked: a tile takes about a second.
    """
    from napari_semimoe.core.values import Box, class_numbers
    from napari_semimoe.project.arrays import read_array, write_prediction
    from napari_semimoe.training.memory import free_card_memory

    predictor = _predictor(payload)
    image = payload["image"]
    pixels = read_array(Path(image["array"]), Box(*image["box"]))
    try:
        prediction = predictor.predict(pixels, float(image["um_per_px"]))
    finally:
        free_card_memory()
    number = class_numbers(predictor.model.settings.classes, payload["classes"])
    classes = {each: number[kind] for each, kind in prediction.classes.items()}
    write_prediction(Path(payload["out"]), replace(prediction, classes=classes))
    return {
        "out": payload["out"],
        "disagreement": float(prediction.disagreement.mean()),
        "foreground": float((prediction.instances > 0).mean()),
        "gates": prediction.gates.tolist(),
        "expert_names": list(prediction.expert_names),
        "device": predictor.device,
    }


def train_round(payload: Mapping[str, Any], observer: Observer) -> dict[str, Any]:
    """Train one round and return its `RoundReport` as JSON.

    Parameters
    ----------
    payload
        ``manifest``: list of tiles; ``out_dir``: the round's folder; ``settings``, ``model``:
        `RoundSettings` and `ModelSettings` as dicts; ``base``: checkpoint to start from, or None.
    observer
        Hears every step and may stop the round after any.

    Raises
    ------
    StorageError
        If another process goes on training the same round.
    """
    from napari_semimoe.jobs.teammate import start_teammate
    from napari_semimoe.training.memory import given_back
    from napari_semimoe.training.round import run_round

    folder, given = Path(payload["out_dir"]), round_of(payload)
    as_set = {**payload, "settings": given["settings"].model_dump(mode="json")}
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / ROUND_LOCK, timeout=_LOCK_SECONDS), given_back():
            report = run_round(
                **given, observer=observer, start_teammate=partial(start_teammate, as_set)
            )
    except Timeout as error:
        raise StorageError(
            f"Another process is still training in {folder}, and a round may have one only. Wait "
            "until it has ended, or end it, and go on with the round again."
        ) from error
    return report.to_json()


def round_of(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Return what `run_round` and `help_round` need, from the payload of `train_round`."""
    from napari_semimoe.jobs.manifest_source import ManifestSource

    settings = RoundSettings.parse(payload["settings"])
    return {
        "source": ManifestSource(Path(payload["manifest"])),
        "settings": settings.changed(threads=settings.threads or spare_cores()),
        "model": ModelSettings.parse(payload["model"]),
        "base": Path(payload["base"]) if payload.get("base") else None,
        "out_dir": Path(payload["out_dir"]),
    }


def predict_files(payload: Mapping[str, Any], observer: Observer) -> dict[str, Any]:
    """Predict images outside a project into 16-bit instance PNGs of the images' own size.

    Parameters
    ----------
    payload
        ``weights``, ``settings`` as of `predict_tile`; ``files``: images; ``out_dir``: folder
        for the results; ``um_per_px``: overrides what the files say, or None;
        ``scales_if_silent``: of each file where it says none, or None; ``all_outputs``: also
        write every map as ``.npz``; ``table``: also write sizes and shapes as ``.csv``.
    observer
        Hears of every file and may stop after any.
    """
    from napari_semimoe.jobs.files import predict_each
    from napari_semimoe.training.memory import free_card_memory

    try:
        return predict_each(payload, observer, _predictor(payload))
    finally:
        free_card_memory()


class _PredictorCache:
    """Keeps the last predictor: loading one takes longer than a prediction."""

    def __init__(self) -> None:
        self._key: tuple[Any, ...] = ()
        self._predictor: Any = None

    def get(self, weights: Path, settings: PredictSettings) -> Any:
        """Return the predictor of a checkpoint; a changed file is loaded anew."""
        from napari_semimoe.training.predict import load_predictor

        stamp = weights.stat().st_mtime_ns if weights.exists() else 0
        key = (weights, stamp, settings)
        if key != self._key:
            self._key, self._predictor = (), None  # free the old one's memory first
            self._predictor = load_predictor(weights, settings)
            self._key = key
        return self._predictor


_PREDICTORS = _PredictorCache()  # a worker process does one job at a time


def _predictor(payload: Mapping[str, Any]) -> Any:
    settings = PredictSettings.parse(payload["settings"])
    return _PREDICTORS.get(Path(payload["weights"]), settings)


#: What an engine may be asked to do, by job kind.
TASKS = {"predict": predict_tile, "files": predict_files, "train": train_round}
