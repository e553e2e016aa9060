"""Processes that share a round's steps: real ones, on the processor."""

from __future__ import annotations

import json
import os
import signal
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file

from napari_semimoe.core.errors import JobError
from napari_semimoe.core.settings import ModelSettings, RoundSettings
from napari_semimoe.jobs import teammate
from napari_semimoe.jobs.tasks import train_round
from napari_semimoe.training.learner import Learner
from napari_semimoe.training.team import even_parts, team_size
from tests.jobs.small_round import make_project, round_payload
from tests.model.encoder_files import resnet
from tests.patience import PATIENCE
from tests.training.making import Hearing, after_steps

CPU = torch.device("cpu")


@pytest.fixture
def started(monkeypatch):
    """The processes that a round starts to share its steps."""
    found = []

    def popen(*given, **options):
        found.append(_popen(*given, **options))
        return found[-1]

    _popen = teammate.subprocess.Popen
    monkeypatch.setattr(teammate.subprocess, "Popen", popen)
    return found


def train(folder, observer=None, about=None, **settings):
    if not folder.exists():
        make_project(folder)
    usual = {"max_steps": 6, "labelled_batch": 3, "unlabelled_batch": 2, "validate_every": 2}
    payload = round_payload(folder, **(usual | {"mixed_precision": False} | settings))
    return train_round(payload | (about or {}), observer or Hearing())


def losses(folder):
    lines = (folder / "rounds/1/log.jsonl").read_text().splitlines()
    return [json.loads(line)["losses"] for line in lines]


def difference(one, two):
    first, second = (load_file(each / "rounds/1/model.safetensors") for each in (one, two))
    assert first.keys() == second.keys()
    return max(float((first[key].float() - second[key].float()).abs().max()) for key in first)


def test_two_processes_learn_what_one_learns_from_the_joint_batch(tmp_path, started):
    alone, shared = tmp_path / "alone", tmp_path / "shared"
    train(alone, processes=1)
    assert started == []
    report = train(shared, processes=2)
    assert len(started) == 1
    assert started[0].poll() is not None
    assert report["steps"] == 6
    one, two = losses(alone), losses(shared)
    assert [set(each) for each in one] == [set(each) for each in two]
    for step, (first, second) in enumerate(zip(one, two, strict=True)):
        # rounding grows as the weights that it changes learn on
        assert second == pytest.approx(first, rel=1e-5 if step < 2 else 3e-3)
    assert report["validation"]["tiles"] == 1


def test_pretrained_encoder_stays_as_it_is_in_every_process(tmp_path, started):
    encoder = tmp_path / "resnet.safetensors"
    save_file(resnet(), encoder)
    model = ModelSettings.pretrained(width=4, um_per_px=1.0).model_dump(mode="json")
    about = {"base": str(encoder), "model": model}
    for name, processes in (("alone", 1), ("shared", 2)):
        train(tmp_path / name, about=about, max_steps=3, processes=processes)
    assert len(started) == 1
    for first, second in zip(*map(losses, (tmp_path / "alone", tmp_path / "shared")), strict=True):
        assert second == pytest.approx(first, rel=1e-3)
    state = load_file(tmp_path / "shared/rounds/1/model.safetensors")
    for name in ("conv1.weight", "layer4.0.bn2.running_var", "layer4.0.conv2.weight"):
        assert torch.equal(state[f"backbone.encoder.{name}"], resnet()[name])


def test_released_round_with_two_passes_a_step_is_shared_too(tmp_path):
    released = RoundSettings.paper(
        max_steps=3, crop_px=32, learning_rate=0.01, device="cpu", threads=1
    ).model_dump(mode="json")
    train(tmp_path / "alone", **released | {"processes": 1})
    train(tmp_path / "shared", **released | {"processes": 2})
    one, two = losses(tmp_path / "alone"), losses(tmp_path / "shared")
    for first, second in zip(one, two, strict=True):
        assert second == pytest.approx(first, rel=3e-4)


@pytest.mark.parametrize("ema_decay", [0.0, 0.99])
def test_network_is_fitted_and_scored_by_the_leader_alone(tmp_path, ema_decay):
    report = train(tmp_path / "p", processes=2, ema_decay=ema_decay, adapt=True, max_steps=4)
    assert report["validation"]["tiles"] == 1


def test_team_that_memory_makes_too_small_goes_on_alone(tmp_path, started, monkeypatch):
    step = Learner.step

    def short(self, labelled, unlabelled, number, steps, stage):
        if number == 3 and self.settings.labelled_batch == 2:
            raise MemoryError
        return step(self, labelled, unlabelled, number, steps, stage)

    monkeypatch.setattr(Learner, "step", short)
    report = train(tmp_path / "p", processes=2, labelled_batch=2, unlabelled_batch=0)
    assert (len(started), report["steps"]) == (1, 6)


def test_stopped_team_leaves_no_process_and_goes_on_to_the_same_numbers(tmp_path, started):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    train(whole, processes=2)
    report = train(cut, Hearing(after_steps(3)), processes=2)
    assert report["cancelled"]
    assert report["steps"] == 3
    assert all(process.poll() is not None for process in started)
    assert train(cut, processes=2)["steps"] == 6
    assert difference(whole, cut) < 1e-6


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="Windows has no kill -9")
def test_killed_teammate_is_said_and_the_round_goes_on_alone(tmp_path, started):
    def kill(hearing):
        if len(hearing.named("step")) == 3:
            os.kill(started[0].pid, signal.SIGKILL)
        return False

    folder = tmp_path / "project"
    with pytest.raises(JobError, match=r"1 of the processes .* \(exit code -9\).*1 process"):
        train(folder, Hearing(kill), processes=2)
    assert train(folder, processes=1)["steps"] == 6


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signal to a group")
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGINT"])
def test_teammate_leaves_the_answer_to_a_signal_to_its_leader(tmp_path, started, name):
    def signal_it(hearing):
        if len(hearing.named("step")) == 3:
            os.kill(started[0].pid, getattr(signal, name))
        return False

    assert train(tmp_path / "project", Hearing(signal_it), processes=2)["steps"] == 6


def test_teammate_ends_with_the_process_that_leads(tmp_path):
    folder = make_project(tmp_path / "project")
    process = teammate.start_teammate(round_payload(folder), 1, 2, tmp_path / "meeting")
    process.stdin.close()
    assert process.wait(PATIENCE) != 0


def test_every_process_has_a_crop_of_each_pass():
    settings = RoundSettings(labelled_batch=3, unlabelled_batch=2, processes=8)
    assert team_size(settings, CPU) == 3
    assert team_size(settings.changed(joint_forward=False), CPU) == 2
    assert team_size(settings.changed(processes=1), CPU) == 1
    assert even_parts(5, 2) == [3, 2]
    assert even_parts(2, 3) == [1, 1, 0]
