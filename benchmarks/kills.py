"""Kill processes at random moments while a person works, and count what is lost: nothing may be.

    python -m benchmarks.kills [--tries 50] [--seed 0] [--out FILE.json]

Every try opens the project in a process of its own, which accepts masks, asks for predictions and
trains a small round. SIGKILL then ends the training process, the prediction process, or the
process that holds the session with its project. The project is opened again and checked; the
next try resumes the round. The last round is resumed to its end and compared, bit for bit, with
one that was never interrupted.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import queue
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_semimoe.core.settings import ModelSettings, PredictSettings, RoundSettings
from napari_semimoe.core.states import RoundState
from napari_semimoe.jobs import ProcessEngine
from napari_semimoe.project.project import Project
from napari_semimoe.session import Session

VICTIMS = ("train", "predict", "session")
SIZE = (96, 128)
NETWORK = ModelSettings(width=4, um_per_px=1.25)
ROUND = RoundSettings(
    max_steps=24,
    stages=2,
    crop_px=32,
    labelled_batch=2,
    unlabelled_batch=2,
    pseudo_views=2,
    validate_every=4,
    threads=1,
    device="cpu",
)
_PATIENCE = 120.0


@dataclass(frozen=True, slots=True)
class Try:
    """One kill and what was found afterwards."""

    number: int
    victim: str
    seconds: float  # from the first accepted mask to the kill
    accepted: int  # masks that were reported as stored in this try
    round_state: str
    faults: tuple[str, ...]


def main(arguments: Sequence[str] | None = None) -> int:
    """Kill, check, print a table; 1 if anything was lost."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tries", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--longest", type=float, default=3.0, help="seconds before a kill")
    parser.add_argument("--out", type=Path, help="write the tries as JSON, too")
    parser.add_argument("--hold", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.hold:
        return hold(options.hold, options.seed)
    with tempfile.TemporaryDirectory() as folder:
        tries, equal = kill_often(Path(folder), options.tries, options.seed, options.longest)
    return tell(tries, equal, options.out)


def kill_often(folder: Path, count: int, seed: int, longest: float) -> tuple[list[Try], bool]:
    """Return every try, and whether the resumed round equals the uninterrupted one."""
    project = make_project(folder)
    chance = random.Random(seed)
    stored: dict[int, int] = {}
    tries = []
    for number in range(1, count + 1):
        victim = VICTIMS[(number - 1) % len(VICTIMS)]
        seconds = chance.uniform(0, longest)
        said = work_until_killed(project, victim, 10_000 * number, seconds)
        stored |= said
        state, faults = check(project, stored)
        tries.append(Try(number, victim, seconds, len(said), state, tuple(faults)))
        print(_line(tries[-1]), flush=True)
    return tries, resumed_equals_uninterrupted(project, folder)


def make_project(folder: Path) -> Path:
    """Return a project of small drawn tiles, three of six with a mask."""
    from napari_semimoe.data.synthetic import write_tiles

    write_tiles(folder / "tissue", 6, seed=1, size=SIZE)
    for number in (4, 5, 6):
        next((folder / "tissue").glob(f"*_{number}_anno.png")).unlink()
    with Project.create(folder / "project", author="Dr Test") as project:
        project.add_folder(folder / "tissue", um_per_px=0.62)
        return project.path


# -- the process that works ---------------------------------------------------------------------


def mask_of(seed: int) -> NDArray[np.uint16]:
    """Return the mask ``(H, W)`` that belongs to a seed."""
    return np.random.default_rng(seed).integers(0, 50, SIZE).astype(np.uint16)


def hold(path: Path, seed: int) -> int:
    """Work on the project until killed or until the input ends; say what was stored."""
    engine = ProcessEngine(path.parent / "logs")
    session = Session(engine, author="Dr Test")
    session.open(path)
    told = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), told.set()), daemon=True).start()
    tiles = [tile.id for tile in session.tiles()]
    predict_anew(session)
    train(session)
    session.select(tiles[0])
    while not told.is_set():
        tile = tiles[seed % len(tiles)]
        record = session.accept(tile, mask_of(seed))
        session.request_prediction(tile)
        say(accepted=record.id, seed=seed, pids=engine.pids)
        seed += 1
        engine.wait(0.05)
        session.process()
        if session.running_round is None:
            predict_anew(session)
            train(session)
    session.close()
    engine.close()
    return 0


def predict_anew(session: Session) -> None:
    """Let every prediction count as outdated, so that there is something to predict."""
    for flips in (True, False):
        session.set_predict_settings(PredictSettings(flips=flips))


def train(session: Session) -> None:
    """Resume the round that was interrupted last, or start one."""
    assert session.project is not None, "the project was opened"
    rounds = session.project.rounds()
    if rounds and rounds[-1].state is RoundState.INTERRUPTED:
        session.resume_round(rounds[-1].number)
    else:
        session.start_round(ROUND, model=NETWORK)


def say(**values: Any) -> None:
    """Tell the killing process something, at once."""
    print(json.dumps(values), flush=True)


# -- the process that kills ---------------------------------------------------------------------


def work_until_killed(project: Path, victim: str, seed: int, seconds: float) -> dict[int, int]:
    """Let a process work, kill, and return what was said to be stored: seed by annotation id."""
    command = [sys.executable, "-m", "benchmarks.kills", "--hold", str(project)]
    process = subprocess.Popen(
        [*command, "--seed", str(seed)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    heard: queue.Queue[dict[str, Any] | None] = queue.Queue()
    threading.Thread(target=_listen, args=(process, heard), daemon=True).start()
    said = [_next(heard, process)]
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0 or not _pid(said[-1], victim, process):
        try:
            said.append(_next(heard, process, max(left, 0.5)))
        except queue.Empty:
            continue
    os.kill(_pid(said[-1], victim, process), signal.SIGKILL)
    assert process.stdin is not None, "it was asked for"
    process.stdin.close()
    code = process.wait(_PATIENCE)
    while (message := heard.get(timeout=_PATIENCE)) is not None:
        said.append(message)
    if victim != "session" and code != 0:
        raise RuntimeError(f"The session ended with {code} after the {victim} process was killed.")
    return {message["accepted"]: message["seed"] for message in said}


def _listen(process: subprocess.Popen[str], heard: queue.Queue[dict[str, Any] | None]) -> None:
    assert process.stdout is not None, "it was asked for"
    with process.stdout as lines:
        for line in lines:
            if line.endswith("\n"):  # a half line: the process was killed while saying it
                heard.put(json.loads(line))
    heard.put(None)


def _next(
    heard: queue.Queue[dict[str, Any] | None],
    process: subprocess.Popen[str],
    timeout: float = _PATIENCE,
) -> dict[str, Any]:
    message = heard.get(timeout=timeout)
    if message is None:
        raise RuntimeError(f"The session ended by itself, exit code {process.wait()}.")
    return message


def _pid(message: dict[str, Any], victim: str, process: subprocess.Popen[str]) -> int:
    """Return the victim's process id; 0 when it is not there yet."""
    return process.pid if victim == "session" else message["pids"].get(victim, 0)


# -- what must be true after every kill ---------------------------------------------------------


def check(path: Path, stored: dict[int, int]) -> tuple[str, list[str]]:
    """Open the project; return the last round's state and one sentence for each fault."""
    with Project.open(path) as project:
        faults = [*_lost_masks(project, stored), *_bad_weights(project)]
        rounds = project.rounds()
    running = [record.number for record in rounds if record.state is RoundState.RUNNING]
    faults += [f"Round {number} still counts as running." for number in running]
    failed = [record for record in rounds if record.state is RoundState.FAILED]
    faults += [f"Round {record.number} failed: {record.note}" for record in failed]
    return str(rounds[-1].state) if rounds else "none", faults


def _lost_masks(project: Project, stored: dict[int, int]) -> list[str]:
    faults = []
    for annotation_id, seed in stored.items():
        try:
            same = np.array_equal(project.read_annotation(annotation_id), mask_of(seed))
        except Exception as error:  # whatever it is, it is the fault that is looked for
            faults.append(f"Mask {annotation_id} cannot be read: {error}")
            continue
        if not same:
            faults.append(f"Mask {annotation_id} is not what was accepted.")
    return faults


def _bad_weights(project: Project) -> list[str]:
    from napari_semimoe.model.checkpoint import load_checkpoint

    faults = []
    for record in project.rounds():
        if record.weights is None:
            continue
        try:
            load_checkpoint(project.path / record.weights)
        except Exception as error:  # whatever it is, it is the fault that is looked for
            faults.append(f"The weights of round {record.number} cannot be loaded: {error}")
    return faults


def resumed_equals_uninterrupted(path: Path, folder: Path) -> bool:
    """Interrupt one more round, resume it to its end, and compare it with an unbroken one."""
    work_until_killed(path, "train", 10_000_000, 1.0)
    engine = ProcessEngine(folder / "logs")
    try:
        session = Session(engine, author="Dr Test")
        project = session.open(path)
        train(session)
        number = project.rounds()[-1].number
        if not session.wait_idle(_PATIENCE):
            raise TimeoutError(f"Round {number} did not end within {_PATIENCE:.0f} s.")
        resumed = project.round_folder(number)
        whole = _train_whole(engine, resumed / "manifest.json", folder / "whole")
        session.close()
    finally:
        engine.close()
    return _digest(resumed) == _digest(whole)


def _train_whole(engine: ProcessEngine, manifest: Path, out: Path) -> Path:
    payload = {
        "manifest": manifest,
        "out_dir": out,
        "settings": ROUND.model_dump(mode="json"),
        "model": NETWORK.model_dump(mode="json"),
        "base": None,
    }
    job = engine.submit("train", payload)
    while not engine.status(job).state.is_final:
        engine.wait(1.0)
        engine.poll()
    return out


def _digest(folder: Path) -> str:
    from safetensors.numpy import load_file

    digest = hashlib.sha256()
    for name, values in sorted(load_file(folder / "model.safetensors").items()):
        digest.update(name.encode() + values.tobytes())
    return digest.hexdigest()


# -- the table ----------------------------------------------------------------------------------


def _line(one: Try) -> str:
    faults = " ".join(one.faults) or "nothing lost"
    return (
        f"{one.number:3d}  {one.victim:8s} {one.seconds:6.2f} s  {one.accepted:4d} accepted  "
        f"{one.round_state:12s} {faults}"
    )


def tell(tries: Sequence[Try], equal: bool, out: Path | None) -> int:
    """Print the sums; the exit code says whether everything held."""
    faulty = sum(bool(one.faults) for one in tries)
    victims = Counter(one.victim for one in tries)
    print(f"{len(tries)} kills ({', '.join(f'{n} {name}' for name, n in victims.items())})")
    print(f"{sum(one.accepted for one in tries)} masks accepted, {faulty} tries with a fault")
    print(f"resumed round {'equals' if equal else 'DIFFERS FROM'} the uninterrupted one")
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        values = {"resumed_equals_uninterrupted": equal, "tries": [asdict(one) for one in tries]}
        out.write_text(json.dumps(values, indent=1) + "\n")
    return int(faulty > 0 or not equal)


if __name__ == "__main__":
    raise SystemExit(main())
