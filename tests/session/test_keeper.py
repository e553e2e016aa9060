"""A round that goes on after its window has closed, with real processes."""

from __future__ import annotations

import os
import re
import signal
import time

import pytest
import torch
from safetensors.torch import load_file

from napari_semimoe.core.errors import JobError
from napari_semimoe.core.settings import ModelSettings, RoundSettings
from napari_semimoe.core.states import JobState, RoundState
from napari_semimoe.data.synthetic import write_tiles
from napari_semimoe.jobs import ProcessEngine
from napari_semimoe.project.project import Project
from napari_semimoe.session import Session
from napari_semimoe.session.keeper import keep, note_kept
from tests.patience import PATIENCE

from .fake_engine import FakeEngine

TINY = ModelSettings(width=4, um_per_px=2.5)
ROUND = RoundSettings(
    max_steps=12, crop_px=32, pseudo_views=1, labelled_batch=2, unlabelled_batch=2, threads=1
)
LONG = ROUND.changed(max_steps=100_000, labelled_only=0.0)


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    engine = ProcessEngine(tmp_path_factory.mktemp("worker-logs"))
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def tissue(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tissue")
    write_tiles(folder, 4, seed=1, size=(100, 120))
    next(folder.glob("*_4_anno.png")).unlink()
    return folder


@pytest.fixture
def session(engine, tissue, tmp_path):
    session = Session(engine, author="Dr Test")
    session.new(tmp_path / "project")
    session.add_folder(tissue, um_per_px=0.62)
    yield session
    session.round_goes_on = False
    session.close()


def wait_for(condition, what):
    end = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < end, what
        time.sleep(0.05)
    return found


def pump_until(session, condition, what):
    def pumped():
        session.engine.wait(0.05)
        session.process()
        return condition()

    return wait_for(pumped, what)


def look(path, number=1):
    """Return the round as someone sees it who only reads the project."""
    with Project.open(path, read_only=True) as project:
        return project.round(number)


def keeper_pid(path):
    """Return the process that has the project, once it is not this one."""
    found = re.search(r"process (\d+)", (path / "lock-holder").read_text())
    pid = int(found[1])
    return pid if pid != os.getpid() and look(path).state is RoundState.RUNNING else None


def let_go(session, settings):
    """Close the project in the middle of a round that shall go on; return the steps it made."""
    steps = []
    session.round_progress.connect(steps.append)
    session.start_round(settings, model=TINY)
    pump_until(session, lambda: steps, "a step")
    path = session.project.path
    session.round_goes_on = True
    session.close()
    return path, steps[-1]["step"]


def test_round_goes_on_to_its_end_and_to_the_same_numbers(session, engine, tissue, tmp_path):
    path, _ = let_go(session, ROUND)
    ended = (RoundState.PROMOTED, RoundState.KEPT_BESIDE)
    wait_for(lambda: look(path).state in ended, "the end of the round")
    wait_for(lambda: not (path / "keeper-hand-over").exists(), "the keeper's end")
    session.open(path, take_over=True)
    assert session.running_round is None
    record = session.project.round(1)
    assert record.report["steps"] == 12

    session.round_goes_on = False
    session.new(tmp_path / "whole")
    session.add_folder(tissue, um_per_px=0.62)
    session.start_round(ROUND, model=TINY)
    assert session.wait_idle(PATIENCE)
    whole = load_file(session.project.path / session.project.round(1).weights)
    kept = load_file(path / record.weights)
    assert whole.keys() == kept.keys()
    assert all(torch.equal(whole[key], kept[key]) for key in whole)


def test_window_that_opens_the_project_takes_the_round_over(session):
    path, before = let_go(session, LONG)
    wait_for(lambda: keeper_pid(path), "the keeper")
    steps = []
    session.round_progress.connect(steps.append)
    session.round_goes_on = False
    session.open(path / "project.json", take_over=True)
    assert session.running_round == 1
    assert session.round_goes_on  # the wish holds when this window closes, too
    pump_until(session, lambda: steps, "a step here")
    assert steps[0]["step"] > before
    session.round_goes_on = False
    session.cancel_round()
    assert session.wait_idle(PATIENCE)
    assert session.project.round(1).state is RoundState.CANCELLED
    assert not (path / "keeper-hand-over").exists()


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="Windows has no kill -9")
def test_round_whose_keeper_was_killed_goes_on_in_the_window(session):
    path, _ = let_go(session, LONG)
    os.kill(wait_for(lambda: keeper_pid(path), "the keeper"), signal.SIGKILL)
    steps = []
    session.round_progress.connect(steps.append)
    session.open(path, take_over=True)
    pump_until(session, lambda: steps, "a step here")
    session.round_goes_on = False
    session.cancel_round()
    assert session.wait_idle(PATIENCE)


def test_round_that_died_without_its_window_is_told_when_it_opens_and_not_resumed(tissue, tmp_path):
    engine = FakeEngine(tmp_path)
    session = Session(engine)
    path = session.new(tmp_path / "project").path
    session.add_folder(tissue, um_per_px=0.62)
    session.start_round(ROUND, model=TINY)
    session.pause_round()
    session.process()
    note_kept(session.project, 1)
    session.close()

    def die(_):
        (job,) = engine.of_kind("train")
        engine.finish(job, JobState.INTERRUPTED, error="The process was killed.")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "wait", die)
        with pytest.raises(JobError, match="The process was killed"):
            keep(session, path, 1)
    failed = []
    session.failed.connect(failed.append)
    session.open(path, take_over=True)
    assert session.running_round is None
    assert failed == ["The process was killed."]
    assert look(path).state is RoundState.INTERRUPTED
    session.open(path, take_over=True)
    assert len(failed) == 1
    session.close()


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="Windows has no signal to a group")
def test_keeper_asked_to_end_with_its_child_pauses_the_round_and_the_window_goes_on(session):
    path, _ = let_go(session, LONG)
    keeper = wait_for(lambda: keeper_pid(path), "the keeper")
    log = path / "rounds" / "1" / "log.jsonl"
    before = log.stat().st_size
    wait_for(lambda: log.stat().st_size > before, "a step of the keeper's")
    os.killpg(keeper, signal.SIGTERM)
    wait_for(lambda: look(path).state is RoundState.INTERRUPTED, "the end of the keeper")
    assert look(path).note == ""
    session.open(path, take_over=True)
    assert session.running_round == 1
    session.round_goes_on = False
    session.cancel_round()
    assert session.wait_idle(PATIENCE)


@pytest.mark.parametrize(
    ("stop", "state"),
    [("pause_round", RoundState.INTERRUPTED), ("cancel_round", RoundState.CANCELLED)],
)
def test_round_that_was_stopped_just_before_closing_stays_stopped(session, stop, state):
    session.start_round(LONG, model=TINY)
    path = session.project.path
    session.round_goes_on = True
    getattr(session, stop)()
    session.close()
    assert look(path).state is state
    session.open(path, take_over=True)
    assert session.running_round is None
    assert not (path / "keeper.lock").exists()


def test_without_the_wish_closing_pauses_the_round_and_nobody_goes_on(session):
    session.start_round(LONG, model=TINY)
    path = session.project.path
    session.close()
    assert look(path).state is RoundState.INTERRUPTED
    assert not (path / "keeper.lock").exists()
    session.open(path, take_over=True)
    assert session.running_round is None
