"""Predict the tiles of a project."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from napari_semimoe.cli.output import progress, remark
from napari_semimoe.cli.work import pump, session
from napari_semimoe.core.errors import ProjectError
from napari_semimoe.core.settings import PredictSettings
from napari_semimoe.core.states import Pool
from napari_semimoe.project.records import counted
from napari_semimoe.session.session import Session


def predict_project(project: Path, settings: PredictSettings) -> tuple[dict[str, Any], str]:
    """Predict every tile that is not excluded, and return the result and its sentence."""
    with session(project) as opened:
        tiles = [tile.id for tile in opened.tiles() if tile.pool is not Pool.EXCLUDED]
        predicted, refused = predict_tiles(opened, tiles, settings)
    data = {"predicted": predicted, "refused": refused}
    return data, f"{counted(len(predicted), 'tile')} predicted, {len(tiles)} in all."


def predict_tiles(
    opened: Session, tiles: Sequence[int], settings: PredictSettings
) -> tuple[list[int], list[list[Any]]]:
    """Predict tiles with the model in charge; those that it has predicted are left as they are.

    Returns
    -------
    tuple
        Ids of the tiles that were predicted now; id and sentence of those that failed.
    """
    if opened.weights is None:
        raise ProjectError(
            "This project has no model yet. Add images with masks and train one: semimoe train"
        )
    if settings != opened.predict_settings:
        opened.set_predict_settings(settings)
    before = {tile: _stored(opened, tile) for tile in tiles}
    heard = _Heard(tiles)
    with progress() as bar:
        task = bar.add_task("Predicting", total=len(tiles))
        heard.on_change = lambda: bar.update(task, completed=len(tiles) - len(heard.waiting))
        opened.prediction_ready.connect(heard.ready)
        opened.prediction_failed.connect(heard.failed)
        for tile in tiles:
            opened.request_prediction(tile)
        pump(opened, lambda: bool(heard.waiting))
    done = [tile for tile in tiles if _stored(opened, tile) != before[tile]]
    return done, heard.refused


class _Heard:
    """Which tiles are still waited for."""

    def __init__(self, tiles: Sequence[int]) -> None:
        self.waiting = set(tiles)
        self.refused: list[list[Any]] = []
        self.on_change: Callable[[], object] = lambda: None

    def ready(self, tile: int) -> None:
        self.waiting.discard(tile)
        self.on_change()

    def failed(self, tile: int, sentence: str) -> None:
        if sentence not in (said for _, said in self.refused):  # such as a lost connection's
            remark(sentence)
        self.refused.append([tile, sentence])
        self.ready(tile)


def _stored(opened: Session, tile: int) -> int | None:
    """Return the id of the tile's stored prediction."""
    assert opened.project is not None, "the command has opened it"
    record = opened.project.prediction(tile)
    return record.id if record else None
