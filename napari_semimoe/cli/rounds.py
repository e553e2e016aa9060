"""``semimoe rounds``: what was trained, and which model is in charge."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer

from napari_semimoe.cli.output import Json, ProjectFolder, facts, result, table
from napari_semimoe.cli.work import session
from napari_semimoe.project.project import Project
from napari_semimoe.session.lineage import read_lineage
from napari_semimoe.session.models import STARTER, base_name

app = typer.Typer(help="List the rounds of a project; put another model in charge.")

RoundNumber = Annotated[
    int, typer.Argument(help="The round's number.", metavar="NUMBER", show_default=False)
]
AnyModel = Annotated[
    str,
    typer.Argument(
        help="The round's number, or 'starter'.", metavar="NUMBER|starter", show_default=False
    ),
]


@app.command("list")
def list_rounds(project: ProjectFolder, as_json: Json = False) -> None:
    """List every round: its state, its base, its validation Dice, and how long it took.

    promoted: its model took over when it ended, or was put in charge later. kept beside: the
    earlier model was better on the validation tiles. cancelled and interrupted: what was learned
    so far is kept in the round.
    """
    with Project.open(project, read_only=True) as opened:
        lineage = read_lineage(opened)
    rounds = [asdict(record) for record in lineage.rounds]
    columns = ("round", "state", "from", "validation Dice", "steps", "seconds", "started")
    parts = [
        table("Rounds", columns, [_row(entry) for entry in rounds]),
        f"In charge: {lineage.in_charge or 'no model yet'}.",
    ]
    result({"rounds": rounds, "in_charge": lineage.in_charge}, parts, as_json)


@app.command("show")
def show(project: ProjectFolder, number: RoundNumber, as_json: Json = False) -> None:
    """Show one round with all its settings."""
    with Project.open(project, read_only=True) as opened:
        entry = asdict(opened.round(number))
    about = [(name, entry[name]) for name in ("state", "base", "created", "ended", "note")]
    parts = [facts(f"Round {number}", about), facts("Settings", entry["settings"].items())]
    result(entry, parts, as_json)


@app.command("promote")
def promote(project: ProjectFolder, model: AnyModel, as_json: Json = False) -> None:
    """Put the model of any round, or the starter model, in charge of predictions."""
    number = _number(model)
    with session(project) as opened:
        if number is None:
            opened.promote_starter()
        else:
            opened.promote(number)
    data = {"in_charge": STARTER if number is None else number}
    name = "The starter model" if number is None else f"The model of round {number}"
    result(data, f"{name} is in charge of {project} now.", as_json)


@app.command("rollback")
def rollback(project: ProjectFolder, as_json: Json = False) -> None:
    """Put the model back in charge that was it before the present one.

    Run it a second time to come back to the present one. Any other model: semimoe rounds promote.
    """
    with session(project) as opened:
        opened.roll_back()
        name = opened.model_name
    result({"in_charge": name}, f"The model {name} is in charge of {project} again.", as_json)


def _number(model: str) -> int | None:
    """Return a round's number, or None for the starter."""
    if model.lower() == STARTER:
        return None
    if not model.isdecimal():
        raise typer.BadParameter(f"It must be a round's number or 'starter', got '{model}'.")
    return int(model)


def _row(entry: dict[str, Any]) -> tuple[object, ...]:
    report = entry["report"] or {}
    dice = (report.get("validation") or {}).get("dice")
    seconds = round(report["seconds"]) if "seconds" in report else None
    about = (entry["number"], entry["state"], base_name(entry["base"]), dice)
    return (*about, report.get("steps"), seconds, entry["created"])
