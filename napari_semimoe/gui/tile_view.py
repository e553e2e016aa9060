"""Everything the window shows of one tile, read in one go away from the window's thread."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_semimoe.core.values import Prediction
from napari_semimoe.project.drafts import read_draft

if TYPE_CHECKING:
    from napari_semimoe.project.project import Project
    from napari_semimoe.project.records import AnnotationRecord, TileRecord

Origin = Literal["draft", "annotation", "prediction", "nothing"]


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
    baseline
        ``(H, W)`` uint16 that was there before the person's first stroke.
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
    begun_with
        Name of the model whose suggestion the person's work began with.
    """

    tile: TileRecord
    image: NDArray[np.uint8]
    prediction: Prediction | None
    labels: NDArray[np.uint16]
    baseline: NDArray[np.uint16]
    classes: Mapping[int, int] = field(default_factory=dict)
    origin: Origin = "nothing"
    seconds: float = 0.0
    annotation: AnnotationRecord | None = None
    predicted_by: str | None = None
    begun_with: str | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.labels.shape[0], self.labels.shape[1]


def read_tile_view(project: Project, tile_id: int) -> TileView:
    """Read one tile with its prediction, its mask and its unaccepted strokes."""
    tile = project.tile(tile_id)
    image = project.read_image(tile_id)
    prediction, record = project.read_prediction(tile_id), project.prediction(tile_id)
    model = None if record is None else record.model
    annotation = None if tile.annotation_id is None else project.annotation(tile.annotation_id)
    view = TileView(
        tile,
        image,
        prediction,
        labels=np.zeros(image.shape[:2], np.uint16),
        baseline=np.zeros(image.shape[:2], np.uint16),
        annotation=annotation,
        predicted_by=model,
        begun_with=model,
    )
    draft = read_draft(project.path, tile_id, image.shape[:2])
    if draft is not None:
        return _with(
            view,
            draft.labels,
            draft.classes,
            "draft",
            baseline=draft.baseline,
            seconds=draft.seconds,
            begun_with=draft.model or model,
        )
    if annotation is not None:
        return _with(view, project.read_annotation(annotation.id), annotation.classes, "annotation")
    if prediction is not None:
        return _with(view, prediction.instances, prediction.classes, "prediction")
    return view


def _with(
    view: TileView,
    labels: NDArray[np.integer],
    classes: Mapping[int, int],
    origin: Origin,
    **more: Any,
) -> TileView:
    shown = labels.astype(np.uint16)
    return replace(
        view,
        **{"labels": shown, "baseline": shown.copy(), "classes": dict(classes), "origin": origin}
        | more,
    )
