"""``semimoe train``: one round, in the foreground."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from napari_semimoe.cli.output import (
    Json,
    ProjectFolder,
    UmPerPx,
    progress,
    remark,
    result,
    told_as,
    typed,
)
from napari_semimoe.cli.projects import add_folder
from napari_semimoe.cli.work import INTERRUPTED, engine, pump, session
from napari_semimoe.core.cores import usable_cores
from napari_semimoe.core.errors import ImageReadError, JobError, StorageError
from napari_semimoe.core.measures import WORDS
from napari_semimoe.core.settings import ModelSettings, RoundSettings
from napari_semimoe.core.states import RoundState
from napari_semimoe.jobs.choice import cluster_settings
from napari_semimoe.project.discovery import find_files
from napari_semimoe.project.folder import DESCRIPTION
from napari_semimoe.project.records import RoundRecord, counted
from napari_semimoe.project.rounds import STATE
from napari_semimoe.session.comparison import Contest, contest
from napari_semimoe.session.models import model_in_charge
from napari_semimoe.session.session import Session
from napari_semimoe.session.start_from import StartFrom, StartKind


class Protocol(StrEnum):
    """Where the settings of a round start from."""

    FINE_TUNE = "fine_tune"
    PAPER = "paper"


def train(
    project: ProjectFolder,
    minutes: Annotated[
        float | None,
        typer.Option("--minutes", help="Time for the round.  [4; --protocol paper: 1440]"),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option("--steps", min=1, help="Do this many steps, however long they take."),
    ] = None,
    protocol: Annotated[
        Protocol,
        typer.Option("--protocol", help="fine_tune: the default; paper: the released settings."),
    ] = Protocol.FINE_TUNE,
    seed: Annotated[
        int | None, typer.Option("--seed", help="Same seed, same machine: same numbers.  [0]")
    ] = None,
    device: Annotated[
        str | None, typer.Option("--device", help="auto, cpu, cuda or mps.  [auto]")
    ] = None,
    other: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="Any other setting of the round, such as crop_px=128; repeat for more.",
            metavar="NAME=VALUE",
        ),
    ] = None,
    begin: Annotated[
        str | None,
        typer.Option(
            "--from",
            help="What to start from: current (the model in charge), starter, imagenet (an encoder "
            "that knows photographs, and learns on), nothing, a round's number, or a weights file."
            "  [current]",
            metavar="WHAT",
        ),
    ] = None,
    encoder: Annotated[
        Path | None,
        typer.Option(
            "--encoder",
            help="Start from a pretrained encoder: a ResNet or vision transformer of timm, or an "
            "EfficientNet-Lite, as .safetensors, .bin or .pth. It stays as it is, what is built "
            "around it learns.",
        ),
    ] = None,
    network: Annotated[
        list[str] | None,
        typer.Option(
            "--network",
            help="A setting of the network, such as width=16 or architecture=paper; repeat for "
            "more. Means --from nothing, or goes with --encoder (train_encoder=true: it learns, "
            "too).",
            metavar="NAME=VALUE",
        ),
    ] = None,
    images: Annotated[
        Path | None,
        typer.Option(
            "--images",
            help="First add this folder of images and masks; a project that is not there is made.",
        ),
    ] = None,
    um_per_px: UmPerPx = None,
    resume: Annotated[
        int | None,
        typer.Option("--resume", help="Go on with this interrupted or cancelled round instead."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Train one round on the tiles of a project.

    Labelled and unlabelled ones teach. It starts from the model in charge, or from what --from
    names. The new model takes over if it is at least as good on the validation tiles; otherwise it
    is kept beside (semimoe rounds promote).

    Ctrl+C stops after the present step; what was learned so far is kept in the round. So it is
    when the terminal is closed or the system asks to end (SIGHUP, SIGTERM).
    """
    if um_per_px is not None and images is None:
        raise typer.BadParameter("--um-per-px is the scale of --images; give both or neither.")
    options = {"budget_minutes": "--minutes", "seed": "--seed", "device": "--device"}
    given = {"budget_minutes": minutes, "max_steps": steps, "seed": seed, "device": device}
    elsewhere = cluster_settings(os.environ).scheduler  # that machine counts its own cores
    values: dict[str, Any] = {}
    if not elsewhere:
        values["threads"] = usable_cores()  # no window needs one for itself
    values |= {name: value for name, value in given.items() if value is not None}
    changed = _parsed("--set", other or [])
    values |= changed
    make = RoundSettings.paper if protocol is Protocol.PAPER else RoundSettings.fine_tune
    with told_as(options | {name: f"--set {name}" for name in changed}):
        settings = make(**values)
    if resume is not None:
        paper = protocol is Protocol.PAPER
        _refuse_beside_resume([*given.values(), paper, other, begin, encoder, network, images])
    start = _start(begin, encoder, builds=bool(network))
    with _opened(project, images, um_per_px) as opened:
        assert opened.project is not None, "just opened"
        in_charge = model_in_charge(opened.project)
        if resume is not None:
            record, interrupted = follow_round(opened, lambda: opened.resume_round(resume))
        else:
            model = _network(opened, network, encoder) if network else None
            remark(opened.round_plan(settings, start).sentence)
            record, interrupted = follow_round(
                opened, lambda: opened.start_round(settings, model=model, start=start)
            )
        judged = contest(opened.project, record, record.report or {}, in_charge)
        is_kept = (opened.project.round_folder(record.number) / STATE).is_file()
    _report(record, judged, as_json)
    if interrupted:
        if record.state is RoundState.CANCELLED:
            again = f"semimoe train {typed(project)} --resume {record.number}"
            kept = "what was learned is kept" if is_kept else "nothing was learned yet"
            remark(f"Interrupted: {kept}. Go on with it: {again}")
        raise typer.Exit(INTERRUPTED)


@contextmanager
def _opened(project: Path, images: Path | None, um_per_px: float | None) -> Iterator[Session]:
    """Yield a session with the project open, made and filled first where that is wanted."""
    if images is not None and not (project / DESCRIPTION).exists():
        find_files(images)  # a wrong path leaves no empty project behind
        with engine() as running, closing(Session(running)) as made:
            made.new(project)
    with session(project) as opened:
        if images is not None:
            report = add_folder(opened, images, um_per_px=um_per_px)
            remark(report.sentence)
            if not (report.added or report.skipped_duplicates):
                raise ImageReadError(
                    f"No image of {images} could be added, so no round was begun. Mend what is "
                    "said above, or leave --images out to train on what the project has."
                )
        yield opened


def _refuse_beside_resume(given: list[object]) -> None:
    if any(value is not None and value is not False and value != [] for value in given):
        raise typer.BadParameter(
            "--resume goes on with what the round began from, as it was planned; leave all other "
            "options but --json out."
        )


def _start(begin: str | None, encoder: Path | None, *, builds: bool) -> StartFrom:
    """Return what to start from, or say which options contradict each other."""
    if encoder is not None:
        if begin is not None:
            raise typer.BadParameter("--encoder names what to start from; leave --from out.")
        return StartFrom.of_encoder(encoder)
    start = StartFrom.parse(begin) if begin is not None else StartFrom()
    if not builds:
        return start
    if begin is not None and start.kind is not StartKind.NOTHING:
        raise typer.BadParameter(
            f"--network starts from nothing, --from names {begin}; give one of them."
        )
    return StartFrom(StartKind.NOTHING)


def _network(opened: Session, pairs: list[str], encoder: Path | None) -> ModelSettings:
    """Return the network to build from nothing or the encoder, with the project's classes."""
    assert opened.project is not None, "the command has opened it"
    wanted = _parsed("--network", pairs)
    values = {"classes": tuple(opened.project.classes)} | wanted
    kind = values.setdefault("architecture", "pretrained" if encoder else "compact")
    if (kind == "pretrained") is (encoder is None):
        raise typer.BadParameter(
            "--encoder and --network architecture=pretrained belong together; got "
            f"architecture={kind} {'with' if encoder else 'without'} --encoder."
        )
    special = {"paper": ModelSettings.paper, "pretrained": ModelSettings.pretrained}
    with told_as({name: f"--network {name}" for name in wanted}):
        build = special.get(str(kind))
        return build(**values) if build else ModelSettings.parse(values)


def _parsed(option: str, pairs: list[str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for pair in pairs:
        name, separator, text = pair.partition("=")
        if not separator:
            raise typer.BadParameter(f"{option} takes NAME=VALUE, got '{pair}'.")
        try:
            values[name] = json.loads(text)
        except (ValueError, RecursionError):  # no JSON, or more digits or brackets than it takes
            values[name] = text
    return values


def follow_round(opened: Session, start: Callable[[], object]) -> tuple[RoundRecord, bool]:
    """Run the round with a progress bar; Ctrl+C asks it to stop and waits for that."""
    ended: list[RoundRecord] = []
    failures: list[str] = []
    interrupted = False
    opened.round_finished.connect(ended.append)
    opened.failed.connect(failures.append)
    with progress() as bar:
        task = bar.add_task("Starting", total=None)

        def show(step: dict[str, Any]) -> None:
            left = f"{step['seconds_left'] / 60:.1f} min left"
            text = f"Step {step['step']}, loss {step['total']:.3f}, {left}"
            bar.update(task, description=text, completed=step["step"], total=step["steps"])

        opened.round_progress.connect(show)
        start()
        while opened.running_round is not None:
            try:
                pump(opened, lambda: opened.running_round is not None)
            except KeyboardInterrupt:
                interrupted = True
                opened.cancel_round()
                text = "Stopping, saving what was learned (after five seconds, Ctrl+C ends it)"
                bar.update(task, description=text)
    if not ended:
        raise StorageError(*failures[-1:] or ["The end of the round was not stored. Resume it."])
    return ended[0], interrupted


def _report(record: RoundRecord, judged: Contest, as_json: bool) -> None:
    if record.state in (RoundState.FAILED, RoundState.INTERRUPTED):
        raise JobError(record.note or f"Round {record.number} ended as {record.state}.")
    text = f"Round {record.number}: {record.state}{_compared(record, judged)}."
    result(asdict(record), text, as_json)
    if record.note:
        remark(record.note)


def _compared(record: RoundRecord, judged: Contest) -> str:
    """Return the new model's score, and those of the models that it was compared with."""
    scores = judged.scores
    if not scores:
        stopped = record.state is RoundState.CANCELLED
        return "" if stopped else "; no validation tile, so nothing was compared"
    words = WORDS[judged.measure]
    text = f", validation {words.name} {words.text(scores[judged.measure])}"
    text += f" on {counted(scores['tiles'], 'tile')}"
    rivals = judged.rivals.items()
    before = [f"{words.text(each[judged.measure])} of {name}" for name, each in rivals]
    return f"{text}, compared with {' and '.join(before)}" if before else text
