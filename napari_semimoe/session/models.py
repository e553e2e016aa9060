"""Which model is in charge of a project, and what it is called in records."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from napari_semimoe import __version__
from napari_semimoe.core.starter import starter_weights
from napari_semimoe.project.project import Project

_STARTER = "starter"
_ROUND_NAME = re.compile(r"round (\d+)")

NO_MODEL = (
    "There is no model yet, so nothing can be predicted. Accept a few tiles drawn by hand and "
    "press Retrain; the first round makes a model from nothing."
)


@dataclass(frozen=True, slots=True)
class Model:
    """Weights and the name under which predictions and annotations remember them."""

    name: str
    weights: Path
    round: int | None  # None: shipped with the package

    @property
    def reference(self) -> str:
        """What a round's record says of its base; portable."""
        return self.name if self.round is None else str(self.weights)


def model_in_charge(project: Project) -> Model | None:
    """Return the promoted model, else the starter, else None."""
    record = project.current_round()
    if record is not None and record.weights is not None:
        return Model(f"round {record.number}", project.path / record.weights, record.number)
    starter = starter_weights()
    return Model(f"{_STARTER} {__version__}", starter, None) if starter is not None else None


def base_weights(project: Project, base: str | None) -> Path | None:
    """Return the checkpoint that a round's record names as its base.

    The starter is stored by name, because it lies elsewhere on another computer.
    """
    if base is None:
        return None
    return starter_weights() if base.startswith(_STARTER) else project.path / base


def round_of(model_name: str | None) -> int | None:
    """Return the round that made a model, by the model's name."""
    match = _ROUND_NAME.fullmatch(model_name or "")
    return int(match[1]) if match else None
