"""How long a person waits: for the dock, the first prediction, the next tile, and for a click.

    python benchmarks/start_time.py [--out FILE.json] [--round-minutes 0.5] [--choosing 5]

Needs a display (``xvfb-run`` will do). Drawn tissue of 775 x 522 px is predicted by a network of
the default size; untrained weights cost the same time as trained ones.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

IMPORT = (
    "import time; t = time.perf_counter(); import napari_semimoe; print(time.perf_counter() - t)"
)
#: What is promised, in seconds.
LIMITS = {
    "import napari_semimoe": 0.2,
    "dock after napari's window": 2.0,
    "first prediction after opening a project": 10.0,
    "next tile": 1.0,
    "first step of a round": 10.0,
    "from cancel to idle": 2.0,
}


def main() -> int:
    """Measure everything and print one line for each figure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="write the figures as JSON, too")
    parser.add_argument("--round-minutes", type=float, default=0.5)
    parser.add_argument("--choosing", type=float, default=0.0, help="s until a project is opened")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        figures = measure_window(options.child, options.round_minutes, options.choosing)
        print(json.dumps(figures))
        return 0
    figures = {"import napari_semimoe": min(seconds_to_import() for _ in range(5))}
    with tempfile.TemporaryDirectory() as folder:
        project = make_project(Path(folder))
        figures |= measure_in_child(project, options.round_minutes, options.choosing)
    return tell(figures, options.out)


def seconds_to_import() -> float:
    """Import the package in a fresh interpreter."""
    done = subprocess.run(
        [sys.executable, "-c", IMPORT], capture_output=True, text=True, check=True
    )
    return float(done.stdout)


def make_project(folder: Path) -> Path:
    """Return a project of six tiles with a model and without any prediction."""
    from napari_semimoe.data.synthetic import write_tiles

    tissue, project = folder / "tissue", folder / "project"
    write_tiles(tissue, 8, seed=1)
    for number in range(3, 9):
        next(tissue.glob(f"*_{number}_anno.png")).unlink()
    semimoe = [sys.executable, "-m", "napari_semimoe.cli"]
    for command in (
        ["new", str(project)],
        ["add", str(project), str(tissue), "--um-per-px", "0.62"],
        ["train", str(project), "--steps", "2"],
    ):
        subprocess.run([*semimoe, *command], check=True, capture_output=True)
    return project


def measure_in_child(project: Path, minutes: float, choosing: float) -> dict[str, float]:
    """Measure the window in a fresh interpreter, with preferences of its own."""
    command = [sys.executable, __file__, "--child", str(project)]
    command += ["--round-minutes", str(minutes), "--choosing", str(choosing)]
    environment = os.environ | {"NAPARI_CONFIG": str(project.parent / "napari.yaml")}
    done = subprocess.run(
        command, env=environment, stdout=subprocess.PIPE, text=True, check=True, timeout=900
    )
    return json.loads(done.stdout.splitlines()[-1])


def measure_window(project: Path, minutes: float, choosing: float) -> dict[str, float]:
    """Work in a real window as a person does, with a clock."""
    import napari
    from qtpy.QtTest import QTest

    def wait(until: Callable[[], object], what: str, seconds: float = 120) -> float:
        start = time.perf_counter()
        while not until():
            QTest.qWait(5)
            if time.perf_counter() - start > seconds:
                raise TimeoutError(what)
        return time.perf_counter() - start

    viewer = napari.Viewer()
    QTest.qWait(1000)  # napari's own window is there and idle
    figures: dict[str, float] = {}
    start = time.perf_counter()
    viewer.window.add_plugin_dock_widget("napari-semimoe", "Predict")
    from napari_semimoe.gui.opening import panel_of  # not before: importing is part of it

    panel = panel_of(viewer)
    assert panel is not None, "the dock was opened"
    wait(panel.isVisible, "the dock")
    QTest.qWait(0)
    figures["dock after napari's window"] = time.perf_counter() - start

    bench, desk = panel.bench, panel.bench.desk
    QTest.qWait(int(1000 * choosing))
    pulse = Pulse()
    start = time.perf_counter()
    bench.open_project(project)
    wait(lambda: desk.view is not None and desk.view.prediction is not None, "a prediction")
    figures["first prediction after opening a project"] = time.perf_counter() - start
    QTest.qWait(1000)  # its first drawing, too
    gaps = {"at the first tile": pulse.worst()}

    tiles = []
    for _ in range(3):
        QTest.qWait(4000)  # a person looks at the tile; meanwhile the next ones are predicted
        before, start = desk.tile_id, time.perf_counter()
        desk.take_next()
        wait(lambda before=before: desk.tile_id != before, "the next tile")
        wait(lambda: desk.view.prediction is not None, "its prediction")
        tiles.append(time.perf_counter() - start)
    figures["next tile"] = max(tiles)

    gaps["at the next tiles"] = pulse.worst()
    gaps |= measure_round_gaps(panel, minutes, pulse, wait)
    figures |= {f"longest freeze {name}": gap for name, gap in gaps.items()}
    figures |= measure_cancel(panel, wait)
    viewer.close()
    QTest.qWait(100)
    return figures


class Pulse:
    """A 10 ms timer on the main thread; gaps between its ticks are freezes."""

    def __init__(self) -> None:
        from qtpy.QtCore import Qt, QTimer

        self._ticks: list[float] = []
        self._timer = QTimer()
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(lambda: self._ticks.append(time.perf_counter()))
        self._timer.start(10)

    def worst(self) -> float:
        """Return the longest gap since it was asked before."""
        longest = max(after - before for before, after in pairwise(self._ticks))
        del self._ticks[:-1]  # the gap that begins with the last one is told the next time
        return longest


def measure_round_gaps(
    panel: object, minutes: float, pulse: Pulse, wait: Callable[..., float]
) -> dict[str, float]:
    """Return the longest freeze at the page for rounds, at rest and during a round."""
    from qtpy.QtTest import QTest

    from napari_semimoe.gui.steps import Step

    panel.show_step(Step.RETRAIN)
    QTest.qWait(500)
    gaps = {"when the page for rounds is opened": pulse.worst()}
    QTest.qWait(3000)
    gaps["at rest"] = pulse.worst()
    bench = panel.bench
    panel.retrain_page.common.set_values({"budget_minutes": minutes})
    panel.retrain_page.start.click()
    wait(lambda: bench.session.running_round is not None, "the round")
    wait(lambda: bench.session.running_round is None, "the end of the round", 600)
    return gaps | {"during a round": pulse.worst()}


def measure_cancel(panel: object, wait: Callable[..., float]) -> dict[str, float]:
    """Start a round of the usual length and cancel it in its steps."""
    from qtpy.QtTest import QTest

    bench, page = panel.bench, panel.retrain_page
    page.common.set_values({"budget_minutes": 4.0})
    steps: list[object] = []
    bench.relay.round_progress.connect(steps.append)
    QTest.qWait(500)  # the plan is read anew
    wait(page.start.isEnabled, "the plan")
    start = time.perf_counter()
    page.start.click()
    wait(lambda: steps, "the first step")
    figures = {"first step of a round": time.perf_counter() - start}
    waits = []
    for seconds in (0.1, 0.7, 1.3, 1.9):  # wherever a step happens to be
        QTest.qWait(int(1000 * seconds))
        start = time.perf_counter()
        page.progress.cancel.click()
        wait(lambda: bench.session.running_round is None, "the end of the round")
        waits.append(time.perf_counter() - start)
        steps.clear()
        if len(waits) < 4:
            bench.background.run(
                lambda: bench.session.resume_round(bench.session.project.rounds()[-1].number)
            )
            wait(lambda: steps, "the resumed round")
    return figures | {"from cancel to idle": max(waits)}


def tell(figures: dict[str, float], out: Path | None) -> int:
    """Print the figures; the exit code says whether all promises are kept."""
    missed = False
    for name, seconds in figures.items():
        limit = LIMITS.get(name)
        late = limit is not None and seconds > limit
        missed = missed or late
        promise = f"   (promised {limit:g} s{', MISSED' if late else ''})" if limit else ""
        print(f"{name:42s} {seconds:7.3f} s{promise}")
    if out is not None:
        machine = {
            "python": platform.python_version(),
            "system": platform.platform(),
            "cores": os.cpu_count(),
        }
        rounded = {name: round(seconds, 4) for name, seconds in figures.items()}
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps({"machine": machine, "seconds": rounded}, indent=2) + "\n")
    return int(missed)


if __name__ == "__main__":
    raise SystemExit(main())
