"""What the next round would do, in one sentence, before anyone presses the button."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from napari_semimoe.core.checkpoint_info import read_info
from napari_semimoe.core.errors import ProjectError
from napari_semimoe.core.settings import ModelSettings, RoundSettings
from napari_semimoe.project.project import Project
from napari_semimoe.project.records import counted
from napari_semimoe.project.rounds import MANIFEST
from napari_semimoe.session.automatic import is_due
from napari_semimoe.session.comparison import known_scores
from napari_semimoe.session.ledger import agreement_words
from napari_semimoe.session.models import Model, unknown_classes
from napari_semimoe.session.start_from import StartFrom, StartKind, find_model

#: What the kinds of device are called.
DEVICE_TEXTS = {"cpu": "CPU", "cuda": "GPU", "mps": "Apple GPU"}
FROM_CURRENT = StartFrom()

NOTHING_TO_LEARN = (
    "A round needs at least one tile with a mask that is not kept for validation, and there is "
    "none. Correct a tile and accept it first."
)
_UNCHECKED = "No tile checks it: its model takes over unless it has collapsed"


@dataclass(frozen=True, slots=True)
class RoundPlan:
    """The numbers of the next round.

    Attributes
    ----------
    base
        Name of the model that the round starts from; None for random weights.
    labelled, new
        Tiles that teach with their mask, and those of them that the base has not seen so.
    unlabelled, validation
        Tiles that teach through pseudo-labels, and tiles that only check.
    minutes, steps
        The time budget; it counts only where there is no number of steps (0).
    device_text
        Where it will run, as far as it is known; empty before the first prediction.
    agreement
        How many pixels of unlabelled tiles may teach, in words; empty if all may.
    is_due
        Whether enough tiles were accepted since the last round for one to begin by itself.
    anew
        Classes that the base, or the model that was passed over, has never heard of.
    passed_over
        Name of the model in use where the round does not begin from it; else empty.
    """

    number: int
    base: str | None
    labelled: int
    new: int
    unlabelled: int
    validation: int
    minutes: float
    steps: int
    device_text: str
    agreement: str
    is_due: bool
    anew: tuple[str, ...] = ()
    passed_over: str = ""

    @property
    def sentence(self) -> str:
        """The plan in words."""
        start = f"from {self.base}" if self.base else "from nothing"
        unknown = ", ".join(self.anew)
        if self.passed_over:
            start += f" ({self.passed_over} does not know {unknown})"
        elif self.anew:
            start += f" ({unknown} anew)"
        fresh = f" ({self.new} new)" if 0 < self.new < self.labelled else ""
        check = f", {counted(self.validation, 'tile')} to check it" if self.validation else ""
        unchecked = "" if self.validation else f". {_UNCHECKED}"
        where = f" on {self.device_text}" if self.device_text else ""
        pixels = f" ({self.agreement})" if self.agreement and self.unlabelled else ""
        length = counted(self.steps, "step") if self.steps else f"about {_minutes(self.minutes)}"
        return (
            f"Round {self.number}: {start}, {counted(self.labelled, 'labelled tile')}{fresh} + "
            f"{self.unlabelled} unlabelled{pixels}{check}, {length}{where}{unchecked}"
        )


def make_plan(
    project: Project,
    model: Model | None,
    settings: RoundSettings,
    device_text: str,
    start: StartFrom = FROM_CURRENT,
) -> RoundPlan:
    """Count what the next round would use; ``model`` is the one in charge."""
    tiles = project.round_manifest()["tiles"]
    roles = Counter(tile["role"] for tile in tiles)
    base = starting_point(project, model, start)
    known = _taught(project, base.round) if base is not None else set()
    labelled = {_mask_key(tile) for tile in tiles if tile["role"] == "labelled"}
    return RoundPlan(
        number=max((record.number for record in project.rounds()), default=0) + 1,
        base=base.name if base is not None else None,
        labelled=roles["labelled"],
        new=len(labelled - known),
        unlabelled=roles["unlabelled"] if settings.unlabelled_batch else 0,
        validation=roles["validation"],
        minutes=settings.budget_minutes,
        steps=settings.max_steps,
        device_text=DEVICE_TEXTS.get(settings.device, device_text),
        agreement=agreement_words(_scores(project, base, tiles), settings.agreement),
        is_due=is_due(project),
        anew=_anew(project, base or model, start),
        passed_over=model.name if model and not base and start.kind is StartKind.CURRENT else "",
    )


def _scores(
    project: Project, base: Model | None, tiles: list[dict[str, Any]]
) -> Mapping[str, Any] | None:
    checked = [tile["name"] for tile in tiles if tile["role"] == "validation"]
    return known_scores(project, base.short_name, checked) if base is not None else None


def starting_point(
    project: Project, model: Model | None, start: StartFrom = FROM_CURRENT
) -> Model | None:
    """Return the model to start from; None for random weights.

    Classes that it has never heard of begin at zero. The shipped one is passed over then, unless
    the person names it: what it has learned of colon teaches other tissues less than nothing does.
    """
    base = find_model(project, model, start)
    if base is None or start.is_encoder:
        return base
    unknown = unknown_classes(base, project.classes)  # refuses what is no model, in words
    return None if unknown and base.shipped and start.kind is StartKind.CURRENT else base


def _anew(project: Project, model: Model | None, start: StartFrom) -> tuple[str, ...]:
    if model is None or start.is_encoder or start.kind is StartKind.NOTHING:
        return ()
    return unknown_classes(model, project.classes)


def network_for(
    project: Project, base: Model | None, start: StartFrom = FROM_CURRENT
) -> ModelSettings:
    """Return the network of the next round: around an encoder, the base's, or the default one."""
    classes = tuple(project.classes)
    if start.kind is StartKind.IMAGENET:
        return ModelSettings.pretrained(classes=classes, train_encoder=True)
    if start.is_encoder:
        return ModelSettings.pretrained(classes=classes)
    if base is None:
        return ModelSettings(classes=classes)
    return read_info(base.weights).model.changed(classes=classes)


def refuse_without_labels(project: Project) -> None:
    """Raise in words when no tile teaches with its mask."""
    if not any(tile["role"] == "labelled" for tile in project.round_manifest()["tiles"]):
        raise ProjectError(NOTHING_TO_LEARN)


def _taught(project: Project, number: int | None) -> set[tuple[int, Any]]:
    """Return the masks that a round learned from."""
    if number is None:
        return set()
    path = project.round_folder(number) / MANIFEST
    try:
        tiles = json.loads(path.read_text(encoding="utf-8"))["tiles"]
        return {_mask_key(tile) for tile in tiles if tile["role"] == "labelled"}
    except (OSError, ValueError, KeyError):
        return set()  # only the words "5 new" depend on it


def _mask_key(tile: dict[str, Any]) -> tuple[int, Any]:
    return tile["tile_id"], (tile["labels"] or {}).get("sha256")


def _minutes(minutes: float) -> str:
    if minutes < 1:
        return f"{max(1, round(minutes * 60))} s"
    return f"{minutes / 60:.1f} h" if minutes >= 120 else f"{minutes:.0f} min"
