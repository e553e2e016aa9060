"""The steps that a round wrote down, and what its gates did in them."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from napari_semimoe.project.rounds import LOG

#: Steps that are averaged at either end: one step's crops say little.
_STEPS = 10
#: More points than this no plot of a dock can show.
_MOST_POINTS = 500

#: Mean share that each answer takes from each expert, by ``"task<-expert"``, in [0, 1].
Gates = Mapping[str, float]


def read_gates(folder: Path) -> dict[str, Gates]:
    """Return the mean gates of a round's ``first`` and ``last`` steps; empty without any step."""
    first: list[Gates] = []
    last: deque[Gates] = deque(maxlen=_STEPS)
    for step in _steps(folder / LOG):
        if gates := step.get("gates"):
            if len(first) < _STEPS:
                first.append(gates)
            last.append(gates)
    return {"first": _mean(first), "last": _mean(tuple(last))} if first else {}


def read_curve(folder: Path) -> list[Mapping[str, Any]]:
    """Return steps of a round as `StepReport` in JSON, evenly thinned; empty without any."""
    steps = [step for step in _steps(folder / LOG) if "losses" in step]
    return steps[:: len(steps) // _MOST_POINTS + 1]


def _steps(path: Path) -> Iterator[Mapping[str, Any]]:
    try:
        with path.open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                try:
                    step = json.loads(line)
                except ValueError:
                    continue  # the line at which an earlier attempt was cut off
                if isinstance(step, dict):
                    yield step
    except OSError:
        return  # a round without a log is judged by its scores alone


def _mean(steps: Sequence[Gates]) -> Gates:
    names = steps[0].keys()
    return {name: sum(step.get(name, 0.0) for step in steps) / len(steps) for name in names}
