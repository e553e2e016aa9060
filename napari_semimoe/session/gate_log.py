"""What the gates did in a round, from the steps that it wrote down."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

LOG = "log.jsonl"
#: Steps that are averaged at either end: one step's crops say little.
_STEPS = 10

#: Mean share that each answer takes from each expert, by ``"task<-expert"``, in [0, 1].
Gates = Mapping[str, float]


def read_gates(folder: Path) -> dict[str, Gates]:
    """Return the mean gates of a round's ``first`` and ``last`` steps; empty without any step."""
    first: list[Gates] = []
    last: deque[Gates] = deque(maxlen=_STEPS)
    for gates in _steps(folder / LOG):
        if len(first) < _STEPS:
            first.append(gates)
        last.append(gates)
    return {"first": _mean(first), "last": _mean(tuple(last))} if first else {}


def _steps(path: Path) -> Iterator[Gates]:
    try:
        with path.open(encoding="utf-8") as lines:
            yield from _gates(lines)
    except OSError:
        return  # a round without a log is judged by its scores alone


def _gates(lines: Iterable[str]) -> Iterator[Gates]:
    for line in lines:
        try:
            gates = json.loads(line).get("gates")
        except (ValueError, AttributeError):
            continue  # the line at which an earlier attempt was cut off
        if gates:
            yield gates


def _mean(steps: Sequence[Gates]) -> Gates:
    names = steps[0].keys()
    return {name: sum(step.get(name, 0.0) for step in steps) / len(steps) for name in names}
