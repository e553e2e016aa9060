"""``semimoe new``, ``add`` and ``info``."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from napari_semimoe.cli.output import (
    Json,
    MaskKindOption,
    Part,
    ProjectFolder,
    UmPerPx,
    progress,
    refusals,
    remark,
    result,
    table,
    typed,
)
from napari_semimoe.cli.work import engine, opened_to_read, session
from napari_semimoe.core.states import Pool
from napari_semimoe.project.patients import patient_of, read_table
from napari_semimoe.project.pools import WITH_MASK
from napari_semimoe.project.project import Project
from napari_semimoe.project.records import AddReport, counted
from napari_semimoe.session.models import lost_weights, model_in_charge
from napari_semimoe.session.session import Session


def new(
    project: ProjectFolder,
    classes: Annotated[
        list[str] | None,
        typer.Option("--class", help="A class besides the background; repeat for more.  [gland]"),
    ] = None,
    as_json: Json = False,
) -> None:
    """Make an empty project in a new folder."""
    names = ("background", *(classes or ["gland"]))
    with engine() as running:
        made = Session(running)
        made.new(project, names)
        made.close()
    next_ = f"semimoe add {typed(project)} FOLDER_OF_IMAGES"
    text = f"Project {project} made. Next: {next_}"
    result({"project": str(project), "classes": names}, text, as_json)


def add(
    project: ProjectFolder,
    folder: Annotated[
        Path,
        typer.Argument(help="Folder of png, jpg, bmp, tif or svs images.", show_default=False),
    ],
    masks: Annotated[
        Path | None,
        typer.Option("--masks", help="Folder of masks, if they do not lie beside the images."),
    ] = None,
    um_per_px: UmPerPx = None,
    patients: Annotated[
        Path | None,
        typer.Option(
            "--patients", help="CSV table with columns name and patient.  [FOLDER/patients.csv]"
        ),
    ] = None,
    mask_kind: MaskKindOption = "instances",
    pool: Annotated[
        Pool | None,
        typer.Option(
            "--pool",
            help="Put all tiles into one pool instead of the usual ones; without a mask only "
            "'unlabelled' or 'excluded'.",
        ),
    ] = None,
    tile_px: Annotated[
        int, typer.Option("--tile-px", min=64, help="Larger images are cut into tiles.")
    ] = 2048,
    as_json: Json = False,
) -> None:
    """Copy a folder of images and their masks into a project.

    Masks are found beside NAME (as NAME_anno, NAME_mask, NAME_label, NAME.geojson or
    NAME.png.geojson of QuPath, and as Cellpose and ilastik name them), or by name in a folder such
    as masks beside them, or in --masks. The layout of the GlaS data set is known, its patients too.
    One labelled tile in five is kept for validation and never teaches; all tiles of a patient stand
    on the same side. In the table of patients a name stands for its image, else for all images
    whose names begin with it. The same image is not added twice, but takes its patient from
    --patients.
    """
    told = read_table(patients) if patients is not None else {}
    unnamed: list[str] = []

    def ask(path: Path) -> str | None:
        patient = patient_of(path, told)
        if patient is None:
            unnamed.append(path.name)
        return patient

    with session(project) as opened:
        report = add_folder(
            opened,
            folder,
            masks=masks,
            patient_of=ask if patients is not None else None,
            um_per_px=um_per_px,
            mask_kind=mask_kind,
            pool=pool,
            tile_px=tile_px,
        )
    result(asdict(report), report.sentence, as_json)
    if unnamed:
        more = f" and {len(unnamed) - 1} more" if unnamed[1:] else ""
        remark(f"{patients} names no patient of {unnamed[0]}{more}.")
    bare = len(report.added) - report.labelled
    if bare and pool in WITH_MASK:
        remark(f"{counted(bare, 'tile')} without a mask can only be unlabelled, not {pool}.")
    if report.skipped_duplicates and pool is not None:
        remark("--pool counts for new images and first masks: other tiles stay in their pools.")
    if report.refused:
        raise typer.Exit(1)


def add_folder(opened: Session, folder: Path, **options: Any) -> AddReport:
    """Add a folder to the open project with a progress bar; say what was refused or noted."""
    with progress() as bar:
        task = bar.add_task("Adding", total=None)
        report = opened.add_folder(
            folder,
            progress=lambda done, total, _name: bar.update(task, completed=done, total=total),
            **options,
        )
    refusals(report.refused, report.without_scale)
    for note in report.notes:
        remark(note)
    return report


def classes(
    project: ProjectFolder,
    add: Annotated[
        list[str] | None, typer.Option("--add", help="A class to add; repeat for more.")
    ] = None,
    rename: Annotated[
        list[str] | None, typer.Option("--rename", metavar="OLD=NEW", help="Another name.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show, add or rename the classes of a project.

    Masks keep theirs, and the next round goes on from what the model knows of the others. A class
    cannot be removed.
    """
    changes = [(old, new) for old, _, new in (each.partition("=") for each in rename or ())]
    with Project.open(project) if add or changes else opened_to_read(project) as opened:
        for old, new in changes:
            opened.rename_class(old, new)
        for name in add or ():
            opened.add_class(name)
        names = opened.classes
    result({"classes": names}, f"Classes besides the background: {', '.join(names[1:])}", as_json)


def info(
    project: ProjectFolder,
    tiles: Annotated[bool, typer.Option("--tiles", help="Also list every tile.")] = False,
    as_json: Json = False,
) -> None:
    """Show what a project holds.

    Works while the project is open in the window.
    """
    with opened_to_read(project) as opened:
        data = _facts(opened)
        if lost := lost_weights(opened):
            remark(lost)
    pools = table("Tiles", ("pool", "tiles"), list(data["pools"].items()))
    rounds = table(
        "Rounds",
        ("round", "state", "validation Dice"),
        [(entry["number"], entry["state"], entry["dice"]) for entry in data["rounds"]],
    )
    head = f"{data['name']}: classes {', '.join(data['classes'])}; "
    head += f"{counted(data['images'], 'image')}; model in charge: {data['model'] or 'none yet'}"
    parts: list[Part] = [head, pools, *([rounds] if data["rounds"] else [])]
    if tiles:
        names = ("name", "pool", "um_per_px", "disagreement", "versions")
        rows = [tuple(tile[name] for name in names) for tile in data["tiles"]]
        parts.append(table("", names, rows))
    result(data, parts, as_json)


def _facts(opened: Project) -> dict[str, Any]:
    tiles = opened.tiles()
    pools = Counter(str(tile.pool) for tile in tiles)
    images = opened.images()
    sources = {image.id: image.source for image in images}
    weights = opened.models.weights()
    model = model_in_charge(opened)
    return {
        "name": opened.name,
        "classes": list(opened.classes),
        "images": len(images),
        "pools": {str(pool): pools[str(pool)] for pool in Pool},
        "model": model.name if model is not None else None,
        "weights": str(weights.relative_to(opened.path)) if weights else None,
        "rounds": [_round(record) for record in opened.rounds()],
        "tiles": [
            {
                "id": tile.id,
                "name": tile.name,
                "source": sources[tile.image_id],
                "pool": str(tile.pool),
                "um_per_px": tile.um_per_px,
                "size": list(tile.box.shape),
                "patient": tile.patient,
                "disagreement": tile.disagreement,
                "versions": len(opened.annotations(tile.id)),
            }
            for tile in tiles
        ],
    }


def _round(record: Any) -> dict[str, Any]:
    validation = (record.report or {}).get("validation") or {}
    return {"number": record.number, "state": str(record.state), "dice": validation.get("dice")}
