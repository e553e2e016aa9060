"""``semimoe demo``: the loop on tissue that is at hand."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from napari_semimoe.cli.check import QT_BINDINGS
from napari_semimoe.cli.output import progress, remark
from napari_semimoe.cli.train import follow_round
from napari_semimoe.cli.virtual_screen import has_screen, screen
from napari_semimoe.cli.work import INTERRUPTED, engine
from napari_semimoe.core.errors import JobError, ProjectError
from napari_semimoe.core.states import RoundState
from napari_semimoe.project.drafts import drafted_tiles
from napari_semimoe.project.export_ome_zarr import is_export_of
from napari_semimoe.project.import_masks import IMPORTED
from napari_semimoe.project.project import Project
from napari_semimoe.session.demo import (
    NAME,
    WALKER,
    first_round,
    make_demo_project,
)
from napari_semimoe.session.demo_report import EXPORT, FILE_NAME, refuse_foreign_report
from napari_semimoe.session.lineage import read_lineage
from napari_semimoe.session.session import Session

#: Project setting: the demo's project was filled and has a model that knows its tissue.
READY = "demo_ready"


def demo(
    out: Annotated[
        Path, typer.Option("--out", help="Folder for the project, pictures and report.")
    ] = Path("demo-output"),
    headless: Annotated[
        bool, typer.Option("--headless", help="No window at all, also no virtual screen.")
    ] = False,
    automatic: Annotated[
        bool,
        typer.Option("--automatic", help="Walk through the loop by itself, as without a screen."),
    ] = False,
    minutes: Annotated[
        float, typer.Option("--minutes", min=0.01, max=60, help="Time for a training round.")
    ] = 1.0,
) -> None:
    """Try the whole loop on tissue that is at hand.

    Predict, correct, accept, retrain, predict better, export.

    With a screen, napari opens with a small project of real and drawn colon tissue; it is yours
    to use, and the next call opens it again. Without a screen the same loop runs by itself in a
    window on a virtual screen (Xvfb), and leaves pictures and report.md in the folder.

    Set SEMIMOE_DATA to a folder with the GlaS images (train/train_1.png, train_1_anno.png ...)
    to have the demo on GlaS.
    """
    by_itself = automatic or headless or not has_screen()
    if not headless:
        _require_qt()
    if by_itself:
        refuse_foreign_report(out)
    project = _prepare(out, minutes, anew=by_itself)
    if headless:
        # it draws with scikit-image, which no other command needs and which takes a second
        from napari_semimoe.cli.demo_headless import walk

        walk(project, out, minutes)
    else:
        _open_window(project, out, minutes if by_itself else None)
    if by_itself:
        typer.echo(f"Report: {out / FILE_NAME}")


def _require_qt() -> None:
    if not any(importlib.util.find_spec(name) for name in QT_BINDINGS):
        raise JobError(
            "The window needs a Qt binding, and none is installed. Install one, "
            'pip install "napari-semimoe[all]", or run: semimoe demo --headless'
        )


def _prepare(out: Path, minutes: float, *, anew: bool) -> Path:
    """Make the demo project, and a first model where none is shipped; return its folder.

    A person finds the project of before again, a demo that walks by itself begins anew.
    """
    folder = out / "project"
    if folder.exists() and (anew or not _is_ready(folder)):
        _remove(folder)
    if not folder.exists():
        _make(folder, minutes)
    return folder


def _make(folder: Path, minutes: float) -> None:
    remark(f"Making a demo project in {folder}")
    with engine() as running, progress() as bar:
        task = bar.add_task("Adding tissue", total=None)
        session = Session(running)
        try:
            make_demo_project(
                session,
                folder,
                progress=lambda done, total, _: bar.update(task, completed=done, total=total),
            )
            bar.stop()
            if session.weights is None:  # a build without the starter
                _train_first(session, minutes)
            assert session.project is not None, "it was made above"
            session.project.set_setting(READY, _extent(session.project))
        finally:
            session.close()


def _train_first(session: Session, minutes: float) -> None:
    settings = first_round(minutes=minutes)
    remark(session.round_plan(settings).sentence)
    record, interrupted = follow_round(session, lambda: session.start_round(settings))
    if interrupted:
        raise typer.Exit(INTERRUPTED)
    if record.state is not RoundState.PROMOTED:
        raise JobError(record.note or f"The first round ended as {record.state}.")


def _is_ready(folder: Path) -> bool:
    """Whether an earlier demo left a project that it had finished making."""
    with Project.open(folder, read_only=True) as project:
        return project.name == NAME and bool(project.setting(READY, False))


def _remove(folder: Path) -> None:
    """Remove an earlier demo's project and its export; refuses one that is open elsewhere.

    Raises
    ------
    ProjectError
        If it is no demo, or holds what a person did.
    """
    with Project.open(folder) as project:
        if project.name != NAME:
            raise ProjectError(
                f"{folder} holds the project '{project.name}', which is not a demo. Name another "
                "folder with --out."
            )
        if _has_work(project):
            raise ProjectError(
                f"A demo that runs by itself begins with a new project, but {folder} holds what a "
                "person accepted, added, trained or named. Name another folder with --out, or "
                "remove it yourself."
            )
        _remove_export(project, folder.parent / EXPORT)  # a new project does not replace it
    shutil.rmtree(folder)


def _remove_export(project: Project, folder: Path) -> None:
    """Remove what an earlier demo exported, and nothing else."""
    for path in [each for each in folder.glob("*.zarr") if is_export_of(project, each)]:
        shutil.rmtree(path)
    with suppress(OSError):  # it holds something else, or there is none
        folder.rmdir()


def _extent(project: Project) -> list[int]:
    """Return how many tiles and rounds a project has."""
    return [len(project.tiles()), len(project.rounds())]


def _has_work(project: Project) -> bool:
    """Whether a person worked here: not the demo, and no mask that came with an image counts."""
    masks = (each for tile in project.tiles() for each in project.annotations(tile.id))
    accepted = any(each.origin != IMPORTED and each.author != WALKER for each in masks)
    lineage = read_lineage(project)
    return (
        accepted
        or bool(drafted_tiles(project.path) or lineage.names or lineage.notes)
        or _has_grown(project)
    )


def _has_grown(project: Project) -> bool:
    """Whether there are other tiles than at first, or more rounds than a demo adds: one."""
    first, now = project.setting(READY, None), _extent(project)
    return isinstance(first, list) and (now[0] != first[0] or now[1] > first[1] + 1)


def _open_window(project: Path, out: Path, minutes: float | None) -> None:
    """Run the window in a process of its own: this one knows no Qt."""
    command = [sys.executable, "-m", "napari_semimoe.gui.demo_driver", str(project)]
    if minutes is not None:
        command += ["--automatic", str(out), "--minutes", str(minutes)]
    with screen() as environment:
        code = subprocess.run(command, env=environment, check=False).returncode
    if code:
        raise JobError(f"The window ended with an error (code {code}); its own lines are above.")
