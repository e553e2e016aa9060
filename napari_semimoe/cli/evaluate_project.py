"""Score the model in charge on a project's validation tiles."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from napari_semimoe.cli.predict_project import predict_tiles
from napari_semimoe.cli.work import session
from napari_semimoe.core.errors import JobError, ProjectError
from napari_semimoe.core.states import Pool
from napari_semimoe.session.predictions import made_with
from napari_semimoe.session.session import Session
from napari_semimoe.training.evaluation import evaluate, of_class
from napari_semimoe.training.metrics import reference_scores


def evaluate_project(project: Path, *, reference: bool) -> dict[str, Any]:
    """Predict the validation tiles where needed, as the project's were last, and score them."""
    with session(project) as opened:
        assert opened.project is not None, "the command has opened it"
        held_out = opened.project.tiles(Pool.VALIDATION)
        tiles = [tile.id for tile in held_out if tile.annotation_id is not None]
        if not tiles:
            raise ProjectError(
                f"An evaluation needs validation tiles with a mask, and {project} has none. Add "
                "more images with masks: one in five is kept for validation."
            )
        _predict(opened, tiles)
        return _scores(opened, tiles, reference)


def _predict(opened: Session, tiles: list[int]) -> None:
    assert opened.project is not None, "the command has opened it"
    _, refused = predict_tiles(opened, tiles, made_with(opened.project))
    if refused:
        raise JobError(  # why, was said when it happened
            f"{len(refused)} of {len(tiles)} validation tiles could not be predicted, so nothing "
            "was scored. Evaluate again when that is mended."
        )


def _scores(opened: Session, tiles: list[int], reference: bool) -> dict[str, Any]:
    assert opened.project is not None, "the command has opened it"
    names = opened.project.classes[1:]
    several = names if len(names) > 1 else ()
    pairs, probabilities = [], []
    by_class: dict[str, list[tuple[str, Any, Any]]] = {each: [] for each in several}
    for tile in tiles:
        prediction, truth = opened.project.read_prediction(tile), opened.project.read_labels(tile)
        assert prediction is not None, "predicted above"
        assert truth is not None, "chosen because it has a mask"
        name = opened.project.tile(tile).name
        pairs.append((name, prediction.instances, truth))
        probabilities.append(prediction.gated["segmentation"])
        true = opened.project.annotations(tile)[-1].classes if several else {}
        for kind, each in enumerate(several, start=1):
            found = of_class(prediction.instances, prediction.classes, kind)
            by_class[each].append((name, found, of_class(truth, true, kind)))
    data = evaluate(pairs).to_json() | {"protocol": "honest", "model": opened.model_name}
    if by_class:
        data["classes"] = {each: dict(evaluate(of).pooled) for each, of in by_class.items()}
    if reference:
        data["reference"] = asdict(reference_scores(probabilities, [pair[2] for pair in pairs]))
    return data
