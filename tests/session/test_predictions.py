from __future__ import annotations

import shutil
from contextlib import closing

import numpy as np
import pytest
from psygnal import EmitLoopError

from napari_semimoe.core.settings import PredictSettings, RoundSettings
from napari_semimoe.core.states import JobState
from napari_semimoe.session import Session
from napari_semimoe.session.predictions import made_with


def heard(signal):
    got = []
    signal.connect(lambda *values: got.append(values))
    return got


def ids(session):
    return {tile.name: tile.id for tile in session.tiles()}


def select(session, name):
    session.select(ids(session)[name])


def test_selected_tile_is_asked_for_before_the_next_ones(starter, filled, engine):
    session = filled
    select(session, "tile_3")
    assert engine.tiles_asked == ["tile_3", "tile_4", "tile_5", "tile_6"]


def test_prediction_is_stored_before_it_is_told(starter, filled, engine):
    session = filled
    stored = []
    session.prediction_ready.connect(
        lambda tile_id: stored.append(session.project.read_prediction(tile_id).instances.max())
    )
    select(session, "tile_3")
    engine.predict_everything()
    session.process()
    assert stored == [1, 1, 1, 1]
    assert session.device_text == "CPU"


def test_stored_prediction_of_the_same_model_is_not_made_again(starter, filled, engine):
    session = filled
    select(session, "tile_3")
    engine.predict_everything()
    session.process()
    ready = heard(session.prediction_ready)
    select(session, "tile_3")
    assert ready == [(ids(session)["tile_3"],)]
    assert engine.tiles_asked == []


def test_going_on_quickly_drops_the_wishes_for_tiles_left_behind(starter, filled, engine):
    session = filled
    for name in ("tile_3", "tile_7", "tile_9"):
        select(session, name)
    assert engine.tiles_asked == ["tile_9", "tile_10", "tile_3", "tile_4"]


def test_waiting_prefetch_is_raised_when_its_tile_is_selected(starter, filled, engine):
    session = filled
    select(session, "tile_3")
    select(session, "tile_5")
    assert engine.tiles_asked[0] == "tile_5"
    assert engine.tiles_asked.count("tile_5") == 1


def test_running_prefetch_is_not_started_twice(starter, filled, engine):
    session = filled
    select(session, "tile_3")
    job = next(j for j in engine.jobs if j.payload["image"]["name"] == "tile_4")
    engine.start(job)
    select(session, "tile_4")
    assert engine.tiles_asked.count("tile_4") == 1
    assert not job.cancelled


def test_sweep_asks_for_every_open_tile_once(starter, filled, engine):
    session = filled
    select(session, "tile_3")
    session.predict_all()
    session.predict_all()
    assert engine.tiles_asked[0] == "tile_3"
    assert sorted(engine.tiles_asked) == sorted(f"tile_{n}" for n in range(3, 11))


def test_failed_prediction_is_told_as_its_sentence(starter, filled, engine):
    session = filled
    failed = heard(session.prediction_failed)
    session.request_prediction(ids(session)["tile_3"])
    engine.finish(engine.jobs[0], JobState.FAILED, error="The weights are damaged.")
    session.process()
    assert failed == [(ids(session)["tile_3"], "The weights are damaged.")]


def test_without_weights_the_sentence_says_to_retrain_first(no_starter, filled, engine):
    session = filled
    failed = heard(session.prediction_failed)
    select(session, "tile_3")
    assert session.weights is None
    assert len(failed) == 1
    assert "press Retrain" in failed[0][1]
    assert engine.jobs == []


def test_late_prediction_of_an_older_model_is_dropped(starter, filled, engine):
    session = filled
    select(session, "tile_3")
    tile = session.current_tile
    late = engine.jobs[0]
    engine.start(late)
    session.start_round(RoundSettings())
    engine.train(engine.of_kind("train")[0])
    session.process()
    newer = [j for j in engine.of_kind("predict") if not j.cancelled]
    assert newer[0].payload["image"]["name"] == "tile_3"
    engine.start(newer[0])
    engine.predict(newer[0])
    ready = heard(session.prediction_ready)
    engine.predict(late)
    session.process()
    assert ready == [(tile,)]
    assert session.project.prediction(tile).model == "round 1"
    kept = list((session.project.path / "predictions").iterdir())
    assert len(kept) == 1


def test_prediction_made_before_the_pixel_size_was_corrected_is_made_again(
    starter, filled, engine, images
):
    session = filled
    select(session, "tile_3")
    tile = session.current_tile
    late = engine.jobs[0]
    engine.start(late)

    def hear_the_answer(done, total, name):
        if name == "tile_4.png":  # tile_3 has its new size, the others follow
            engine.predict(late)
            session.process()

    session.add_folder(images, um_per_px=0.5, progress=hear_the_answer)
    assert session.project.prediction(tile) is None
    engine.predict_everything()
    session.process()
    assert session.project.prediction(tile) is not None
    assert len(list((session.project.path / "predictions").iterdir())) == 4


def test_old_prediction_stays_until_the_new_model_has_answered(starter, filled, engine):
    session = filled
    select(session, "tile_3")
    engine.predict_everything()
    session.process()
    session.start_round(RoundSettings())
    engine.train(engine.of_kind("train")[0])
    session.process()
    tile = session.current_tile
    assert session.project.read_prediction(tile) is not None
    assert session.project.prediction(tile).model.startswith("starter")
    engine.predict_everything()
    session.process()
    assert session.project.prediction(tile).model == "round 1"


def test_other_settings_make_stored_predictions_outdated(starter, filled, engine):
    session = filled
    select(session, "tile_3")
    engine.predict_everything()
    session.process()
    session.set_predict_settings(PredictSettings(threshold=0.8))
    assert engine.tiles_asked[0] == "tile_3"
    assert engine.jobs[0].payload["settings"]["threshold"] == 0.8


def test_settings_changed_between_two_openings_outdate_the_stored_predictions(
    starter, filled, engine
):
    session = filled
    select(session, "tile_3")
    engine.predict_everything()
    session.process()
    path = session.project.path
    session.close()
    session.open(path)
    select(session, "tile_3")
    assert engine.tiles_asked == []
    session.close()
    session.set_predict_settings(PredictSettings(threshold=0.8))
    session.open(path)
    select(session, "tile_3")
    assert engine.tiles_asked[0] == "tile_3"


def test_a_session_that_asks_for_nothing_outdates_nothing(starter, filled, engine):
    session, path = filled, filled.project.path
    session.set_predict_settings(PredictSettings(flips=True))
    select(session, "tile_3")
    engine.predict_everything()
    session.process()
    session.close()
    with closing(Session(engine)) as other:  # as an export does, with the usual settings
        other.open(path)
    session.open(path)
    select(session, "tile_3")
    assert engine.tiles_asked == []


def test_how_predictions_were_made_last_is_known_to_whoever_opens_the_project(
    starter, filled, engine
):
    assert made_with(filled.project) == PredictSettings()
    asked = PredictSettings(min_object_um2=20, device="cpu")
    filled.set_predict_settings(asked)
    select(filled, "tile_3")
    assert made_with(filled.project) == asked.changed(device="auto")
    filled.project.set_setting("predictions_made_with", {"of": "another version"})
    assert made_with(filled.project) == PredictSettings()


def test_device_does_not_outdate_predictions(starter, filled, engine):
    select(filled, "tile_3")
    engine.predict_everything()
    filled.process()
    filled.set_predict_settings(PredictSettings(device="cpu"))
    assert engine.tiles_asked == []


def test_tile_that_failed_is_tried_again_only_when_a_person_wants_it(starter, filled, engine):
    select(filled, "tile_3")
    (job,) = [job for job in engine.jobs if job.payload["image"]["name"] == "tile_4"]
    engine.finish(job, JobState.FAILED, error="Its pixels are gone.")
    filled.process()
    filled.predict_all()
    assert "tile_4" not in engine.tiles_asked
    select(filled, "tile_4")
    assert engine.tiles_asked[0] == "tile_4"


def test_disagreement_order_predicts_the_rest_in_the_background(starter, filled, engine):
    filled.queue_order = "disagreement"
    select(filled, "tile_3")
    assert engine.tiles_asked[0] == "tile_3"
    assert len(engine.tiles_asked) == 8


def test_wishes_that_ended_so_long_ago_that_nobody_knows_them_do_not_stop_a_person(
    starter, filled, engine, monkeypatch
):
    monkeypatch.setattr("napari_semimoe.jobs.book.KEPT_STATUSES", 2)
    filled.queue_order = "disagreement"
    select(filled, "tile_3")
    filled.set_predict_settings(PredictSettings(device="cpu"))  # ends all wishes, not heard yet
    select(filled, "tile_5")
    assert engine.tiles_asked[0] == "tile_5"
    engine.predict_everything()
    filled.process()
    assert filled.wait_idle(0.0)
    assert sum(tile.prediction_id is not None for tile in filled.tiles()) == 8


def test_ctrl_c_while_a_listener_hears_loses_no_answer(starter, filled, engine):
    select(filled, "tile_3")
    wanted = len(engine.tiles_asked)
    engine.predict_everything()

    def press(tile_id):
        filled.prediction_ready.disconnect(press)
        raise KeyboardInterrupt

    filled.prediction_ready.connect(press)
    with pytest.raises(KeyboardInterrupt):
        filled.process()
    filled.process()
    assert filled.wait_idle(0)
    stored = [tile for tile in filled.tiles() if tile.prediction_id is not None]
    assert len(stored) == wanted > 1


def test_broken_listener_is_heard_of_but_loses_no_answer(starter, filled, engine):
    heard_of = []

    def broken(tile_id):
        heard_of.append(tile_id)
        raise RuntimeError("a listener's fault")

    filled.prediction_ready.connect(broken)
    select(filled, "tile_3")
    engine.predict_everything()
    with pytest.raises(EmitLoopError):
        filled.process()
    assert len(heard_of) == 4  # in the same turn
    filled.prediction_ready.disconnect(broken)
    assert filled.wait_idle(0.0)
    assert sum(tile.prediction_id is not None for tile in filled.tiles()) == 4


def test_curated_mask_is_never_overwritten_by_a_prediction(starter, filled, engine):
    session = filled
    select(session, "tile_3")
    tile = session.current_tile
    mask = np.zeros((40, 56), np.uint16)
    mask[3:7, 3:7] = 9
    session.accept(tile, mask)
    engine.predict_everything()
    session.process()
    assert np.array_equal(session.project.read_labels(tile), mask)


def test_prediction_that_cannot_be_stored_is_told_and_the_rest_goes_on(
    starter, filled, engine, monkeypatch
):
    from napari_semimoe.core.errors import StorageError

    session = filled
    select(session, "tile_3")
    failed, ready = heard(session.prediction_failed), heard(session.prediction_ready)
    store = session.project.add_prediction
    calls = []

    def full_disk_once(*args, **values):
        calls.append(args)
        if len(calls) == 1:
            raise StorageError("The disk is full.")
        return store(*args, **values)

    monkeypatch.setattr(session.project, "add_prediction", full_disk_once)
    engine.predict_everything()
    session.process()
    assert [sentence for _, sentence in failed] == ["The disk is full."]
    assert len(ready) == 3


def test_tiles_can_be_looked_at_while_the_disk_is_full(starter, filled, engine, monkeypatch):
    from napari_semimoe.core.errors import StorageError

    session = filled
    session.set_predict_settings(PredictSettings(threshold=0.4))

    def full(*_):
        raise StorageError("The disk is full.")

    monkeypatch.setattr(session.project, "set_setting", full)
    select(session, "tile_3")
    assert session.current_tile is not None
    assert engine.jobs


def test_answers_after_closing_are_dropped(starter, filled, engine):
    session = filled
    select(session, "tile_3")
    running = engine.jobs[0]
    engine.start(running)
    path = session.project.path
    session.close()
    ready = heard(session.prediction_ready)
    engine.predict(running)
    session.process()
    assert ready == []
    session.open(path)
    assert session.project.prediction(ids(session)["tile_3"]) is None


def test_wait_idle_says_when_work_is_left(starter, filled, engine):
    session = filled
    assert session.wait_idle(0.0)
    select(session, "tile_3")
    assert not session.wait_idle(0.05)
    engine.predict_everything()
    assert session.wait_idle(1.0)


def test_without_a_project_everything_is_refused_in_words(engine):
    session = Session(engine)
    for call in (
        lambda: session.select(1),
        lambda: session.accept(1, np.zeros((2, 2), np.uint16)),
        lambda: session.start_round(RoundSettings()),
        lambda: session.promote(1),
    ):
        with pytest.raises(RuntimeError, match="No project is open"):
            call()
    assert session.tiles() == []
    assert session.next_tile() is None
    session.process()
    session.close()


def test_late_prediction_with_older_settings_is_dropped(starter, filled, engine):
    select(filled, "tile_3")
    late = engine.jobs[0]
    engine.start(late)
    filled.set_predict_settings(PredictSettings(threshold=0.8))
    late.cancelled = False  # it was done just before it was asked to stop
    engine.predict(late)
    filled.process()
    assert filled.project.prediction(ids(filled)["tile_3"]) is None
    assert list((filled.project.path / "predictions").iterdir()) == []


def test_the_tile_on_the_screen_overtakes_a_sweep_that_waits_and_ends_none_of_it(
    starter, filled, engine
):
    filled.predict_all()
    select(filled, "tile_9")
    assert engine.tiles_asked[0] == "tile_9"
    assert sorted(engine.tiles_asked) == sorted(f"tile_{n}" for n in range(3, 11))


def test_a_prediction_whose_files_are_gone_is_made_again(starter, filled, engine):
    select(filled, "tile_3")
    engine.predict_everything()
    filled.process()
    tile = ids(filled)["tile_3"]
    shutil.rmtree(filled.project.path / filled.project.prediction(tile).path)
    select(filled, "tile_3")
    assert engine.tiles_asked == ["tile_3"]


def test_the_end_of_another_job_does_not_end_the_round(starter, filled, engine):
    number = filled.start_round(RoundSettings())
    engine.submit("predict_files", {})
    engine.finish(engine.jobs[-1], JobState.FAILED, error="It was another's.")
    filled.process()
    assert filled.running_round == number


def test_a_tile_of_a_sweep_that_was_drawn_forward_is_not_forgotten(starter, filled, engine):
    filled.queue_order = "name"
    filled.predict_all()
    select(filled, "tile_9")
    select(filled, "tile_3")
    assert sorted(set(engine.tiles_asked)) == sorted(f"tile_{n}" for n in range(3, 11))


def test_a_sweep_does_not_wait_for_tiles_that_are_done_with_or_of_another_model(
    starter, filled, engine
):
    filled.queue_order = "name"
    filled.predict_all()
    select(filled, "tile_9")
    filled.exclude(ids(filled)["tile_9"])
    select(filled, "tile_3")
    assert "tile_9" not in engine.tiles_asked
    filled.set_predict_settings(PredictSettings(threshold=0.8))
    select(filled, "tile_8")
    select(filled, "tile_3")
    assert "tile_8" not in engine.tiles_asked
