"""``semimoe predict``: the tiles of a project, or image files."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from napari_semimoe.cli.output import Json, UmPerPx, refusals, remark, result, told_as
from napari_semimoe.cli.work import engine, run_job
from napari_semimoe.core.checkpoint_info import read_info
from napari_semimoe.core.disk import storing, temporary_beside
from napari_semimoe.core.errors import CheckpointError, ImageReadError
from napari_semimoe.core.settings import PredictSettings
from napari_semimoe.core.starter import starter_weights
from napari_semimoe.project import mask_geojson
from napari_semimoe.project.discovery import find_files, pair_files
from napari_semimoe.project.exporting import refuse_foreign, refuse_place
from napari_semimoe.project.folder import DESCRIPTION
from napari_semimoe.project.images import stem
from napari_semimoe.project.mask_png import is_predicted_png
from napari_semimoe.project.measure import PREDICTED_COLUMNS, first_row
from napari_semimoe.project.records import counted

#: The options that give a setting.
OPTIONS = {
    "device": "--device",
    "threshold": "--threshold",
    "min_object_um2": "--min-object",
    "min_confidence": "--min-confidence",
}


def predict(
    inputs: Annotated[
        list[Path],
        typer.Argument(help="A project, or images and folders of images.", show_default=False),
    ],
    weights: Annotated[
        Path | None,
        typer.Option("--weights", help="Weights for images; the shipped ones if not given."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder for the masks of images.")
    ] = None,
    um_per_px: UmPerPx = None,
    all_outputs: Annotated[
        bool,
        typer.Option(
            "--all-outputs",
            help="Also NAME.npz: every expert, gated maps, probabilities, id and class of each "
            "object, disagreement, gates.",
        ),
    ] = False,
    table: Annotated[
        bool,
        typer.Option("--table", help="Also NAME.csv: class, size, shape and place of each object."),
    ] = False,
    geojson: Annotated[
        bool, typer.Option("--geojson", help="Also NAME.geojson: the objects' outlines for QuPath.")
    ] = False,
    device: Annotated[str, typer.Option("--device", help="auto, cpu, cuda or mps.")] = "auto",
    threshold: Annotated[
        float, typer.Option("--threshold", help="Foreground probability of an object.")
    ] = 0.5,
    min_object: Annotated[
        float, typer.Option("--min-object", min=0, help="Smallest object, square microns.")
    ] = PredictSettings().min_object_um2,
    min_confidence: Annotated[
        float,
        typer.Option(
            "--min-confidence",
            min=0,
            help="Least share of the image's confidence that an object needs; 0: all.",
        ),
    ] = PredictSettings().min_confidence,
    flips: Annotated[
        bool,
        typer.Option("--flips", help="Average over eight flips and zooms, not two: 3 x slower."),
    ] = False,
    adapt: Annotated[
        bool, typer.Option("--adapt/--no-adapt", help="Fit to the stain of each image.")
    ] = True,
    as_json: Json = False,
) -> None:
    """Predict and write instance masks.

    Of a project: every tile that the model in charge has not predicted yet with these settings;
    the result is stored in the project.

    Of images: OUT/NAME.png, a 16-bit mask of the image's own size with one number per object.
    --um-per-px counts for all of them, and you are told where a file says another. Without it the
    scale is read from each file, or from GlaS's table of its folder.
    """
    values = {"device": device, "threshold": threshold, "flips": flips}
    values |= {"min_object_um2": min_object, "min_confidence": min_confidence, "adapt": adapt}
    with told_as(OPTIONS):
        settings = PredictSettings.parse(values)
    projects = [each for each in inputs if (each / DESCRIPTION).is_file()]
    if projects and len(inputs) > 1:
        raise typer.BadParameter(
            f"{projects[0]} is a project and must stand alone; predict images by another command."
        )
    if projects:
        if weights or out or all_outputs or table or geojson or um_per_px:
            raise typer.BadParameter(
                "--weights, --out, --um-per-px, --all-outputs, --table and --geojson are for "
                "images."
            )
        from napari_semimoe.cli.predict_project import predict_project

        data, text = predict_project(inputs[0], settings)
    else:
        if out is None:
            raise typer.BadParameter("Images need --out, the folder for their masks.")
        beside = {"all_outputs": all_outputs, "table": table, "geojson": geojson}
        data, text = _predict_images(inputs, weights, out, settings, um_per_px, beside)
    result(data, text, as_json)
    if data["refused"]:
        raise typer.Exit(1)


def _predict_images(
    inputs: list[Path],
    weights: Path | None,
    out: Path,
    settings: PredictSettings,
    um_per_px: float | None,
    beside: Mapping[str, bool],
) -> tuple[dict[str, Any], str]:
    chosen = weights or starter_weights()
    if chosen is None:
        raise CheckpointError("No weights ship with this build. Name some with --weights.")
    read_info(chosen)  # refuses a wrong file before any process is started
    refuse_place(out.absolute())
    files = _files(inputs)
    for file in files:
        _refuse_foreign(out / f"{stem(file)}.png", beside)
    _try_to_write(out)
    payload = {
        "weights": str(chosen.resolve()),
        "files": [str(file.absolute()) for file in files],
        "out_dir": str(out.resolve()),
        "settings": settings.model_dump(),
        "um_per_px": um_per_px,
        "scales_if_silent": list(files.values()),
        **beside,
    }
    with engine() as running:
        data = run_job(running, "files", payload, "Predicting")
    for note in data["notes"]:
        remark(note)
    refusals(data["refused"], data["without_scale"])
    masks = sum(name.endswith(".png") for name in data["written"])
    return data, f"{masks} of {counted(len(files), 'image')} predicted into {out}."


def _try_to_write(folder: Path) -> None:
    """Refuse a folder that cannot be written to before anything is predicted."""
    with storing(f"The masks in {folder}"):
        folder.mkdir(parents=True, exist_ok=True)
        trial = temporary_beside(folder / "trial")
        trial.touch()
        trial.unlink()


def _refuse_foreign(target: Path, beside: Mapping[str, bool]) -> None:
    """Raise where a file that was not predicted here would be replaced, such as the image."""
    refuse_foreign(target, is_own=is_predicted_png(target))
    if beside["all_outputs"]:
        maps = target.with_suffix(".npz")
        refuse_foreign(maps, is_own=_is_own_npz(maps))
    if beside["table"]:
        table = target.with_suffix(".csv")
        refuse_foreign(table, is_own=first_row(table, PREDICTED_COLUMNS) is not None)
    if beside["geojson"]:
        outlines = target.with_suffix(mask_geojson.SUFFIX)
        refuse_foreign(outlines, is_own=mask_geojson.is_prediction(outlines))


def _is_own_npz(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return {"gates.npy", "expert_names.npy"} <= set(archive.namelist())
    except (OSError, zipfile.BadZipFile):
        return False


def _files(inputs: list[Path]) -> dict[Path, float | None]:
    """Return each image once, without masks, and the scale that its folder's layout implies."""
    files: dict[Path, float | None] = {}
    images = {*pair_files([each for each in inputs if each.is_file()]).images}
    for given in inputs:
        if given.is_dir():
            found = find_files(given)
            files |= dict.fromkeys((path.absolute() for path in found.images), found.um_per_px)
        elif given in images:
            files.setdefault(given.absolute(), None)
        elif given.is_file():
            remark(f"{given.name} is no image but a mask, or a picture of one, and was left out.")
        else:
            raise ImageReadError(f"{given} does not exist. Check the path.")
    if not files:
        raise ImageReadError("There is no image among the files. Name images, or their folder.")
    return files
