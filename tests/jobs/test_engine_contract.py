"""What every engine promises; run on each engine that stands behind the protocol."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import pytest

from napari_semimoe.core.errors import JobError
from napari_semimoe.core.states import JobState

from .hearing import finish_of, hear_name, hear_until


class TestEngineContract:
    def test_job_reports_in_order_and_returns_its_result(self, engine):
        job = engine.submit("train", {"do": "count", "to": 5})
        heard = hear_until(engine, lambda reports: any(r.name == "finished" for r in reports))
        assert [r.name for r in heard] == ["started", *["step"] * 5, "finished"]
        assert [r.data["step"] for r in heard[1:-1]] == [1, 2, 3, 4, 5]
        assert heard[-1].data["state"] is JobState.DONE
        assert heard[-1].data["result"] == {"counted": 5}
        assert engine.status(job).state is JobState.DONE

    @pytest.mark.parametrize("do", ["echo", "refuse", "blunder", "die", "leave", "unsendable"])
    def test_finished_is_said_exactly_once_however_it_ends(self, engine, do):
        job = engine.submit("predict", {"do": do})
        heard = hear_until(engine, lambda reports: any(r.name == "finished" for r in reports))
        last = engine.submit("predict", {"do": "echo"})
        heard += hear_until(engine, lambda reports: any(r.job_id == last for r in reports))
        assert sum(r.job_id == job and r.name == "finished" for r in heard) == 1

    def test_poll_never_blocks_and_is_empty_without_work(self, engine):
        assert engine.poll() == []
        assert engine.wait(0.0) is False

    def test_urgent_job_overtakes_the_waiting_ones(self, engine):
        blocker = engine.submit("predict", {"do": "until_stopped"})
        late = [engine.submit("predict", {"do": "echo", "tag": tag}) for tag in ("a", "b")]
        urgent = engine.submit("predict", {"do": "echo", "tag": "urgent"}, priority=10)
        engine.cancel(blocker)
        heard = hear_until(engine, lambda reports: sum(r.name == "finished" for r in reports) == 4)
        ended = [r.job_id for r in heard if r.name == "finished"]
        assert ended == [blocker, urgent, *late]

    def test_cancelled_waiting_job_never_starts(self, engine):
        blocker = engine.submit("predict", {"do": "until_stopped"})
        waiting = engine.submit("predict", {"do": "echo"})
        engine.cancel(waiting)
        assert finish_of(engine, waiting)["state"] is JobState.CANCELLED
        engine.cancel(blocker)
        heard = hear_name(engine, "finished")
        assert not any(r.job_id == waiting for r in heard)

    def test_running_job_stops_when_asked(self, engine):
        job = engine.submit("train", {"do": "until_stopped"})
        heard = hear_name(engine, "progress")
        assert engine.status(job).state is JobState.RUNNING
        assert heard[-1].data["text"] == "waiting to be stopped"
        engine.cancel(job)
        data = finish_of(engine, job)
        assert data["state"] is JobState.CANCELLED
        assert data["result"] == {"stopped": True}

    def test_deaf_job_is_ended_by_a_second_cancel_after_the_grace_time(self, engine):
        job = engine.submit("train", {"do": "stubborn"})
        hear_name(engine, "progress")
        engine.cancel(job)
        engine.cancel(job)  # at once: still within the grace time
        assert engine.status(job).state is JobState.CANCELLING
        threading.Event().wait(0.35)
        engine.cancel(job)
        assert finish_of(engine, job)["state"] is JobState.CANCELLED
        assert finish_of(engine, engine.submit("train", {"do": "echo"}))["state"] is JobState.DONE

    def test_forced_cancel_ends_a_deaf_job_at_once(self, engine):
        job = engine.submit("train", {"do": "stubborn"})
        hear_name(engine, "progress")
        engine.cancel(job, force=True)
        assert finish_of(engine, job)["state"] is JobState.CANCELLED

    def test_cancel_of_a_finished_job_does_nothing(self, engine):
        job = engine.submit("predict", {"do": "echo"})
        finish_of(engine, job)
        engine.cancel(job)
        assert engine.status(job).state is JobState.DONE
        assert engine.poll() == []

    def test_error_of_ours_is_passed_on_as_its_own_sentence(self, engine):
        data = finish_of(engine, engine.submit("predict", {"do": "refuse"}))
        assert data["state"] is JobState.FAILED
        assert data["error"] == "slide.png is truncated. Copy the file again."
        assert "fake_tasks.py" in Path(data["log"]).read_text()

    def test_unexpected_error_is_one_sentence_and_its_traceback_is_in_the_failure_folder(
        self, engine, tmp_path
    ):
        (tmp_path / "project").mkdir()
        engine.failure_dir = tmp_path / "project" / "logs"
        data = finish_of(engine, engine.submit("predict", {"do": "blunder"}))
        assert data["error"].startswith("The prediction failed: KeyError")
        assert "\n" not in data["error"]
        log = Path(data["log"])
        assert log.parent == tmp_path / "project" / "logs"
        assert "KeyError: 'missing'" in log.read_text()

    def test_a_project_that_is_gone_finds_its_place_free(self, engine, tmp_path):
        engine.failure_dir = tmp_path / "project" / "logs"
        data = finish_of(engine, engine.submit("predict", {"do": "blunder"}))
        assert data["error"].startswith("The prediction failed: KeyError")
        assert data["log"] is None
        assert not (tmp_path / "project").exists()

    def test_failure_about_a_name_that_is_no_text_ends_the_job_and_has_a_log(self, engine):
        data = finish_of(engine, engine.submit("predict", {"do": "misname"}))
        assert data["state"] is JobState.FAILED
        assert "scan\\udcff.png" in Path(data["log"]).read_text(encoding="utf-8")

    def test_lack_of_memory_is_said_in_plain_words(self, engine):
        data = finish_of(engine, engine.submit("train", {"do": "exhaust"}))
        assert "more memory than there is free" in data["error"]

    def test_killed_process_interrupts_its_job_and_the_next_job_works(self, engine):
        data = finish_of(engine, engine.submit("train", {"do": "die"}))
        assert data["state"] is JobState.INTERRUPTED
        if sys.platform != "win32":  # which does not tell who ended a process
            assert "was killed from outside" in data["error"]
        assert "can be resumed" in data["error"]
        assert finish_of(engine, engine.submit("train", {"do": "echo"}))["state"] is JobState.DONE

    def test_killed_process_does_not_take_the_waiting_jobs_with_it(self, engine):
        dying = engine.submit("predict", {"do": "die"})
        waiting = engine.submit("predict", {"do": "echo", "tag": "survivor"})
        heard = hear_until(engine, lambda reports: sum(r.name == "finished" for r in reports) == 2)
        ends = {r.job_id: r.data for r in heard if r.name == "finished"}
        assert ends[dying]["state"] is JobState.INTERRUPTED
        assert ends[waiting]["result"]["tag"] == "survivor"

    def test_training_does_not_hold_up_predictions(self, engine):
        training = engine.submit("train", {"do": "until_stopped"})
        hear_name(engine, "progress")
        prediction = engine.submit("predict", {"do": "echo"})
        assert finish_of(engine, prediction)["state"] is JobState.DONE
        engine.cancel(training)
        assert finish_of(engine, training)["state"] is JobState.CANCELLED

    def test_wake_is_called_once_until_polled(self, engine):
        calls = []
        engine.on_wake = lambda: calls.append(threading.get_ident())
        job = engine.submit("train", {"do": "count", "to": 50})
        threads = 0
        while not engine.status(job).state.is_final:
            engine.wait(1.0)
            threads += 1
        assert len(calls) == 1
        assert len(engine.poll()) == 52
        finish_of(engine, engine.submit("train", {"do": "echo"}))
        assert len(calls) >= 2

    def test_broken_listener_does_not_stop_the_work(self, engine, caplog):
        def broken():
            raise RuntimeError("the window is gone")

        engine.on_wake = broken
        job = engine.submit("train", {"do": "count", "to": 3})
        assert finish_of(engine, job)["state"] is JobState.DONE
        assert "the window is gone" in caplog.text

    def test_payload_that_cannot_travel_is_refused_at_once(self, engine):
        with pytest.raises(TypeError, match="plain values"):
            engine.submit("predict", {"do": object()})
        assert finish_of(engine, engine.submit("predict", {"do": "echo"}))["state"] == "done"

    def test_unknown_job_is_refused_in_words(self, engine):
        with pytest.raises(JobError, match="There is no job 'nobody'"):
            engine.status("nobody")

    def test_close_finishes_everything_that_is_open(self, engine):
        running = engine.submit("train", {"do": "until_stopped"})
        waiting = engine.submit("train", {"do": "echo"})
        hear_name(engine, "progress")
        engine.close()
        ends = {r.job_id: r.data["state"] for r in engine.poll() if r.name == "finished"}
        assert ends == {running: JobState.INTERRUPTED, waiting: JobState.CANCELLED}
        assert finish_of(engine, engine.submit("train", {"do": "echo"}))["state"] == "cancelled"
