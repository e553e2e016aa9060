"""What only the engine of own child processes promises."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from napari_semimoe.core.states import JobState
from tests.patience import PATIENCE

from .conftest import FAKE_TASKS
from .hearing import finish_of, hear_name
from .ports import network_sockets

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def _is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _wait_until_gone(pids, seconds=8.0):
    end = time.monotonic() + seconds
    while any(map(_is_running, pids)) and time.monotonic() < end:
        time.sleep(0.05)
    return [pid for pid in pids if _is_running(pid)]


def test_child_is_started_only_when_needed(process_engine):
    assert process_engine.pids == {}
    finish_of(process_engine, process_engine.submit("predict", {"do": "echo"}))
    assert set(process_engine.pids) == {"predict"}


def test_child_has_loaded_what_looks_at_its_input_before_it_listens_there():
    code = """
import sys
from types import SimpleNamespace
from napari_semimoe.jobs import wire
from napari_semimoe.jobs.wire import Writer
from napari_semimoe.jobs.worker import Worker
wire.os = SimpleNamespace(name="nt")  # where it matters
class Input:
    def __iter__(self):
        print({"scipy.linalg", "scipy.interpolate"} <= sys.modules.keys(), flush=True)
        return iter(())
Worker("predict", Input(), Writer(open(__import__("os").devnull, "wb"))).run("json")
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE, check=True
    )
    assert done.stdout == "True\n"


def test_child_is_kept_for_the_next_job(process_engine):
    first = finish_of(process_engine, process_engine.submit("predict", {"do": "echo"}))
    second = finish_of(process_engine, process_engine.submit("predict", {"do": "echo"}))
    assert first["result"]["pid"] == second["result"]["pid"]


def test_children_open_no_network_socket(process_engine):
    jobs = [process_engine.submit(kind, {"do": "until_stopped"}) for kind in ("predict", "train")]
    hear_name(process_engine, "progress")
    for pid in process_engine.pids.values():
        assert network_sockets(pid) == []
    for job in jobs:
        process_engine.cancel(job)
        finish_of(process_engine, job)


def test_child_killed_from_outside_is_noticed(process_engine):
    job = process_engine.submit("train", {"do": "stubborn"})
    hear_name(process_engine, "progress")
    os.kill(process_engine.pids["train"], signal.SIGKILL)
    data = finish_of(process_engine, job)
    assert data["state"] is JobState.INTERRUPTED
    assert data["error"] == (
        "The training process was killed from outside, most often because the computer ran out "
        "of memory. Everything accepted is safe; the round can be resumed."
    )


def test_child_asked_to_end_from_outside_ends_its_job_in_good_order(process_engine):
    job = process_engine.submit("train", {"do": "until_stopped"})
    hear_name(process_engine, "progress")
    pid = process_engine.pids["train"]
    os.kill(pid, signal.SIGTERM)
    data = finish_of(process_engine, job)
    assert data["state"] is JobState.INTERRUPTED
    assert data["result"] == {"stopped": True}
    assert data["error"] == (
        "The training process was asked to end by the system. Everything accepted is safe; the "
        "round can be resumed."
    )
    assert _wait_until_gone([pid]) == []
    done = finish_of(process_engine, process_engine.submit("train", {"do": "echo"}))
    assert done["state"] is JobState.DONE


def test_child_asked_to_end_after_its_job_was_cancelled_leaves_it_cancelled(process_engine):
    job = process_engine.submit("train", {"do": "until_stopped"})
    hear_name(process_engine, "progress")
    process_engine.cancel(job)
    os.kill(process_engine.pids["train"], signal.SIGTERM)
    data = finish_of(process_engine, job)
    assert data["state"] is JobState.CANCELLED
    assert data["error"] is None


def test_child_outlives_the_terminal_that_is_closed(process_engine):
    job = process_engine.submit("train", {"do": "until_stopped"})
    hear_name(process_engine, "progress")
    os.kill(process_engine.pids["train"], signal.SIGHUP)
    process_engine.cancel(job)
    assert finish_of(process_engine, job)["state"] is JobState.CANCELLED


def test_idle_child_killed_from_outside_is_replaced_silently(process_engine):
    finish_of(process_engine, process_engine.submit("predict", {"do": "echo"}))
    pid = process_engine.pids["predict"]
    os.kill(pid, signal.SIGKILL)
    assert _wait_until_gone([pid]) == []
    data = finish_of(process_engine, process_engine.submit("predict", {"do": "echo"}))
    assert data["state"] is JobState.DONE
    assert data["result"]["pid"] != pid


@pytest.mark.parametrize("kind", ["predict", "train"])
def test_child_that_was_expected_does_the_first_job(process_engine, kind):
    process_engine.warm_up(kind)
    pids = process_engine.pids
    assert set(pids) == {kind}
    done = finish_of(process_engine, process_engine.submit(kind, {"do": "echo"}))
    assert done["result"]["pid"] == pids[kind]


def test_job_given_to_a_child_that_is_dying_is_done_by_the_next(process_engine):
    finish_of(process_engine, process_engine.submit("train", {"do": "echo"}))
    pid = process_engine.pids["train"]
    os.kill(pid, signal.SIGSTOP)  # it cannot take the job any more
    job = process_engine.submit("train", {"do": "echo"})
    os.kill(pid, signal.SIGKILL)
    data = finish_of(process_engine, job)
    assert data["state"] is JobState.DONE
    assert data["result"]["pid"] != pid


def test_job_cancelled_before_the_child_takes_it_ends_cancelled(process_engine):
    finish_of(process_engine, process_engine.submit("train", {"do": "echo"}))
    pid = process_engine.pids["train"]
    os.kill(pid, signal.SIGSTOP)
    job = process_engine.submit("train", {"do": "until_stopped"})
    process_engine.cancel(job)
    os.kill(pid, signal.SIGCONT)
    assert finish_of(process_engine, job)["state"] is JobState.CANCELLED


def test_crash_in_native_code_leaves_its_stack_in_the_log(process_engine):
    data = finish_of(process_engine, process_engine.submit("predict", {"do": "segfault"}))
    assert data["state"] is JobState.INTERRUPTED
    assert "crashed (SIGSEGV)" in data["error"]
    assert "in segfault" in Path(data["log"]).read_text()


def test_what_libraries_print_goes_to_the_log_and_never_to_the_pipe(process_engine):
    data = finish_of(process_engine, process_engine.submit("predict", {"do": "chatter"}))
    assert data["result"] == {"quiet": True}
    text = (process_engine.log_dir / "predict.log").read_text()
    assert "a C library that prints" in text


def test_training_process_is_nicer_than_the_window(process_engine):
    nice = {
        kind: finish_of(process_engine, process_engine.submit(kind, {"do": "priority"}))["result"]
        for kind in ("predict", "train")
    }
    assert nice["train"]["nice"] >= nice["predict"]["nice"] + 10 or nice["train"]["nice"] == 19


def test_process_that_cannot_start_is_said_in_words(process_engine):
    process_engine._tasks = "no.such.module"
    data = finish_of(process_engine, process_engine.submit("train", {"do": "echo"}))
    assert data["state"] is JobState.FAILED
    assert "could not start (exit code 1)" in data["error"]
    assert "No module named" in Path(data["log"]).read_text()


def test_process_killed_while_it_starts_interrupts_its_job(process_engine):
    job = process_engine.submit("train", {"do": "stubborn"})
    os.kill(process_engine.pids["train"], signal.SIGKILL)  # long before it can say anything
    data = finish_of(process_engine, job)
    assert data["state"] is JobState.INTERRUPTED
    assert "was killed from outside" in data["error"]


def test_unwritable_log_folder_does_not_stop_the_work(process_engine, tmp_path):
    (tmp_path / "file").write_text("")
    process_engine.log_dir = process_engine.failure_dir = tmp_path / "file" / "logs"
    assert finish_of(process_engine, process_engine.submit("predict", {"do": "echo"}))["result"]
    data = finish_of(process_engine, process_engine.submit("predict", {"do": "blunder"}))
    assert data["log"] is None
    assert data["error"]


def test_job_ends_also_where_writing_its_log_fails_unforeseen(process_engine, monkeypatch, caplog):
    def broken(*_):
        raise ValueError("unforeseen")

    monkeypatch.setattr(process_engine._lanes["train"], "_write_log", broken)
    data = finish_of(process_engine, process_engine.submit("train", {"do": "blunder"}))
    assert data["state"] is JobState.FAILED
    assert data["log"] is None
    assert "unforeseen" in caplog.text


def test_fault_in_hearing_a_message_is_logged_and_the_next_is_heard(
    process_engine, monkeypatch, caplog
):
    lane = process_engine._lanes["train"]
    hear = lane.on_child_message

    def stumble(child, message):
        if message["name"] == "step":
            raise ValueError("unforeseen")
        hear(child, message)

    monkeypatch.setattr(lane, "on_child_message", stumble)
    data = finish_of(process_engine, process_engine.submit("train", {"do": "count", "to": 2}))
    assert data["state"] is JobState.DONE
    assert "unforeseen" in caplog.text


PARENT = """
import sys
from pathlib import Path
from napari_semimoe.jobs import ProcessEngine
engine = ProcessEngine(Path(sys.argv[1]), tasks=sys.argv[2])
engine.submit("predict", {"do": sys.argv[3]})
engine.submit("train", {"do": sys.argv[3]})
said = 0
while said < 2:
    engine.wait()
    said += sum(r.name == "progress" for r in engine.poll())
print(*engine.pids.values(), flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("do", ["until_stopped", "stubborn"])
@pytest.mark.parametrize("end", ["SIGKILL", "normal"])
def test_children_end_within_seconds_of_their_parent(tmp_path, do, end):
    command = [sys.executable, "-c", PARENT, str(tmp_path), FAKE_TASKS, do]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        assert len(pids) == 2
        if end == "SIGKILL":
            parent.kill()
        else:
            parent.stdin.close()
        parent.wait(PATIENCE)
        assert _wait_until_gone(pids) == []
