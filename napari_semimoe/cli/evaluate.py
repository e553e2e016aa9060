"""``semimoe evaluate``: scores of a project's validation tiles, or of two folders of masks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from napari_semimoe.cli.mask_pairs import MaskPair, pair_masks
from napari_semimoe.cli.output import Json, MaskKindOption, progress, remark, result, table
from napari_semimoe.core.errors import ImageReadError
from napari_semimoe.core.values import IGNORE
from napari_semimoe.project.discovery import is_prediction
from napari_semimoe.project.mask_geojson import SUFFIX, read_geojson
from napari_semimoe.project.mask_png import mark_of
from napari_semimoe.project.masks import (
    MaskKind,
    holds_classes,
    read_class_mask,
    read_mask,
    refuse_other_image,
    refuse_unsaid_background,
)
from napari_semimoe.project.records import counted

#: A class mask of other programs may have any number that is no mark of what must not teach.
MOST_CLASSES = 255
SCORES = {
    "dice": "Dice",
    "jaccard": "Jaccard",
    "object_f1": "object F1",
    "object_dice": "object Dice",
    "object_hausdorff_px": "object Hausdorff (px)",
}


def evaluate(
    project: Annotated[
        Path | None,
        typer.Argument(
            help="A project: its validation tiles are predicted and scored.", show_default=False
        ),
    ] = None,
    pred: Annotated[
        Path | None, typer.Option("--pred", help="Folder of predicted masks, pixels or GeoJSON.")
    ] = None,
    truth: Annotated[
        Path | None,
        typer.Option(
            "--truth", help="Folder of true masks: NAME.* or NAME_anno.*, pixels or GeoJSON"
        ),
    ] = None,
    mask_kind: MaskKindOption = "instances",
    partial: Annotated[
        bool, typer.Option("--partial", help="Accept truths without a prediction.")
    ] = False,
    reference: Annotated[
        bool,
        typer.Option(
            "--reference",
            help="Also the optimistic published protocol: 256 x 256, best threshold (project).",
        ),
    ] = False,
    each: Annotated[bool, typer.Option("--each", help="Also list every image.")] = False,
    as_json: Json = False,
) -> None:
    """Score predictions against true masks.

    This is the honest protocol: native size, and for a project a threshold fixed at 0.5. Pixel
    Dice and Jaccard, and object F1, object Dice and object Hausdorff distance as the GlaS challenge
    defines them; pooled over all images, and as the mean of the images. Pixels with the value 65535
    beside others are left out in a true mask, and count as background in a prediction. Classes are
    not told apart, but of a project with several each is also scored alone; --mask-kind says what
    the values of true masks mean.

    Either of a project, or of two folders: semimoe evaluate --pred OUT --truth MASKS. Of each
    prediction and its truth one must be pixels: outlines do not say how large the image is.
    """
    if project is not None and (pred or truth):
        raise typer.BadParameter("Give a project, or --pred and --truth, not both.")
    if project is not None:
        if partial or mask_kind != "instances":
            raise typer.BadParameter("--partial and --mask-kind are for --pred and --truth.")
        from napari_semimoe.cli.evaluate_project import evaluate_project

        data = evaluate_project(project, reference=reference)
    elif pred and truth:
        if reference:
            raise typer.BadParameter("--reference needs probabilities: evaluate a project.")
        data = _evaluate_folders(pred, truth, mask_kind, partial)
    else:
        raise typer.BadParameter("Give a project, or both --pred and --truth.")
    result(data, _tables(data, each), as_json)


def _evaluate_folders(
    pred: Path, truth: Path, mask_kind: MaskKind, partial: bool
) -> dict[str, Any]:
    from napari_semimoe.training.evaluation import evaluate as score

    pairs, missing, extra = pair_masks(pred, truth, partial=partial)
    _left_out(missing, "truth", "prediction")
    _left_out(extra, "prediction", "truth")
    more = {"missing": missing, "without_truth": extra, "protocol": "honest"}
    if all(is_prediction(pair.truth) for pair in pairs):
        remark(f"The masks in {truth} were predicted here: this tells how far both agree.")
    return score(_read(pairs, mask_kind)).to_json() | more


def _left_out(names: list[str], what: str, other: str) -> None:
    if names:
        rest = f"has no {other} and is" if len(names) == 1 else f"have no {other} and are"
        remark(f"{counted(len(names), what)} {rest} left out: {_some(names)}.")


def _read(
    pairs: list[MaskPair], mask_kind: MaskKind
) -> Iterator[tuple[str, NDArray[np.uint16], NDArray[np.uint16]]]:
    with progress() as bar:
        for pair in bar.track(pairs, description="Scoring"):
            truth, prediction = _masks(pair, mask_kind)
            if prediction.shape != truth.shape:
                (height, width), (true_height, true_width) = prediction.shape, truth.shape
                raise ImageReadError(
                    f"The prediction {pair.prediction} must have the size of its truth "
                    f"{pair.truth}, {true_width} x {true_height} px, got {width} x {height}. "
                    "Predict the image at its own size."
                )
            yield pair.name, prediction, truth


def _masks(pair: MaskPair, mask_kind: MaskKind) -> tuple[NDArray[np.uint16], NDArray[np.uint16]]:
    """Return the truth and the prediction; of one in outlines the other says the size."""
    paths = (pair.truth, pair.prediction)
    kinds: dict[Path, MaskKind] = {pair.prediction: "instances", pair.truth: mask_kind}
    pixels = {path: _pixels(path, kinds[path]) for path in paths if path.suffix.lower() != SUFFIX}
    if not pixels:
        raise ImageReadError(
            f"{pair.truth.name} and its prediction are both GeoJSON, which does not say how large "
            "the image is. Give one of them as pixels (png, bmp or tif)."
        )
    shape = next(iter(pixels.values())).shape
    sha256 = mark_of(pair.prediction).get("of_image")
    refuse_other_image(pair.truth, mark_of(pair.truth), sha256)
    for path in paths:
        if path not in pixels:
            pixels[path], _, _ = read_geojson(path, shape, ("background", "object"), sha256)
    prediction = pixels[pair.prediction]
    return pixels[pair.truth], np.where(prediction == IGNORE, 0, prediction).astype(np.uint16)


def _pixels(path: Path, mask_kind: MaskKind) -> NDArray[np.uint16]:
    if holds_classes(path, mask_kind):
        labels, _ = read_class_mask(path, None, MOST_CLASSES)
    else:
        labels = read_mask(path)
    refuse_unsaid_background(path, labels)
    return labels


def _some(names: list[str]) -> str:
    return ", ".join(names[:5]) + (" ..." if len(names) > 5 else "")


def _tables(data: dict[str, Any], each: bool) -> list[Any]:
    rows: list[tuple[Any, ...]]
    rows = [(title, data["pooled"][key], data["mean"][key]) for key, title in SCORES.items()]
    title = f"{counted(len(data['images']), 'image')}, native size"
    title += "" if "without_truth" in data else ", threshold 0.5"
    tables = [table(title, ("", "pooled", "mean of images"), rows)]
    if by_class := data.get("classes"):
        rows = [(name, *(scores[key] for key in SCORES)) for name, scores in by_class.items()]
        tables.append(table("Each class, pooled", ("class", *SCORES.values()), rows))
    if each:
        rows = [(image["name"], *(image[key] for key in SCORES)) for image in data["images"]]
        tables.append(table("Each image", ("image", *SCORES.values()), rows))
    if optimistic := data.get("reference"):
        rows = [("Dice", optimistic["dice"]), ("Jaccard", optimistic["jaccard"])]
        title = f"Reference protocol, optimistic: threshold {optimistic['threshold']} chosen here"
        tables.append(table(title, ("", "pooled"), rows))
    return tables
