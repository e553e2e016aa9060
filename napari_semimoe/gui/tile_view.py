"""Everything the window shows of one tile, read in one go away from the window's thread."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from napari_semimoe.core.values import Prediction
from napari_semimoe.project.drafts import read_draft

if TYPE_CHECKING:
    from napari_semimoe.project.project import Project
    from napari_semimoe.project.records import AnnotationRecord, TileRecord

Origin = Literal["draft", "annotation", "prediction", "nothing"]


@dataclass(frozen=True, slots=True)
class Start:
    """A mask that work begins with.

    Attributes
    ----------
    labels
        ``(H, W)`` uint16.
    classes
        Class of each instance id.
    model
        Name of the model that suggested it, if one did.
    """

    labels: NDArray[np.uint16]
    classes: Mapping[int, int] = field(default_factory=dict)
    model: str | None = None


@dataclass(frozen=True, slots=True)
class TileView:
    """One tile as the person meets it.

    Attributes
    ----------
    tile
        The project's record of the tile.
    image
        ``(H, W, 3)`` uint8.
    prediction
        Latest prediction, or ``None`` while there is none.
    labels
        ``(H, W)`` uint16 to put under the brush.
    begun
        What was there before the person's first stroke.
    stored
        What is there without the person's unaccepted strokes.
    classes
        Class of each instance id of ``labels``.
    origin
        Where ``labels`` come from.
    seconds
        Time that the person had spent on the draft.
    annotation
        Latest accepted version, if there is one.
    predicted_by
        Name of the model that made ``prediction``.
    """

    tile: TileRecord
    image: NDArray[np.uint8]
    prediction: Prediction | None
    labels: NDArray[np.uint16]
    begun: Start
    stored: Start
    classes: Mapping[int, int] = field(default_factory=dict)
    origin: Origin = "nothing"
    seconds: float = 0.0
    annotation: AnnotationRecord | None = None
    predicted_by: str | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.labels.shape[0], self.labels.shape[1]

    @property
    def without_draft(self) -> TileView:
        """The tile as it is without the person's unaccepted strokes."""
        if self.origin != "draft":
            return self
        return replace(
            self,
            labels=self.stored.labels.copy(),
            classes=self.stored.classes,
            begun=self.stored,
            origin="prediction" if self.annotation is None else "annotation",
            seconds=0.0,
        )


def read_tile_view(project: Project, tile_id: int) -> TileView:
    """Read one tile with its prediction, its mask and its unaccepted strokes."""
    tile = project.tile(tile_id)
    image = project.read_image(tile_id)
    prediction, record = project.read_prediction(tile_id), project.prediction(tile_id)
    model = None if record is None else record.model
    annotation = None if tile.annotation_id is None else project.annotation(tile.annotation_id)
    origin: Origin = "nothing"
    stored = Start(np.zeros(image.shape[:2], np.uint16))
    if annotation is not None:
        labels = project.read_annotation(annotation.id)
        stored, origin = _start(labels, annotation.classes, annotation.model), "annotation"
    elif prediction is not None:
        stored, origin = _start(prediction.instances, prediction.classes, model), "prediction"
    view = TileView(
        tile,
        image,
        prediction,
        labels=stored.labels.copy(),
        begun=stored,
        stored=stored,
        classes=stored.classes,
        origin=origin,
        annotation=annotation,
        predicted_by=model,
    )
    draft = read_draft(project.path, tile)
    if draft is None:
        return view
    return replace(
        view,
        labels=draft.labels.astype(np.uint16),
        begun=_start(draft.baseline, draft.baseline_classes, draft.model),
        classes=dict(draft.classes),
        origin="draft",
        seconds=draft.seconds,
    )


def _start(labels: NDArray[np.integer], classes: Mapping[int, int], model: str | None) -> Start:
    return Start(labels.astype(np.uint16), dict(classes), model)
