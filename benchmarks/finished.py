"""The finished runs of a folder: grouped by method, and as a table."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any, NamedTuple

Run = dict[str, Any]


class Group(NamedTuple):
    """What runs have in common that are compared: kind of split, method's name, steps."""

    kind: str
    name: str
    steps: int


def groups_of(folder: Path) -> dict[Group, list[Run]]:
    """Return the runs that have held-out scores; draws and seeds of one method are together."""
    groups: dict[Group, list[Run]] = {}
    for path in sorted(folder.glob("*/result.json")):
        run = json.loads(path.read_text())
        if run["honest"]:
            kind, _ = kind_and_draw(run["split"])
            groups.setdefault(Group(kind, run["name"], run["report"]["steps"]), []).append(run)
    return dict(sorted(groups.items()))


def kind_and_draw(split: str) -> tuple[str, str]:
    """Return ``heldout-17`` and ``2`` of ``heldout-17-2``; without a draw, the latter is empty."""
    kind, end, draw = split.rpartition("-")
    return (kind, draw) if end and draw.isdecimal() else (split, "")


def table(folder: Path) -> list[str]:
    """Return lines of markdown: mean and spread of held-out Dice, and gain at equal steps."""
    groups = groups_of(folder)
    return [
        "| split | method | steps | runs | Dice | spread | gain | minutes | MiB | device |",
        "|---|---|---|---|---|---|---|---|---|---|",
        *(
            _line(group, runs, groups.get(group._replace(name="labelled-only"), ()))
            for group, runs in groups.items()
        ),
    ]


def _line(group: Group, runs: Sequence[Run], plain: Sequence[Run]) -> str:
    scores, before = (
        {key: run["honest"]["dice"] for key, run in by_split_and_seed(each).items()}
        for each in (runs, plain)
    )
    gains = [score - before[key] for key, score in scores.items() if key in before]
    cells = (
        *group,
        len(runs),
        f"{mean(scores.values()):.3f}",
        f"{stdev(scores.values()):.3f}" if len(scores) > 1 else "–",
        f"{mean(gains):+.3f}" if gains else "–",
        f"{mean(run['minutes'] for run in runs):.1f}",
        f"{max(run['peak_memory_mib'] for run in runs):.0f}",
        runs[0]["report"]["device"],
    )
    return f"| {' | '.join(map(str, cells))} |"


def by_split_and_seed(runs: Iterable[Run]) -> dict[tuple[str, int], Run]:
    """Return the runs of one method under what makes runs of two methods comparable."""
    return {(run["split"], run["seed"]): run for run in runs}
