"""Which model is in charge of a project, and what it is called in records."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from napari_semimoe import __version__
from napari_semimoe.core.checkpoint_info import read_info
from napari_semimoe.core.starter import starter_weights
from napari_semimoe.core.values import known_classes
from napari_semimoe.project.project import Project
from napari_semimoe.project.records import RoundRecord

STARTER = "starter"
_ROUND_PATH = re.compile(r"rounds/(\d+)/")
_ROUND_NAME = re.compile(r"round (\d+)")

NO_MODEL = (
    "There is no model yet, so nothing can be predicted. Accept a few tiles drawn by hand and "
    "press Retrain; the first round makes a model from nothing."
)

NO_STARTER = (
    "This installation has no starter model, so it cannot be used. Choose one of the project's "
    "rounds, or install a build that brings the starter."
)


@dataclass(frozen=True, slots=True)
class Model:
    """Weights and the name under which predictions and annotations remember them."""

    name: str
    weights: Path
    round: int | None  # None: no round of the project made it
    shipped: bool = False  # with the package

    @property
    def reference(self) -> str:
        """What a round's record says of its base; portable."""
        return self.name if self.shipped else str(self.weights)

    @property
    def short_name(self) -> str:
        """What it is called as a round's base; see `base_name`."""
        return STARTER if self.shipped else self.name


def starter_model() -> Model | None:
    """Return the model that ships with the package, if this build has one."""
    weights = starter_weights()
    if weights is None:
        return None
    return Model(f"{STARTER} {__version__}", weights, None, shipped=True)


def model_name(record: RoundRecord) -> str:
    """Return the name of a round's model."""
    return f"round {record.number}"


def model_of(project: Project, record: RoundRecord) -> Model | None:
    """Return the model that a round made, if it made one."""
    if record.weights is None:
        return None
    return Model(model_name(record), project.path / record.weights, record.number)


def model_in_charge(project: Project) -> Model | None:
    """Return the promoted model, else the starter, else None."""
    record = project.models.in_charge()
    return model_of(project, record) if record is not None else starter_model()


def unknown_classes(model: Model, classes: Sequence[str]) -> tuple[str, ...]:
    """Return the classes of a project that a model has never heard of."""
    places = known_classes(read_info(model.weights).model.classes, classes)
    return tuple(name for name, place in zip(classes, places, strict=True) if place is None)


def lost_weights(project: Project) -> str:
    """Return what to say where the weights that should be in charge are gone, else nothing."""
    lost = project.models.lost()
    if lost is None:
        return ""
    instead = model_in_charge(project)
    return (
        f"The weights of {model_name(lost)}, which was in charge, are gone ({lost.weights}). "
        f"{f'Now {instead.name} predicts' if instead else 'No model predicts now'}. Put the file "
        "back, or put another model in charge."
    )


def base_weights(project: Project, base: str | None) -> Path | None:
    """Return the checkpoint that a round's record names as its base.

    The starter is stored by name, because it lies elsewhere on another computer.
    """
    if base is None:
        return None
    return starter_weights() if base.startswith(STARTER) else project.path / base


def base_name(base: str | None) -> str:
    """Return what a person calls the base of a round's record."""
    if base is None:
        return "nothing"
    if base.startswith(STARTER):
        return STARTER
    match = _ROUND_PATH.match(base)
    return f"round {match[1]}" if match else PurePath(base).name


def round_of(model_name: str | None) -> int | None:
    """Return the round that made a model, by the model's name."""
    match = _ROUND_NAME.fullmatch(model_name or "")
    return int(match[1]) if match else None


def origin_of(project: Project, tile_id: int) -> tuple[str | None, int | None]:
    """Return the model, and its round, from whose suggestion a tile's next mask goes on.

    That of the mask that is stored already, else that of the latest prediction.
    """
    earlier = project.annotations(tile_id)
    if earlier:
        return earlier[-1].model, earlier[-1].round
    prediction = project.prediction(tile_id)
    name = prediction.model if prediction else None
    return name, round_of(name)
