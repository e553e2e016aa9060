"""``semimoe rounds``: what was trained, and which model is in charge."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer

from napari_semimoe.cli.output import Json, ProjectFolder, facts, result, table
from napari_semimoe.cli.work import session
from napari_semimoe.project.project import Project

app = typer.Typer(help="List the rounds of a project; put another model in charge.")

RoundNumber = Annotated[
    int, typer.Argument(help="The round's number.", metavar="NUMBER", show_default=False)
]


@app.command("list")
def list_rounds(project: ProjectFolder, as_json: Json = False) -> None:
    """List every round: its state, its validation Dice, and how long it took.

    promoted: its model serves predictions. kept beside: the earlier model was better on the
    validation tiles. cancelled and interrupted: what was learned so far is kept in the round.
    """
    with Project.open(project, read_only=True) as opened:
        rounds = [asdict(record) for record in opened.rounds()]
    columns = ("round", "state", "base", "validation Dice", "steps", "seconds", "started")
    result({"rounds": rounds}, table("Rounds", columns, [_row(entry) for entry in rounds]), as_json)


@app.command("show")
def show(project: ProjectFolder, number: RoundNumber, as_json: Json = False) -> None:
    """Show one round with all its settings."""
    with Project.open(project, read_only=True) as opened:
        entry = asdict(opened.round(number))
    about = [(name, entry[name]) for name in ("state", "base", "created", "ended", "note")]
    parts = [facts(f"Round {number}", about), facts("Settings", entry["settings"].items())]
    result(entry, parts, as_json)


@app.command("promote")
def promote(project: ProjectFolder, number: RoundNumber, as_json: Json = False) -> None:
    """Put the model of a round in charge of predictions."""
    with session(project) as opened:
        opened.promote(number)
    data = {"in_charge": number}
    result(data, f"The model of round {number} is in charge of {project} now.", as_json)


def _row(entry: dict[str, Any]) -> tuple[object, ...]:
    report = entry["report"] or {}
    dice = (report.get("validation") or {}).get("dice")
    seconds = round(report["seconds"]) if "seconds" in report else None
    about = (entry["number"], entry["state"], entry["base"], dice)
    return (*about, report.get("steps"), seconds, entry["created"])
