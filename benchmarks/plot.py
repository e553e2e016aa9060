"""A picture of finished runs: a row for each method, a dot for each run, a line for their mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle
from statistics import fmean

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.finished import Group, Run, kind_and_draw

#: Of the draws in their order.
MARKERS = "os^DvP"
#: Inches, at 100 px each.
_WIDTH, _ROW, _FRAME = 8.6, 0.42, 1.1


def figure_of(groups: Mapping[Group, Sequence[Run]]) -> Figure:
    """Return the picture, 860 px wide, the method with the best mean on top.

    Parameters
    ----------
    groups
        Runs with held-out scores, at least one.
    """
    rows = sorted(groups.items(), key=lambda row: fmean(_dice(row[1])))
    figure = Figure((_WIDTH, _FRAME + _ROW * len(rows)), dpi=100, layout="constrained")
    axes = figure.subplots()
    for height, (_, runs) in enumerate(rows):
        axes.vlines(fmean(_dice(runs)), height - 0.35, height + 0.35, color="black")
    draws = sorted({_draw(run) for runs in groups.values() for run in runs})
    for draw, marker in zip(draws, cycle(MARKERS), strict=False):
        places = [
            (run["honest"]["dice"], height)
            for height, (_, runs) in enumerate(rows)
            for run in runs
            if _draw(run) == draw
        ]
        label = f"draw {draw}" if draw else "all labels"
        axes.scatter(*zip(*places, strict=True), marker=marker, label=label, alpha=0.8)
    axes.set_yticks(range(len(rows)), [_label(*row) for row in rows])
    axes.set_xlabel("Dice on held-out images; lines are means")
    _decorate(axes)
    return figure


def _label(group: Group, runs: Sequence[Run]) -> str:
    many = "1 run" if len(runs) == 1 else f"{len(runs)} runs"
    return f"{group.name}  {fmean(_dice(runs)):.3f}\n{group.kind}, {group.steps} steps, {many}"


def _decorate(axes: Axes) -> None:
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)
    axes.grid(axis="x", alpha=0.4)
    axes.margins(y=0.15)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0, labelsize="small")


def _dice(runs: Sequence[Run]) -> list[float]:
    return [run["honest"]["dice"] for run in runs]


def _draw(run: Run) -> str:
    return kind_and_draw(run["split"])[1]
