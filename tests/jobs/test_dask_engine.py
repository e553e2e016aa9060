"""What the engine for another machine promises beyond the contract; all of it over TLS."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import trustme
from PIL import Image

from napari_semimoe.cli.main import main
from napari_semimoe.core.errors import JobError, SettingsError
from napari_semimoe.core.reports import SilentObserver
from napari_semimoe.core.settings import ClusterSettings, PredictSettings
from napari_semimoe.core.starter import starter_weights
from napari_semimoe.core.states import JobState
from napari_semimoe.data.synthetic import write_tiles
from napari_semimoe.jobs import ProcessEngine, dask_child, make_engine
from napari_semimoe.jobs import cluster as clusters_of_jobs
from napari_semimoe.jobs.choice import CLUSTER_VARIABLES
from napari_semimoe.jobs.dask_engine import DaskEngine
from napari_semimoe.jobs.tasks import TASKS
from napari_semimoe.project.arrays import read_prediction
from tests.patience import PATIENCE

from .clusters import certificate, process, scheduler, wait_for_line, worker_command
from .conftest import FAKE_TASKS
from .hearing import finish_of, hear_name, hear_until
from .small_round import make_project, round_payload, tile_payload


@pytest.fixture
def engine(tmp_path, cluster):
    """The engine with the real job functions."""
    engine = DaskEngine(cluster.settings, tmp_path / "logs")
    yield engine
    engine.close()


@pytest.fixture
def project(tmp_path):
    return make_project(tmp_path / "project")


def steps_of(reports):
    return [r.data["total"] for r in reports if r.name == "step"]


def train(engine, payload):
    """Run a round and return its result and the losses of its steps."""
    job = engine.submit("train", payload)
    heard = hear_until(
        engine, lambda heard: any(r.name == "finished" and r.job_id == job for r in heard)
    )
    assert heard[-1].data["state"] is JobState.DONE, heard[-1].data
    return heard[-1].data["result"], steps_of(heard)


def files_below(folder):
    return {path.name for path in folder.rglob("*") if path.is_file()}


def done_here(kind, payload):
    """Do a job in this process."""
    import torch

    threads = torch.get_num_threads()
    try:
        return TASKS[kind](payload, SilentObserver())
    finally:
        torch.set_num_threads(threads)


def test_round_and_predictions_elsewhere_equal_those_here(engine, cluster, project, tmp_path):
    twin = make_project(tmp_path / "twin")
    result, _ = train(engine, round_payload(project))
    result_here = done_here("train", round_payload(twin))
    assert result["final_losses"] == result_here["final_losses"]
    assert result["validation"] == result_here["validation"]
    assert result["data_hash"] == result_here["data_hash"]
    assert result["weights"] == str(project / "rounds/1/model.safetensors")
    assert files_below(project / "rounds") == files_below(twin / "rounds")
    weights = Path(result["weights"])

    tile = finish_of(engine, engine.submit("predict", tile_payload(project, weights)), 60)
    tile_here = done_here("predict", tile_payload(twin, weights))
    assert tile["result"]["out"] == str(project / "predictions-1")
    assert tile["result"]["gates"] == pytest.approx(np.array(tile_here["gates"]), abs=1e-6)
    mine, other = (read_prediction(p / "predictions-1") for p in (project, twin))
    assert np.array_equal(mine.instances, other.instances)
    # nothing of the person's images stays on the other machine
    assert not list((cluster.worker_folder / "rounds").iterdir())
    assert not list(cluster.worker_folder.rglob("*.zarr"))


def test_commands_work_where_the_environment_says(cluster, tmp_path, monkeypatch, capsys):
    for key, name in CLUSTER_VARIABLES.items():
        monkeypatch.setenv(name, getattr(cluster.settings, key))
    write_tiles(tmp_path / "tissue", 2, seed=1, size=(70, 90))
    study = str(tmp_path / "study")
    assert main(["new", study]) == 0
    assert main(["add", study, str(tmp_path / "tissue")]) == 0
    small = ["--set", "crop_px=32", "--set", "pseudo_views=1", "--network", "width=4"]
    assert main(["train", study, "--steps", "2", "--device", "cpu", *small]) == 0
    capsys.readouterr()
    assert main(["predict", study, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["refused"] == []


def test_files_are_predicted_elsewhere_and_masks_come_home(engine, tmp_path):
    Image.fromarray(np.full((40, 50, 3), 200, np.uint8)).save(tmp_path / "plain.png")
    payload = {
        "weights": str(starter_weights()),
        "files": [str(tmp_path / "plain.png"), str(tmp_path / "gone.png")],
        "out_dir": str(tmp_path / "masks"),
        "settings": PredictSettings(device="cpu").model_dump(mode="json"),
        "um_per_px": 1.0,
    }
    done = finish_of(engine, engine.submit("files", payload), 60)["result"]
    assert done["written"] == [str(tmp_path / "masks" / "plain.png")]
    with Image.open(done["written"][0]) as mask:
        assert mask.size == (50, 40)
    assert done["refused"][0][0] == str(tmp_path / "gone.png")
    assert "gone.png cannot be read" in done["refused"][0][1]


def test_round_stopped_elsewhere_is_resumed_to_the_same_numbers(engine, project, tmp_path):
    _, whole = train(engine, round_payload(make_project(tmp_path / "whole"), max_steps=12))
    payload = round_payload(project, max_steps=12)
    job = engine.submit("train", payload)
    heard = hear_name(engine, "step", 60)
    engine.cancel(job)
    heard += hear_name(engine, "finished", 60)
    assert heard[-1].data["state"] is JobState.CANCELLED
    done = heard[-1].data["result"]["steps"]
    assert done < 12
    assert (project / "rounds/1/state.safetensors").is_file()
    _, rest = train(engine, payload)
    assert [*steps_of(heard), *rest] == whole
    assert not (project / "rounds/1/state.safetensors").exists()
    lines = (project / "rounds/1/log.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == list(range(1, 13))


def test_round_whose_worker_is_killed_goes_on_from_the_state_it_left_there(
    engine, cluster, project, tmp_path
):
    payload = round_payload(project, max_steps=2000)
    job = engine.submit("train", payload)
    heard = hear_until(engine, lambda reports: len(steps_of(reports)) >= 3, 60)
    os.kill(_pid_of(engine, cluster, "train"), signal.SIGKILL)
    data = finish_of(engine, job)
    assert data["state"] is JobState.INTERRUPTED
    assert data["error"] == (
        "The training process on the other machine was killed from outside or ended by itself, "
        "most often because that machine ran out of memory. Everything accepted is safe; the "
        "round can be resumed."
    )
    again = engine.submit("train", payload)
    heard = hear_name(engine, "step", 60)
    assert next(r.data["step"] for r in heard if r.name == "step") > 1
    engine.cancel(again)
    assert finish_of(engine, again, 60)["state"] is JobState.CANCELLED


def _pid_of(engine, cluster, lane):
    """Return the process that does a lane's jobs, as the scheduler knows it."""
    client = clusters_of_jobs.connect(cluster.settings)
    try:
        pids = client.run(os.getpid)
        workers = client.scheduler_info()["workers"]
        resource = clusters_of_jobs.RESOURCES[lane]
        return next(pids[a] for a, info in workers.items() if resource in info["resources"])
    finally:
        client.close()


def test_job_that_waits_behind_another_person_is_cancelled_at_once(dask_engine, cluster, tmp_path):
    first = dask_engine.submit("train", {"do": "until_stopped"})
    hear_name(dask_engine, "progress")
    other = DaskEngine(cluster.settings, tmp_path / "other", tasks=FAKE_TASKS)
    try:
        waiting = other.submit("train", {"do": "echo"})
        other.cancel(waiting)
        assert finish_of(other, waiting)["state"] is JobState.CANCELLED
        last = other.submit("train", {"do": "echo"})
        dask_engine.cancel(first)
        assert finish_of(dask_engine, first)["state"] is JobState.CANCELLED
        assert finish_of(other, last)["state"] is JobState.DONE
    finally:
        other.close()


SENDER = """
import json, sys
from pathlib import Path
from napari_semimoe.core.settings import ClusterSettings
from napari_semimoe.jobs.dask_engine import DaskEngine
settings = ClusterSettings.parse(json.loads(sys.argv[1]))
engine = DaskEngine(settings, Path(sys.argv[2]), tasks=sys.argv[3])
engine.submit("train", {"do": "until_stopped"})
while not any(r.name == "progress" for r in engine.poll()):
    engine.wait()
print("runs", flush=True)
engine.wait()
"""


def test_job_whose_sender_was_killed_stops_by_itself(dask_engine, cluster, tmp_path):
    given = [cluster.settings.model_dump_json(), str(tmp_path / "logs"), FAKE_TASKS]
    command = [sys.executable, "-c", SENDER, *given]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as sender:
        assert sender.stdout.readline() == "runs\n"
        waiting = dask_engine.submit("train", {"do": "echo"})
        sender.kill()
        assert finish_of(dask_engine, waiting)["state"] is JobState.DONE


def test_worker_process_is_not_slowed_by_an_eager_memory_allocator(dask_engine):
    pid = finish_of(dask_engine, dask_engine.submit("predict", {"do": "echo"}))["result"]["pid"]
    environment = Path(f"/proc/{pid}/environ").read_bytes()
    assert b"MALLOC_TRIM_THRESHOLD_" not in environment
    assert b"OMP_NUM_THREADS" not in environment or "OMP_NUM_THREADS" in os.environ


def test_killed_job_leaves_none_of_the_persons_files_there(dask_engine, cluster, tmp_path):
    slide = tmp_path / "slide.png"
    slide.write_bytes(b"tissue of a patient")
    payload = {"do": "stubborn", "files": [str(slide)], "out_dir": str(tmp_path / "masks")}
    job = dask_engine.submit("files", payload)
    hear_name(dask_engine, "progress")
    assert len(list(cluster.worker_folder.rglob("slide.png"))) == 1
    dask_engine.cancel(job, force=True)
    assert finish_of(dask_engine, job)["state"] is JobState.CANCELLED
    finish_of(dask_engine, dask_engine.submit("files", {"do": "echo"}))
    assert not list(cluster.worker_folder.rglob("slide.png"))


def test_wrong_certificate_is_refused_in_words(cluster, tmp_path):
    stranger = certificate(trustme.CA(), tmp_path / "stranger", "stranger")
    settings = cluster.settings.changed(**stranger)
    engine = DaskEngine(settings, tmp_path / "logs", tasks=FAKE_TASKS)
    try:
        data = finish_of(engine, engine.submit("predict", {"do": "echo"}))
    finally:
        engine.close()
    assert data["state"] is JobState.FAILED
    assert data["error"].startswith(f"The scheduler {settings.scheduler} does not answer, or")


def test_certificate_of_another_authority_is_refused_by_the_scheduler_too(cluster, tmp_path):
    stranger = certificate(trustme.CA(), tmp_path / "stranger", "stranger")
    trusting = stranger | {"tls_ca": cluster.settings.tls_ca}  # trusts, but is not trusted
    engine = DaskEngine(cluster.settings.changed(**trusting), tmp_path / "logs", tasks=FAKE_TASKS)
    try:
        data = finish_of(engine, engine.submit("predict", {"do": "echo"}))
    finally:
        engine.close()
    assert data["state"] is JobState.FAILED
    assert "certificate" in data["error"]


def test_worker_with_a_wrong_certificate_ends_in_words(cluster, tmp_path):
    stranger = certificate(trustme.CA(), tmp_path / "stranger", "stranger")
    command = worker_command(cluster.settings.scheduler, stranger, tmp_path / "work")
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 1
    assert done.stderr.startswith(f"semimoe: The scheduler {cluster.settings.scheduler} does not")
    assert "Traceback" not in done.stderr


@contextmanager
def engine_that_repeats(tmp_path, times):
    """Yield an engine whose scheduler does a job again so often, the scheduler, and its files."""
    files = certificate(trustme.CA(), tmp_path / "files", "all")
    repeats = {"DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": times}
    with scheduler(tmp_path / "server", files, **repeats) as (running, address):
        command = worker_command(address, files, tmp_path / "worker/work")
        with process(command, tmp_path / "worker") as hand:
            wait_for_line(hand, tmp_path / "worker/output.txt", "Ready")
            settings = ClusterSettings(scheduler=address, **files)
            yield DaskEngine(settings, tmp_path / "logs", tasks=FAKE_TASKS), running, files


def test_lost_scheduler_ends_the_job_in_words_and_all_come_back(tmp_path):
    with engine_that_repeats(tmp_path, "3") as (engine, running, files):
        address = engine.cluster.scheduler
        _never_repeats(engine, tmp_path / "diary.txt")
        job = engine.submit("train", {"do": "until_stopped"})
        hear_name(engine, "progress")
        running.kill()
        data = finish_of(engine, job)
        assert data["state"] is JobState.INTERRUPTED
        assert data["error"] == (
            f"The connection to the scheduler {address} was lost. Everything accepted is "
            "safe; the round can be resumed."
        )
        with scheduler(tmp_path / "server", files, port=address.rpartition(":")[2]):
            job = engine.submit("train", {"do": "echo"})
            assert finish_of(engine, job, 40)["state"] is JobState.DONE
            engine.close()


def test_client_that_cannot_take_its_leave_ends_in_peace(tmp_path, monkeypatch):
    left = []

    class Lost:
        status = "running"

        def close(self, timeout=None):
            if self.status != "closed":
                left.append(timeout)
                raise ValueError("IOStream is not idle; cannot convert to SSL")

        __del__ = close  # as a client does

    monkeypatch.setattr(dask_child, "connect", lambda settings: Lost())
    settings = ClusterSettings.model_construct(scheduler="tls://gone:1", tls_ca="")
    child = dask_child.DaskChild("train", FAKE_TASKS, settings, None)
    child.send({"op": "warm_up"})
    child.close(0.1)  # an exception of its thread would be a warning, and so an error
    assert len(left) == 1
    assert not child._thread.is_alive()


@pytest.mark.parametrize("allowed", ["0", "3"])
def test_job_that_kills_before_its_beginning_is_heard_is_not_done_again(
    tmp_path, monkeypatch, allowed
):
    # a worker that dies at once may take its own word with it
    monkeypatch.setattr(dask_child.DaskChild, "_on_said", lambda child, message: None)
    with engine_that_repeats(tmp_path, allowed) as (engine, _, _):
        _never_repeats(engine, tmp_path / "diary.txt")
        engine.close()


def _never_repeats(engine, diary):
    """Claim that a job that kills is not done again where the scheduler would do so."""
    data = finish_of(engine, engine.submit("train", {"do": "die", "diary": str(diary)}))
    assert data["state"] is JobState.INTERRUPTED
    assert diary.read_text(encoding="utf-8") == "died\n"


def test_jobs_behind_one_that_finds_no_scheduler_end_with_it_in_one_sentence(
    cluster, tmp_path, monkeypatch, capfd
):
    tried = []

    def connect(settings):
        tried.append(settings.scheduler)
        while len(engine.submitted) < 3:  # all wait behind the first
            time.sleep(0.01)
        raise clusters_of_jobs.unreachable(settings, OSError("refused"))

    monkeypatch.setattr(dask_child, "connect", connect)
    engine = DaskEngine(cluster.settings, tmp_path / "logs", tasks=FAKE_TASKS)
    engine.submitted = []
    try:
        for _ in range(3):
            engine.submitted.append(engine.submit("predict", {"do": "echo"}))
        heard = hear_until(
            engine, lambda heard: sum(report.name == "finished" for report in heard) == 3
        )
        ends = [report.data for report in heard if report.name == "finished"]
        assert {end["state"] for end in ends} == {JobState.FAILED}
        assert {end["error"].split(",")[0] for end in ends} == {
            f"The scheduler {cluster.settings.scheduler} does not answer"
        }
        assert len(tried) == 1
        (log,) = (end["log"] for end in ends if end["log"])
        assert "Traceback" in Path(log).read_text()
        while len(tried) == 1:  # whoever asks later is not answered with what was true before
            finish_of(engine, engine.submit("predict", {"do": "echo"}))
    finally:
        engine.close()
    assert capfd.readouterr().err == ""


def test_job_that_nobody_can_do_ends_in_words(tmp_path, monkeypatch):
    monkeypatch.setattr(dask_child, "_PATIENCE_SECONDS", 1.0)
    files = certificate(trustme.CA(), tmp_path / "files", "all")
    with scheduler(tmp_path / "server", files) as (_, address):
        settings = ClusterSettings(scheduler=address, **files)
        engine = DaskEngine(settings, tmp_path / "logs", tasks=FAKE_TASKS)
        data = finish_of(engine, engine.submit("train", {"do": "echo"}))
        engine.close()
    assert data["state"] is JobState.FAILED
    assert "Start 'semimoe worker' on the other machine." in data["error"]


def test_lazy_arrays_of_the_viewer_are_never_computed_elsewhere(dask_engine):
    import dask
    from distributed import default_client

    finish_of(dask_engine, dask_engine.submit("predict", {"do": "echo"}))
    with pytest.raises(ValueError, match="No clients found"):
        default_client()
    assert dask.delayed(os.getpid)().compute() == os.getpid()


def test_without_a_scheduler_the_work_stays_here():
    engine = make_engine(ClusterSettings())
    assert isinstance(engine, ProcessEngine)
    engine.close()


def test_missing_library_is_said_in_words(cluster, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(JobError, match=r'pip install "napari-semimoe\[cluster\]"'):
        make_engine(cluster.settings)


def test_unencrypted_address_is_refused_in_words(cluster):
    with pytest.raises(SettingsError, match="must start with tls://"):
        cluster.settings.changed(scheduler="tcp://127.0.0.1:8786")


def test_missing_certificate_is_refused_in_words(cluster):
    with pytest.raises(SettingsError, match="tls_key must name a file that exists"):
        cluster.settings.changed(tls_key="")


def test_nothing_of_dask_distributed_is_imported_before_it_is_needed():
    code = (
        "import sys, napari_semimoe.jobs.dask_engine, napari_semimoe.jobs.cluster_worker, "
        "napari_semimoe.cli.main; print('distributed' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
