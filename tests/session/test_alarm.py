from __future__ import annotations

import json

import pytest

from napari_semimoe.core.settings import RoundSettings
from napari_semimoe.core.states import RoundState
from napari_semimoe.session.alarm import alarms
from napari_semimoe.session.comparison import contest
from napari_semimoe.session.rounds import verdict
from napari_semimoe.session.step_log import read_gates

from .test_predictions import heard
from .test_rounds import finished_round, train_job

TASKS = ("segmentation", "distance", "boundary")
EVEN = (0.34, 0.33, 0.33)


def scores(found, true, dice=0.9):
    return {"tiles": 1, "dice": dice, "foreground": found, "true_foreground": true}


def gates(segmentation=EVEN, distance=EVEN, boundary=EVEN):
    rows = zip(TASKS, (segmentation, distance, boundary), strict=True)
    return {
        f"{task}<-{expert}": share
        for task, shares in rows
        for expert, share in zip(TASKS, shares, strict=True)
    }


@pytest.mark.parametrize(
    ("found", "true", "words"),
    [
        (0.002, 0.31, "finds almost nothing on the validation tiles (0.2 % of their pixels, 31.0"),
        (1.0, 0.31, "marks almost all of the validation tiles (100.0 % of their pixels, 31.0"),
        (0.0, 1.0, "finds almost nothing"),
    ],
)
def test_collapsed_foreground_is_told_with_its_numbers(found, true, words):
    (sentence,) = alarms({"validation": scores(found, true)})
    assert words in sentence


@pytest.mark.parametrize(
    ("found", "true"), [(0.3, 0.31), (0.0, 0.0), (0.005, 0.02), (1.0, 1.0), (0.02, 0.3), (None, 1)]
)
def test_share_of_foreground_that_may_be_true_is_no_alarm(found, true):
    assert alarms({"validation": scores(found, true)}) == ()


def test_base_that_had_collapsed_already_is_not_held_against_the_round():
    report = {"validation": scores(0.001, 0.3), "base_validation": scores(0.0, 0.3)}
    assert alarms(report) == ()
    report["base_validation"] = scores(1.0, 0.3)
    assert len(alarms(report)) == 1


def test_answer_that_listens_to_one_expert_alone_is_told():
    stuck = {"first": gates(), "last": gates(segmentation=(0.005, 0.99, 0.005))}
    assert alarms({"gates": stuck}) == (
        "The segmentation answer listens to the distance expert alone.",
    )
    almost = {"first": gates(), "last": gates(segmentation=(0.01, 0.98, 0.01))}
    assert alarms({"gates": almost}) == ()


def test_boundary_answer_may_listen_to_its_own_expert_alone_but_to_no_other():
    own = {"first": gates(), "last": gates(boundary=(0.0, 0.0, 1.0))}
    assert alarms({"gates": own}) == ()
    other = {"first": gates(), "last": gates(boundary=(1.0, 0.0, 0.0))}
    assert "boundary answer listens to the segmentation expert" in alarms({"gates": other})[0]


def test_expert_that_no_answer_listens_to_is_told():
    away = (0.5, 0.01, 0.49)
    assert alarms({"gates": {"first": gates(), "last": gates(away, away, away)}}) == (
        "No answer listens to the distance expert any more.",
    )


def test_gates_that_were_so_when_the_round_began_raise_no_alarm():
    stuck = gates(segmentation=(0.0, 1.0, 0.0))
    assert alarms({"gates": {"first": stuck, "last": stuck}}) == ()


def test_network_with_one_expert_raises_no_alarm():
    one = {"segmentation<-segmentation": 1.0}
    assert alarms({"gates": {"first": one, "last": one}}) == ()
    assert alarms({"gates": {"last": one}}) == ()


def test_report_without_these_numbers_raises_no_alarm():
    assert alarms({}) == alarms({"validation": None, "gates": {}}) == ()
    assert alarms({"validation": {"tiles": 1, "dice": 0.0}}) == ()


def write_log(folder, steps, *, tail=""):
    folder.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps({"event": "step", "gates": each}) for each in steps]
    (folder / "log.jsonl").write_text("\n".join(lines) + "\n" + tail)


def test_gates_of_the_first_and_last_ten_steps_are_averaged(tmp_path):
    shares = [0.0] * 5 + [1.0] * 5 + [0.3] * 7 + [0.2] * 10
    write_log(tmp_path, [{"a<-b": share} for share in shares], tail='{"event": "st')
    read = read_gates(tmp_path)
    assert read["first"] == {"a<-b": 0.5}
    assert read["last"] == {"a<-b": pytest.approx(0.2)}


def test_a_damaged_byte_costs_its_line_only(tmp_path):
    write_log(tmp_path, [{"a<-b": 0.5}] * 2)
    path = tmp_path / "log.jsonl"
    path.write_bytes(path.read_bytes() + b'{"gates": {"a<-b": \x80}}\n')
    assert read_gates(tmp_path)["last"] == {"a<-b": 0.5}


@pytest.mark.parametrize("text", [None, "", "[]\n{}\n3\n"])
def test_round_without_steps_has_no_gates(tmp_path, text):
    if text is not None:
        (tmp_path / "log.jsonl").write_text(text)
    assert read_gates(tmp_path) == {}


def end_round(session, engine, steps):
    number = session.start_round(RoundSettings())
    folder = session.project.round_folder(number)
    write_log(folder, steps)
    engine.train(train_job(engine), new=0.9, old=0.5)
    session.process()
    return session.project.round(number)


def test_collapsed_round_is_kept_beside_with_a_note_although_its_dice_is_higher(
    starter, filled, engine
):
    name = filled.model_name
    ended = heard(filled.round_finished)
    steps = [gates(), *[gates(segmentation=(0.0, 0.0, 1.0))] * 12]
    record = end_round(filled, engine, [*[gates()] * 10, *steps])
    assert record.state is RoundState.KEPT_BESIDE
    assert record.note == (
        "The segmentation answer listens to the boundary expert alone. Its model was not put in "
        "charge; look at what it predicts before you choose it yourself."
    )
    assert record.report["gates"]["last"]["segmentation<-boundary"] == pytest.approx(1)
    assert ended[0][0] == record
    assert filled.model_name == name
    filled.promote(record.number)
    assert filled.model_name == "round 1"


def test_sound_round_keeps_its_gates_and_has_no_note(starter, filled, engine):
    record = end_round(filled, engine, [gates()] * 3)
    assert (record.state, record.note) == (RoundState.PROMOTED, "")
    assert record.report["gates"]["first"] == pytest.approx(gates())


def test_only_model_predicts_although_it_collapsed_and_the_note_says_so(no_starter, filled, engine):
    steps = [*[gates()] * 10, *[gates(segmentation=(0.0, 0.0, 1.0))] * 10]
    record = end_round(filled, engine, steps)
    assert record.state is RoundState.PROMOTED
    assert record.note.endswith("Its model predicts all the same, because there is no other yet.")
    report = {"validation": scores(0.0, 0.5)}
    judged = contest(filled.project, record, report, None)
    assert verdict(report, judged) is RoundState.KEPT_BESIDE
    assert verdict(report, judged, is_only=True) is RoundState.PROMOTED
    assert finished_round(filled, engine).note == ""
