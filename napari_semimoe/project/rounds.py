"""Rounds of training: what each depended on, and how it ended."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from napari_semimoe.core.disk import discard, storing, write_text
from napari_semimoe.core.errors import ProjectError
from napari_semimoe.core.states import RoundState
from napari_semimoe.project.records import RoundRecord, now
from napari_semimoe.project.store import Store

MANIFEST = "manifest.json"
#: What each step of a round measured, a JSON object a line.
LOG = "log.jsonl"
#: What a round that is not over needs to go on.
STATE = "state.safetensors"


def folder(index: Store, number: int) -> Path:
    """Return the folder of a round."""
    return index.path / "rounds" / str(number)


def start(
    index: Store, settings: Mapping[str, Any], base: str | None, manifest: Mapping[str, Any]
) -> RoundRecord:
    """Write the manifest, then the row that makes it a round."""
    index.refuse_if_read_only()
    _refuse_second(index)
    row = index.row("SELECT coalesce(max(number), 0) + 1 AS next FROM round")
    number = int(row["next"]) if row else 1
    target = folder(index, number)
    with storing(f"The list of tiles of round {number}"):
        discard(target)  # left by a start that was cut off before its row
        target.mkdir(parents=True)
        write_text(target / MANIFEST, json.dumps({"round": number, **manifest}, indent=1))
    with index.transaction() as connection:
        connection.execute(
            "INSERT INTO round (number, state, base, created, settings) VALUES (?, ?, ?, ?, ?)",
            (number, RoundState.RUNNING, _portable(index, base), now(), json.dumps(dict(settings))),
        )
    return find(index, number)


def finish(
    index: Store,
    number: int,
    state: RoundState,
    *,
    weights: Path | str | None,
    report: Mapping[str, Any] | None,
    note: str,
    author: str,
) -> RoundRecord:
    """Write down how a round ended; a promoted one takes charge in the same commit."""
    before = find(index, number)
    stored = _inside(index, weights) if weights is not None else before.weights
    if state is RoundState.RUNNING:
        raise ProjectError(f"Round {number} cannot end as running. Say how it ended.")
    if state is RoundState.PROMOTED and stored is None:
        raise no_weights(number)
    with index.transaction() as connection:
        connection.execute(
            "UPDATE round SET state = ?, weights = ?, report = ?, note = ?, ended = ?"
            " WHERE number = ?",
            (state, stored, json.dumps(dict(report)) if report else None, note, now(), number),
        )
        if state is RoundState.PROMOTED:
            put_in_charge(index, number, author)
    return find(index, number)


def put_in_charge(index: Store, number: int | None, author: str) -> None:
    """Let a round's model be in charge, None: the starter; inside a transaction."""
    index.connection.execute(
        "INSERT INTO promotion (round, created) VALUES (?, ?)", (number, now())
    )
    index.audit(author, "promote", None, round=number)


def resume(index: Store, number: int) -> RoundRecord:
    """Say of a round that ended early that it goes on."""
    record = find(index, number)
    if not record.can_go_on:
        raise ProjectError(
            f"Round {number} is {record.state} and cannot go on. Only a round that was "
            "interrupted, cancelled or failed can; start a new round."
        )
    _refuse_second(index)
    with index.transaction() as connection:
        connection.execute(
            "UPDATE round SET state = ?, ended = NULL, report = NULL, note = '' WHERE number = ?",
            (RoundState.RUNNING, number),
        )
    return find(index, number)


def interrupt_running(index: Store) -> None:
    """Say of rounds whose process is gone that they were interrupted."""
    with index.transaction() as connection:
        connection.execute(
            "UPDATE round SET state = ?, ended = ? WHERE state = ?",
            (RoundState.INTERRUPTED, now(), RoundState.RUNNING),
        )


def every(index: Store) -> list[RoundRecord]:
    """Return all rounds, oldest first."""
    return [RoundRecord.of(row) for row in index.rows("SELECT * FROM round ORDER BY number")]


def find(index: Store, number: int) -> RoundRecord:
    """Return one round."""
    row = index.row("SELECT * FROM round WHERE number = ?", (number,))
    if row is None:
        raise ProjectError(f"This project has no round {number}. Choose one of its rounds.")
    return RoundRecord.of(row)


def no_weights(number: int) -> ProjectError:
    """Return the refusal of a round whose model cannot be put in charge."""
    return ProjectError(
        f"Round {number} has no weights, so its model cannot be put in charge. Choose a round "
        "that finished."
    )


def _refuse_second(index: Store) -> None:
    running = index.row("SELECT number FROM round WHERE state = ?", (RoundState.RUNNING,))
    if running:
        raise ProjectError(
            f"Round {running['number']} is still running. Wait for it or cancel it first."
        )


def _inside(index: Store, path: Path | str) -> str:
    absolute = (index.path / path).resolve()
    if not absolute.is_relative_to(index.path.resolve()) or not absolute.exists():
        raise ProjectError(
            f"The weights of a round must be a file inside {index.path}, got {path}. "
            "Write them into the round's folder."
        )
    return absolute.relative_to(index.path.resolve()).as_posix()


def _portable(index: Store, base: str | None) -> str | None:
    if base is None or not Path(base).is_absolute():
        return base
    absolute = Path(base).resolve()
    root = index.path.resolve()
    return absolute.relative_to(root).as_posix() if absolute.is_relative_to(root) else base
