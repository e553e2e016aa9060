"""``semimoe rounds``: what was trained, and which model is in charge."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any

import typer
from rich.text import Text
from rich.tree import Tree

from napari_semimoe.cli.output import Json, Part, ProjectFolder, facts, result, table
from napari_semimoe.cli.work import opened_to_read, session
from napari_semimoe.core.measures import WORDS, Measure
from napari_semimoe.project.records import RoundRecord
from napari_semimoe.session.comparison import (
    Comparison,
    against_base,
    capital,
    compare_rounds,
    tile_ids,
)
from napari_semimoe.session.corrections import Corrections, effort_sentence, read_corrections
from napari_semimoe.session.ledger import TaughtTile, read_ledger
from napari_semimoe.session.lineage import Lineage, read_lineage
from napari_semimoe.session.models import STARTER, base_name, model_name

app = typer.Typer(help="List the rounds of a project; put another model in charge.")

RoundNumber = Annotated[
    int, typer.Argument(help="The round's number.", metavar="NUMBER", show_default=False)
]
MeasureChoice = Annotated[Measure, typer.Option("--measure", help="Score to compare by.")]
AnyModel = Annotated[
    str,
    typer.Argument(
        help="The round's number, or 'starter'.", metavar="NUMBER|starter", show_default=False
    ),
]


@app.command("list")
def list_rounds(project: ProjectFolder, as_json: Json = False) -> None:
    """List every round, and which model is in charge.

    With its state, its base, its validation Dice, and how long it took. promoted: its model took
    over when it ended, or was put in charge later. kept beside: the earlier model was better on the
    validation tiles. cancelled and interrupted: what was learned so far is kept in the round. Also
    how much you changed in what each model suggested.
    """
    with opened_to_read(project) as opened:
        lineage, corrections = read_lineage(opened), read_corrections(opened)
    rounds = [asdict(record) for record in lineage.rounds]
    columns = ("round", "name", "state", "from", "Dice", "steps", "seconds", "started")
    parts: list[Part] = [
        table(
            "Rounds, with their Dice on the validation tiles",
            columns,
            [_row(entry, lineage) for entry in rounds],
        ),
        f"In charge: {lineage.in_charge or 'no model yet'}.",
        *(_corrected(corrections) if corrections else ()),
    ]
    data = {
        "rounds": rounds,
        "in_charge": lineage.in_charge,
        "names": dict(lineage.names),
        "notes": dict(lineage.notes),
        "corrections": {model: asdict(each) for model, each in corrections.items()},
    }
    result(data, parts, as_json)


@app.command("tree")
def tree(project: ProjectFolder, as_json: Json = False) -> None:
    """Draw which round began from which model.

    With your names and notes.
    """
    with opened_to_read(project) as opened:
        lineage = read_lineage(opened)
    result(_nested(lineage), [_drawn(lineage, root) for root in lineage.roots], as_json)


@app.command("name")
def name(
    project: ProjectFolder,
    number: RoundNumber,
    text: Annotated[
        str, typer.Argument(help="What you call it; '' forgets the name.", show_default=False)
    ],
    as_json: Json = False,
) -> None:
    """Give a round a name of your own."""
    with session(project) as opened:
        opened.name_round(number, text)
    told = f"Round {number} is called '{text}' now." if text else f"Round {number} has no name now."
    result({"round": number, "name": text}, told, as_json)


@app.command("note")
def note(
    project: ProjectFolder,
    number: RoundNumber,
    text: Annotated[
        str, typer.Argument(help="What to remember of it; '' forgets it.", show_default=False)
    ],
    as_json: Json = False,
) -> None:
    """Write a note to a round.

    It may be as long as you like, and takes the place of the note before.
    """
    with session(project) as opened:
        opened.note_round(number, text)
    kept = bool(text.strip())
    told = f"The note on round {number} is kept." if kept else f"Round {number} has no note now."
    result({"round": number, "note": text}, told, as_json)


@app.command("show")
def show(
    project: ProjectFolder,
    number: RoundNumber,
    measure: MeasureChoice = "dice",
    as_json: Json = False,
) -> None:
    """Show one round and its settings.

    Also its validation tiles, and what unlabelled tiles taught. Every validation tile is compared
    with the model that the round began from.
    """
    with opened_to_read(project) as opened:
        record = opened.round(number)
        lineage = read_lineage(opened)
        compared = against_base(record, tile_ids(opened), measure)
        taught = read_ledger(opened, number)
        corrections = read_corrections(opened)
    model = model_name(record)
    effort = effort_sentence(corrections, model, base_name(record.base))
    entry = asdict(record)
    about = [(name, entry[name]) for name in ("state", "base", "created", "ended", "note")]
    own = {"called": lineage.names.get(number), "your_note": lineage.notes.get(number)}
    parts = [
        facts(f"Round {number}", [*about, *own.items()]),
        *(_compared(compared) if compared is not None else ()),
        *([effort] if effort else ()),
        *(_taught(taught) if taught else ()),
        facts("Settings", entry["settings"].items()),
    ]
    more = {
        "comparison": asdict(compared) if compared else None,
        "taught": [asdict(tile) for tile in taught],
        "corrections": asdict(corrections[model]) if model in corrections else None,
    }
    result(entry | own | more, parts, as_json)


@app.command("compare")
def compare(
    project: ProjectFolder,
    before: Annotated[int, typer.Argument(help="A round's number.", show_default=False)],
    after: Annotated[int, typer.Argument(help="Another round's number.", show_default=False)],
    measure: MeasureChoice = "dice",
    as_json: Json = False,
) -> None:
    """Compare the models of two rounds on each validation tile.

    The largest loss comes first. A round's scores are those of its end; masks that were corrected
    since change nothing.
    """
    with opened_to_read(project) as opened:
        compared = compare_rounds(opened, before, after, measure)
    result(asdict(compared), _compared(compared), as_json)


@app.command("promote")
def promote(project: ProjectFolder, model: AnyModel, as_json: Json = False) -> None:
    """Put the model of any round, or the starter model, in charge."""
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


def _compared(compared: Comparison) -> list[Part]:
    words = WORDS[compared.measure]
    rows = [
        (t.name, t.before, t.after, None if t.change is None else words.signed(t.change))
        for t in compared.tiles
    ]
    columns = ("tile", compared.before_name, compared.after_name, "change")
    about = f"{capital(words.name)} of each validation tile"
    sentences = [text for text in (compared.sentence, compared.experts_sentence) if text]
    return [*sentences, table(about, columns, rows)]


def _corrected(of_model: dict[str, Corrections]) -> list[Part]:
    columns = ("model", "tiles", "without a change", "share of pixels changed", "seconds")
    rows = [(name, *asdict(each).values()) for name, each in of_model.items()]
    return [table("What you changed in suggestions, medians of tiles", columns, rows)]


def _taught(tiles: tuple[TaughtTile, ...]) -> list[Part]:
    rows = [(t.name, t.foreground, t.coverage, t.weight, t.changed) for t in tiles]
    columns = ("tile", "foreground", "teaches", "weight", "changed since the round before")
    return [table("What unlabelled tiles taught, as shares of their pixels", columns, rows)]


def _number(model: str) -> int | None:
    """Return a round's number, or None for the starter."""
    if model.lower() == STARTER:
        return None
    if not model.isdecimal():
        raise typer.BadParameter(f"It must be a round's number or 'starter', got '{model}'.")
    return int(model)


def _nested(lineage: Lineage) -> dict[str, Any]:
    """Return the tree as nested objects by model name."""

    def below(name: str) -> dict[str, Any]:
        return {
            model_name(record): below(model_name(record)) for record in lineage.began_from(name)
        }

    return {root: below(root) for root in lineage.roots}


def _drawn(lineage: Lineage, root: str) -> Tree:
    in_charge = root == STARTER and lineage.starter_in_charge
    drawn = Tree(Text(f"{root}  in charge" if in_charge else root))
    _grow(drawn, lineage, root)
    return drawn


def _grow(branch: Tree, lineage: Lineage, name: str) -> None:
    for record in lineage.began_from(name):
        label = Text(model_name(record), style="bold" if lineage.is_in_charge(record) else "")
        label.append(f"  {_about(record, lineage)}", style="not bold")
        if note := lineage.notes.get(record.number):
            label.append(f"\n{note}", style="not bold italic")
        _grow(branch.add(label), lineage, model_name(record))


def _about(record: RoundRecord, lineage: Lineage) -> str:
    dice = ((record.report or {}).get("validation") or {}).get("dice")
    parts = [
        lineage.names.get(record.number, ""),
        "in charge" if lineage.is_in_charge(record) else str(record.state),
        f"Dice {dice:.3f}" if dice is not None else "",
    ]
    return ", ".join(part for part in parts if part)


def _row(entry: dict[str, Any], lineage: Lineage) -> tuple[object, ...]:
    report = entry["report"] or {}
    dice = (report.get("validation") or {}).get("dice")
    seconds = round(report["seconds"]) if "seconds" in report else None
    number = entry["number"]
    about = (number, lineage.names.get(number), entry["state"], base_name(entry["base"]), dice)
    started = datetime.fromisoformat(entry["created"]).astimezone()
    return (*about, report.get("steps"), seconds, f"{started:%Y-%m-%d %H:%M}")
