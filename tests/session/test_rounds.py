from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from napari_semimoe.core.errors import ProjectError, ProjectFormatError, StorageError
from napari_semimoe.core.settings import ModelSettings, RoundSettings
from napari_semimoe.core.states import JobState, RoundState
from napari_semimoe.session.comparison import contest
from napari_semimoe.session.rounds import verdict
from tests.header_only import write_weights

from .test_predictions import heard, ids, select


def train_job(engine):
    (job,) = engine.of_kind("train")
    return job


def finished_round(session, engine, **scores):
    number = session.start_round(RoundSettings())
    engine.train(train_job(engine), **scores)
    session.process()
    return session.project.round(number)


def test_first_round_starts_from_nothing_without_weights(no_starter, filled, engine):
    number = filled.start_round(RoundSettings(max_steps=3))
    payload = train_job(engine).payload
    assert number == filled.running_round == 1
    assert payload["base"] is None
    assert payload["settings"]["max_steps"] == 3
    assert payload["model"]["classes"] == ["background", "gland"]
    assert RoundSettings.parse(filled.project.round(1).settings).max_steps == 3


def test_round_starts_from_the_starter_where_there_is_one(starter, filled, engine):
    filled.start_round(RoundSettings())
    assert train_job(engine).payload["base"] == str(starter)
    assert str(starter.parent) not in (filled.project.round(1).base or "")


def test_next_round_starts_from_the_promoted_one(no_starter, filled, engine):
    finished_round(filled, engine)
    filled.start_round(RoundSettings())
    weights = filled.project.path / "rounds" / "1" / "model.safetensors"
    assert train_job(engine).payload["base"] == str(weights)


def test_network_named_by_the_person_is_built_from_nothing(starter, filled, engine):
    filled.start_round(RoundSettings(), model=ModelSettings(width=8))
    assert train_job(engine).payload["base"] is None
    assert train_job(engine).payload["model"]["width"] == 8


def test_starter_that_does_not_know_all_classes_is_no_base(
    starter, session, tmp_path, images, engine
):
    session.new(tmp_path / "three", ["background", "gland", "vessel"])
    session.add_folder(images, um_per_px=1.0)
    session.start_round(RoundSettings())
    assert train_job(engine).payload["base"] is None
    assert len(train_job(engine).payload["model"]["classes"]) == 3


def test_reports_of_the_round_reach_the_listeners(no_starter, filled, engine):
    steps, stages = heard(filled.round_progress), heard(filled.round_stage)
    scores = heard(filled.round_validation)
    filled.start_round(RoundSettings())
    job = train_job(engine)
    engine.say(job, "stage", {"stage": 1, "stages": 2, "text": "Making pseudo-labels"})
    engine.say(job, "step", {"step": 1, "steps": 2})
    engine.say(job, "validation", {"step": 1, "dice": 0.5})
    filled.process()
    assert steps == [({"step": 1, "steps": 2},)]
    assert stages[0][0]["text"] == "Making pseudo-labels"
    assert scores[0][0]["dice"] == 0.5


@pytest.mark.parametrize(
    ("new", "old", "state"),
    [
        (None, None, RoundState.PROMOTED),
        (0.8, None, RoundState.PROMOTED),
        (0.8, 0.7, RoundState.PROMOTED),
        (0.7, 0.7, RoundState.PROMOTED),
        (0.69, 0.7, RoundState.KEPT_BESIDE),
    ],
)
def test_model_takes_over_unless_the_one_before_is_better(
    no_starter, filled, engine, new, old, state
):
    ended = heard(filled.round_finished)
    record = finished_round(filled, engine, new=new, old=old)
    assert record.state is state
    assert ended == [(record,)]
    assert (filled.weights is not None) is (state is RoundState.PROMOTED)


@pytest.mark.parametrize(
    ("classes", "state"),
    [
        (("background", "tumour"), RoundState.KEPT_BESIDE),
        (("background", "gland", "vessel"), RoundState.PROMOTED),
    ],
)
def test_a_collapse_counts_only_where_the_model_in_charge_knows_the_classes(
    starter, session, tmp_path, images, engine, classes, state
):
    session.new(tmp_path / "project", classes)
    session.add_folder(images, um_per_px=1.0)
    session.start_round(RoundSettings())
    job = train_job(engine)
    weights = write_weights(Path(job.payload["out_dir"]) / "model.safetensors", classes)
    scores = {"tiles": 1, "dice": 0.9, "foreground": 1.0, "true_foreground": 0.5}
    result = {"weights": str(weights), "cancelled": False, "validation": scores}
    engine.finish(job, JobState.DONE, result=result)
    session.process()
    assert session.project.round(1).state is state
    assert "marks almost all" in session.project.round(1).note


def test_an_end_that_the_disk_refused_is_stored_before_the_next_round(
    no_starter, filled, engine, monkeypatch
):
    ended, failures = heard(filled.round_finished), heard(filled.failed)

    def full(*_, **__):
        raise StorageError("The disk is full.")

    with monkeypatch.context() as patch:
        patch.setattr(filled.project, "finish_round", full)
        number = filled.start_round(RoundSettings())
        engine.train(train_job(engine))
        filled.process()
        assert filled.running_round is None
        with pytest.raises(StorageError):
            filled.start_round(RoundSettings())
    assert failures == [("The disk is full.",)]
    assert ended == []
    assert filled.start_round(RoundSettings()) == number + 1
    assert [record.state for (record,) in ended] == [RoundState.PROMOTED]
    assert filled.model_name == f"round {number}"


def test_an_end_that_was_refused_is_forgotten_with_its_project(
    no_starter, filled, engine, monkeypatch
):
    def full(*_, **__):
        raise StorageError("The disk is full.")

    path = filled.project.path
    monkeypatch.setattr(filled.project, "finish_round", full)
    filled.start_round(RoundSettings())
    engine.train(train_job(engine))
    filled.process()
    filled.open(path)
    assert filled.project.round(1).state is RoundState.INTERRUPTED


def test_an_end_that_is_refused_while_closing_does_not_follow_into_the_next_project(
    no_starter, filled, engine, monkeypatch, tmp_path, images
):
    def full(*_, **__):
        raise StorageError("The disk is full.")

    monkeypatch.setattr(filled.project, "finish_round", full)
    filled.start_round(RoundSettings())
    job = train_job(engine)
    leave = filled._rounds.leave

    def ends_at_the_last_moment(seconds):
        engine.train(job)
        return leave(seconds)

    with monkeypatch.context() as patch:
        patch.setattr(filled._rounds, "leave", ends_at_the_last_moment)
        filled.new(tmp_path / "other")
    filled.add_folder(images, um_per_px=1.0)
    assert filled.start_round(RoundSettings()) == 1


def test_scores_on_no_tile_do_not_keep_a_model_back(no_starter, filled, engine):
    empty = {"tiles": 0, "dice": 0.0}
    report = {"validation": empty, "base_validation": empty | {"dice": 1.0}}
    judged = contest(filled.project, finished_round(filled, engine), report, None)
    assert verdict(report, judged) == "promoted"


def test_promoted_model_predicts_the_tile_on_the_screen_again(no_starter, filled, engine):
    select(filled, "tile_3")
    changed = heard(filled.weights_changed)
    finished_round(filled, engine)
    assert changed == [()]
    assert filled.model_name == "round 1"
    assert engine.tiles_asked == ["tile_3", "tile_4", "tile_5", "tile_6"]


def test_model_kept_beside_changes_nothing_but_can_be_promoted(no_starter, filled, engine):
    finished_round(filled, engine)
    finished_round(filled, engine, new=0.1, old=0.9)
    assert filled.model_name == "round 1"
    filled.promote(2)
    assert filled.model_name == "round 2"
    filled.promote(1)
    assert filled.model_name == "round 1"


def test_cancelled_round_ends_as_cancelled_and_can_go_on(no_starter, filled, engine):
    ended = heard(filled.round_finished)
    filled.start_round(RoundSettings())
    first = train_job(engine).payload
    filled.cancel_round()
    filled.process()
    assert ended[0][0].state is RoundState.CANCELLED
    assert filled.running_round is None
    filled.resume_round(1)
    assert train_job(engine).payload == first
    assert filled.project.round(1).state is RoundState.RUNNING


def test_round_that_finished_before_the_cancel_arrived_is_kept(no_starter, filled, engine):
    engine.stops_when_asked = False
    filled.start_round(RoundSettings())
    job = train_job(engine)
    engine.start(job)
    filled.cancel_round()
    weights = filled.project.path / "rounds" / "1" / "model.safetensors"
    weights.write_bytes(b"weights")
    result = {"weights": str(weights), "cancelled": False, "validation": None}
    engine.finish(job, JobState.CANCELLED, result=result)
    filled.process()
    assert filled.project.round(1).state is RoundState.PROMOTED


def test_killed_round_is_interrupted_says_why_and_can_be_resumed(no_starter, filled, engine):
    failed = heard(filled.failed)
    filled.start_round(RoundSettings())
    log = filled.project.path / "logs" / "it.log"
    engine.finish(
        train_job(engine), JobState.INTERRUPTED, error="The process was killed.", log=str(log)
    )
    filled.process()
    record = filled.project.round(1)
    assert record.state is RoundState.INTERRUPTED
    assert record.note == "The process was killed. Log: logs/it.log in the project"
    assert failed == [(record.note,)]
    filled.resume_round(1)
    assert filled.running_round == 1


def test_failed_round_leaves_the_model_in_charge(starter, filled, engine):
    name = filled.model_name
    filled.start_round(RoundSettings())
    engine.finish(train_job(engine), JobState.FAILED, error="Broken.")
    filled.process()
    assert filled.project.round(1).state is RoundState.FAILED
    assert filled.model_name == name


def test_finished_round_cannot_be_resumed(no_starter, filled, engine):
    finished_round(filled, engine)
    with pytest.raises(ProjectError, match="cannot go on"):
        filled.resume_round(1)


def test_second_round_is_refused_while_one_runs(no_starter, filled, engine):
    filled.start_round(RoundSettings())
    with pytest.raises(ProjectError, match="Round 1 is still running"):
        filled.start_round(RoundSettings())
    assert len(engine.of_kind("train")) == 1


def test_round_without_any_mask_is_refused_in_words(no_starter, session, tmp_path, images):
    for mask in images.glob("*_anno.png"):
        mask.unlink()
    session.new(tmp_path / "bare")
    session.add_folder(images, um_per_px=1.0)
    with pytest.raises(ProjectError, match="Correct a tile and accept it first"):
        session.start_round(RoundSettings())
    assert session.project.rounds() == []


@pytest.mark.parametrize("stops_when_asked", [True, False])
def test_closing_interrupts_the_round_so_that_it_can_be_resumed(
    no_starter, filled, engine, stops_when_asked, monkeypatch
):
    monkeypatch.setattr("napari_semimoe.session.session._CLOSING_SECONDS", 0.1)
    engine.stops_when_asked = stops_when_asked
    path = filled.project.path
    filled.start_round(RoundSettings())
    job = train_job(engine)
    engine.start(job)
    filled.close()
    assert bool(engine.forced) is not stops_when_asked
    filled.open(path)
    assert filled.project.round(1).state is RoundState.INTERRUPTED
    filled.resume_round(1)
    assert filled.running_round == 1


def test_closing_ends_also_where_the_end_of_the_round_is_never_told(
    no_starter, filled, engine, monkeypatch
):
    monkeypatch.setattr("napari_semimoe.session.session._CLOSING_SECONDS", 0.05)
    monkeypatch.setattr("napari_semimoe.session.rounds._FORCED_SECONDS", 0.05)
    path = filled.project.path
    filled.start_round(RoundSettings())
    with monkeypatch.context() as patch:
        patch.setattr(engine, "cancel", lambda job_id, *, force=False: None)
        filled.close()
    filled.open(path)
    assert filled.running_round is None
    assert filled.project.round(1).state is RoundState.INTERRUPTED


def test_failure_about_a_name_that_is_no_text_is_written_down(no_starter, filled, engine):
    filled.start_round(RoundSettings())
    engine.finish(train_job(engine), JobState.FAILED, error="scan\udcff.png is gone.")
    filled.process()
    assert filled.project.round(1).note == "scan\\udcff.png is gone."


def test_round_that_cannot_begin_is_written_down_as_failed_and_the_next_can(
    no_starter, filled, engine, monkeypatch
):
    def full(_):
        raise StorageError("The disk is full.")

    with monkeypatch.context() as patch:
        patch.setattr("napari_semimoe.session.rounds.note_start", full)
        with pytest.raises(StorageError, match="full"):
            filled.start_round(RoundSettings())
    record = filled.project.round(1)
    assert (record.state, record.note) == (RoundState.FAILED, "The disk is full.")
    assert filled.start_round(RoundSettings()) == 2


def test_round_that_cannot_go_on_is_written_down_as_failed_and_can_be_resumed_later(
    no_starter, filled, engine, monkeypatch
):
    def gone(*_, **__):
        raise StorageError("The queue is gone.")

    filled.start_round(RoundSettings())
    filled.cancel_round()
    filled.process()
    with monkeypatch.context() as patch:
        patch.setattr(engine, "submit", gone)
        with pytest.raises(StorageError, match="gone"):
            filled.resume_round(1)
    record = filled.project.round(1)
    assert (record.state, record.note) == (RoundState.FAILED, "The queue is gone.")
    filled.resume_round(1)
    assert filled.running_round == 1


def test_round_interrupted_before_its_work_was_handed_on_is_interrupted(
    no_starter, filled, engine, monkeypatch
):
    def ctrl_c(_):
        raise KeyboardInterrupt

    monkeypatch.setattr("napari_semimoe.session.rounds.note_start", ctrl_c)
    with pytest.raises(KeyboardInterrupt):
        filled.start_round(RoundSettings())
    assert filled.project.round(1).state is RoundState.INTERRUPTED


def test_round_whose_program_died_is_interrupted_when_opened(no_starter, filled, engine):
    filled.start_round(RoundSettings())
    path = filled.project.path
    filled.project.close()  # as if the program had died: nobody wrote down an end
    filled.project = None
    filled._rounds._running = None
    filled.open(path)
    assert filled.project.round(1).state is RoundState.INTERRUPTED


def test_round_of_an_earlier_version_goes_on_with_the_network_it_had(no_starter, filled, engine):
    filled.start_round(RoundSettings(), model=ModelSettings(width=8))
    path, folder = filled.project.path, filled.project.round_folder(1)
    filled.close()
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest.pop("network")["width"] == 8  # written before the row that makes the round
    (folder / "manifest.json").write_text(json.dumps(manifest))
    (folder / "network.json").write_text(ModelSettings(width=12).model_dump_json())
    filled.open(path)
    filled.resume_round(1)
    assert train_job(engine).payload["model"]["width"] == 12
    filled.close()
    (folder / "network.json").unlink()
    filled.open(path)
    with pytest.raises(ProjectFormatError, match=r"network in .* is missing or damaged"):
        filled.resume_round(1)
    assert filled.project.round(1).state is RoundState.INTERRUPTED


def test_moved_project_goes_on_with_the_tiles_and_base_it_has_now(
    no_starter, filled, engine, tmp_path
):
    finished_round(filled, engine)
    filled.start_round(RoundSettings())
    path = filled.project.path
    filled.close()
    moved = path.rename(tmp_path / "elsewhere")
    filled.open(moved)
    filled.resume_round(2)
    payload = train_job(engine).payload
    assert payload["base"] == str(moved / "rounds" / "1" / "model.safetensors")
    assert payload["out_dir"] == str(moved / "rounds" / "2")


def test_plan_says_what_the_round_would_do(no_starter, filled, engine):
    plan = filled.round_plan(RoundSettings(budget_minutes=4))
    assert plan.sentence == (
        "Round 1: from nothing, 2 labelled tiles + 8 unlabelled, about 4 min. "
        "No tile checks it: its model takes over unless it has collapsed"
    )
    plan = filled.round_plan(RoundSettings(budget_minutes=4, max_steps=30))
    assert "8 unlabelled, 30 steps. No" in plan.sentence  # however long they take
    finished_round(filled, engine)
    select(filled, "tile_3")
    engine.predict_everything()
    filled.process()
    mask = np.ones((40, 56), np.uint16)
    filled.accept(filled.current_tile, mask)
    pools = {tile.name: tile.pool for tile in filled.tiles()}
    plan = filled.round_plan(RoundSettings(budget_minutes=0.5))
    assert pools["tile_3"] == "curated"
    assert plan.sentence == (
        "Round 2: from round 1, 3 labelled tiles (1 new) + 7 unlabelled, about 30 s on CPU. "
        "No tile checks it: its model takes over unless it has collapsed"
    )


def test_plan_counts_a_corrected_mask_as_new(no_starter, filled, engine):
    finished_round(filled, engine)
    filled.accept(ids(filled)["tile_1"], np.ones((40, 56), np.uint16))
    plan = filled.round_plan(RoundSettings())
    assert (plan.labelled, plan.new) == (2, 1)


def test_correction_accepted_during_a_round_belongs_to_the_next(no_starter, filled, engine):
    filled.start_round(RoundSettings())
    filled.accept(ids(filled)["tile_5"], np.ones((40, 56), np.uint16))
    manifest = json.loads(Path(train_job(engine).payload["manifest"]).read_text())
    roles = {tile["name"]: tile["role"] for tile in manifest["tiles"]}
    assert roles["tile_5"] == "unlabelled"
    engine.train(train_job(engine))
    filled.process()
    assert filled.round_plan(RoundSettings()).new == 1


def test_way_back_leads_to_the_starter_also_after_a_promoted_round(starter, filled, engine):
    select(filled, "tile_3")
    name = filled.model_name
    finished_round(filled, engine)
    assert filled.model_name == "round 1"
    changed = heard(filled.weights_changed)
    filled.promote_starter()
    assert changed == [()]
    assert (filled.model_name, filled.weights) == (name, starter)
    path = filled.project.path
    filled.close()
    filled.open(path)
    assert filled.model_name == name


def test_round_after_the_way_back_starts_from_the_starter(starter, filled, engine):
    finished_round(filled, engine)
    filled.promote_starter()
    filled.start_round(RoundSettings())
    assert train_job(engine).payload["base"] == str(starter)


def test_lost_weights_of_the_model_in_charge_are_told_when_the_project_is_opened(
    no_starter, filled, engine
):
    finished_round(filled, engine)
    finished_round(filled, engine)
    path, told = filled.project.path, heard(filled.failed)
    for number, instead in ((2, "Now round 1 predicts"), (1, "No model predicts now")):
        filled.close()
        (path / f"rounds/{number}/model.safetensors").unlink()
        filled.open(path)
        assert told.pop() == (
            "The weights of round 2, which was in charge, are gone (rounds/2/model.safetensors). "
            f"{instead}. Put the file back, or put another model in charge.",
        )
    assert told == []


def test_rolling_back_twice_comes_back(starter, filled, engine):
    name = filled.model_name
    finished_round(filled, engine)
    finished_round(filled, engine)
    assert [_rolled_back(filled) for _ in range(3)] == ["round 1", "round 2", "round 1"]
    filled.promote_starter()
    filled.roll_back()
    assert filled.model_name == "round 1"
    filled.roll_back()
    assert filled.model_name == name


def _rolled_back(session):
    session.roll_back()
    return session.model_name


def test_starter_is_refused_in_words_where_there_is_none(no_starter, filled, engine):
    finished_round(filled, engine)
    with pytest.raises(ProjectError, match="no starter model"):
        filled.promote_starter()
    assert filled.model_name == "round 1"
