"""``semimoe export``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from napari_semimoe.cli.output import Json, ProjectFolder, progress, refusals, remark, result
from napari_semimoe.cli.work import INTERRUPTED, asked_to_stop, ends_as_ctrl_c, opened_to_read
from napari_semimoe.project.export import ExportKind, export_project
from napari_semimoe.project.records import counted


def export(
    project: ProjectFolder,
    out: Annotated[Path, typer.Argument(help="Folder to write to.", show_default=False)],
    kind: Annotated[
        ExportKind,
        typer.Option(
            "--kind",
            help="ome-zarr: image, masks and their history (0.5; 0.4 for older programs); png: "
            "16-bit masks; geojson: outlines for QuPath; csv: tables of sizes and shapes.",
        ),
    ] = "ome-zarr",
    as_json: Json = False,
) -> None:
    """Write all masks, accepted here or added with images.

    With them go author, time, model and round. The project may be open in a window meanwhile.
    """
    with (
        opened_to_read(project) as opened,
        progress() as bar,
        ends_as_ctrl_c(),
        asked_to_stop() as should_stop,
    ):
        task = bar.add_task("Exporting", total=None)
        report = export_project(
            opened,
            out,
            kind,
            progress=lambda done, total, _name: bar.update(task, completed=done, total=total),
            should_stop=should_stop,
        )
        if not report.cancelled:
            bar.update(task, completed=len(report.written), total=len(report.written))
    data: dict[str, Any]
    data = {"out": str(out), "kind": kind, "written": [str(path) for path in report.written]}
    data |= {"refused": [list(each) for each in report.refused]}
    result(data, f"{counted(report.tiles, 'tile')} exported to {out}.", as_json)
    refusals(report.refused, ())
    if report.refused and not report.cancelled:
        raise typer.Exit(1)
    if report.cancelled:
        remark("Interrupted. The same command exports all of them.")
        raise typer.Exit(INTERRUPTED)
