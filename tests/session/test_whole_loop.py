"""The loop of the whole package with real processes and a tiny network, without a window."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import psutil
import pytest

from napari_semimoe.core.errors import CheckpointError
from napari_semimoe.core.settings import ModelSettings, PredictSettings, RoundSettings
from napari_semimoe.core.states import Pool, RoundState
from napari_semimoe.data.synthetic import write_tiles
from napari_semimoe.jobs import ProcessEngine
from napari_semimoe.session import Session
from tests.patience import PATIENCE

from ..jobs.ports import network_sockets
from .test_predictions import heard

pytestmark = pytest.mark.usefixtures("no_shipped_weights")

#: Enough to come back to life in seconds, far too little to segment anything.
TINY = ModelSettings(width=8, um_per_px=2.5)
FEW_STEPS = RoundSettings(
    max_steps=3, crop_px=64, pseudo_views=1, labelled_batch=2, unlabelled_batch=2, stages=1
)
LONG = FEW_STEPS.changed(max_steps=100_000, validate_every=2)


@pytest.fixture
def no_shipped_weights(monkeypatch):
    monkeypatch.setattr("napari_semimoe.session.models.starter_weights", lambda: None)


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    """Real processes, shared by the tests of this file because torch takes long to import."""
    engine = ProcessEngine(tmp_path_factory.mktemp("worker-logs"))
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def tissue(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tissue")
    write_tiles(folder, 6, seed=1, size=(150, 200))
    for number in (4, 5, 6):
        next(folder.glob(f"*_{number}_anno.png")).unlink()
    return folder


@pytest.fixture
def session(engine, tissue, tmp_path):
    session = Session(engine, author="Dr Test")
    session.new(tmp_path / "project")
    session.add_folder(tissue, um_per_px=0.62)
    yield session
    session.close()
    assert session.wait_idle(PATIENCE)


def train(session, settings=FEW_STEPS, **options):
    number = session.start_round(settings, **options)
    assert session.wait_idle(PATIENCE)
    return session.project.round(number)


def hear_until(session, condition):
    for _ in range(6000):
        session.engine.wait(0.05)
        session.process()
        if condition():
            return
    raise AssertionError("it never happened")


def test_loop_from_nothing_to_a_better_model_and_back_after_reopening(session):
    failed, ready = heard(session.failed), heard(session.prediction_ready)
    steps = heard(session.round_progress)
    first = train(session, model=TINY)
    assert first.state is RoundState.PROMOTED, first.note
    assert [step["step"] for (step,) in steps] == [1, 2, 3]

    tile = session.next_tile()
    session.select(tile)
    assert session.wait_idle(PATIENCE)
    assert (tile,) in ready
    assert len(ready) == 3  # the tile and the two others without a mask
    shown = session.project.read_prediction(tile).instances
    corrected = shown.copy()
    corrected[10:40, 10:60] = shown.max() + 1
    record = session.accept(tile, corrected, shown)
    assert (record.model, record.round, record.origin) == ("round 1", 1, "corrected")
    assert record.changed_px == 30 * 50

    following = session.next_tile()
    assert following != tile
    assert session._predictions.is_fresh(following)  # it opens already predicted
    session.select(following)
    plan = session.round_plan(FEW_STEPS)
    assert (plan.base, plan.new) == ("round 1", 1)
    second = train(session)
    assert second.base == "rounds/1/model.safetensors"
    assert second.state in (RoundState.PROMOTED, RoundState.KEPT_BESIDE)
    session.promote(2)
    assert session.wait_idle(PATIENCE)
    assert session.project.prediction(following).model == "round 2"
    assert failed == []

    path = session.project.path
    session.close()
    session.open(path)
    assert session.current_tile == following
    assert session.model_name == "round 2"
    assert session.project.tile(tile).pool is Pool.CURATED
    assert np.array_equal(session.project.read_labels(tile), corrected)
    assert [r.number for r in session.project.rounds()] == [1, 2]


def test_validation_tile_is_scored_and_decides(session):
    tile = next(t.id for t in session.tiles() if t.pool is Pool.LABELLED)
    session.set_pool(tile, Pool.VALIDATION)
    first = train(session, model=TINY)
    second = train(session)
    assert first.report["validation"]["tiles"] == 1
    new, old = second.report["validation"]["dice"], second.report["base_validation"]["dice"]
    assert (second.state is RoundState.PROMOTED) is (new >= old)


def test_cancelled_round_goes_on_from_where_it_stopped(session):
    steps = heard(session.round_progress)
    number = session.start_round(LONG, model=TINY)
    hear_until(session, lambda: len(steps) >= 3)
    session.cancel_round()
    assert session.wait_idle(PATIENCE)
    assert session.project.round(number).state is RoundState.CANCELLED
    done = steps[-1][0]["step"]
    steps.clear()
    session.resume_round(number)
    hear_until(session, lambda: len(steps) >= 1)
    assert steps[0][0]["step"] == done + 1
    session.cancel_round()
    assert session.wait_idle(PATIENCE)


def test_killed_training_process_leaves_a_round_that_goes_on(session, engine):
    steps, failed = heard(session.round_progress), heard(session.failed)
    number = session.start_round(LONG, model=TINY)
    hear_until(session, lambda: len(steps) >= 4)
    psutil.Process(engine.pids["train"]).kill()
    assert session.wait_idle(PATIENCE)
    assert session.project.round(number).state is RoundState.INTERRUPTED
    if sys.platform != "win32":  # which does not tell who ended a process
        assert "was killed from outside" in failed[0][0]
    assert "logs/" in failed[0][0]
    steps.clear()
    session.resume_round(number)
    hear_until(session, lambda: len(steps) >= 1)
    assert steps[0][0]["step"] > 1
    session.cancel_round()
    assert session.wait_idle(PATIENCE)


def test_closing_the_project_in_the_middle_of_a_round_loses_nothing(session):
    steps = heard(session.round_progress)
    number = session.start_round(LONG, model=TINY)
    hear_until(session, lambda: len(steps) >= 2)
    path = session.project.path
    session.close()
    session.open(path)
    assert session.project.round(number).state is RoundState.INTERRUPTED


def test_window_can_predict_while_a_round_runs(session):
    train(session, model=TINY)
    session.select(session.next_tile())
    assert session.wait_idle(PATIENCE)
    steps, ready = heard(session.round_progress), heard(session.prediction_ready)
    session.start_round(LONG)
    hear_until(session, lambda: len(steps) >= 1)
    labelled = next(t.id for t in session.tiles() if t.pool is Pool.LABELLED)
    session.request_prediction(labelled)
    hear_until(session, lambda: ready == [(labelled,)])
    assert session.running_round is not None
    session.cancel_round()
    assert session.wait_idle(PATIENCE)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [(b"\x80\x02}q\x00.", "is a pickled torch file"), (b"not weights", "is no weights file")],
)
def test_bad_weights_are_said_in_words_through_the_job(session, content, sentence):
    record = train(session, model=TINY)
    (session.project.path / record.weights).write_bytes(content)
    failed = heard(session.prediction_failed)
    tile = session.next_tile()
    session.request_prediction(tile)
    assert session.wait_idle(PATIENCE)
    assert failed[0][0] == tile
    assert sentence in failed[0][1]
    logs = list((session.project.path / "logs").glob("*predict*.log"))
    assert "CheckpointError" in logs[0].read_text()
    with pytest.raises(CheckpointError, match=sentence):
        session.start_round(FEW_STEPS)


def test_device_that_is_not_there_is_said_in_words(session):
    train(session, model=TINY)
    failed = heard(session.prediction_failed)
    absent = "mps" if sys.platform != "darwin" else "cuda"
    session.set_predict_settings(PredictSettings(device=absent))
    session.request_prediction(session.next_tile())
    assert session.wait_idle(PATIENCE)
    session.set_predict_settings(PredictSettings())
    assert "The device must be one that this computer has" in failed[0][1]


def test_files_outside_a_project_are_predicted_at_their_own_size(session, engine, tissue, tmp_path):
    from PIL import Image

    record = train(session, model=TINY)
    (tmp_path / "broken.png").write_bytes(b"\x89PNG")
    files = [*sorted(p for p in tissue.glob("*.png") if "anno" not in p.name)[:2]]
    payload = {
        "weights": session.project.path / record.weights,
        "settings": PredictSettings().model_dump(mode="json"),
        "files": [*files, tmp_path / "broken.png"],
        "out_dir": tmp_path / "out",
        "um_per_px": 0.62,
        "all_outputs": True,
    }
    engine.submit("files", payload)
    reports = []
    while not reports or reports[-1].name != "finished":
        assert engine.wait(PATIENCE)
        reports += engine.poll()
    result = reports[-1].data["result"]
    assert [name for name, _ in result["refused"]] == [str(tmp_path / "broken.png")]
    mask = np.asarray(Image.open(tmp_path / "out" / files[0].name))
    assert mask.shape == (150, 200)
    assert mask.dtype == np.uint16
    with np.load(tmp_path / "out" / f"{files[0].stem}.npz") as maps:
        assert maps["expert_distance"].shape == (150, 200)
        assert np.array_equal(maps["instances"], mask)
    assert len(result["written"]) == 4


PARENT = """
import json
import sys
from pathlib import Path
from napari_semimoe.core.settings import ModelSettings, RoundSettings
from napari_semimoe.jobs import ProcessEngine
from napari_semimoe.session import Session
engine = ProcessEngine(Path(sys.argv[1]) / "logs")
engine.warm_up()
session = Session(engine)
session.new(Path(sys.argv[1]) / "project")
session.add_folder(Path(sys.argv[2]), um_per_px=0.62)
ready = []
session.prediction_ready.connect(ready.append)
session.start_round(RoundSettings.parse(json.loads(sys.argv[3])), model=ModelSettings(width=8))
session.wait_idle(100)
session.select(session.next_tile())
session.wait_idle(100)
session.close()
engine.close()
heavy = {"torch", "napari", "qtpy"} & set(sys.modules)
print(len(ready), "predictions, heavy:", sorted(heavy))
"""


def test_process_of_the_person_never_imports_torch(tissue, tmp_path):
    command = [sys.executable, "-c", PARENT, str(tmp_path), str(tissue)]
    command.append(FEW_STEPS.model_dump_json())
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=200)
    assert done.stdout.strip() == "3 predictions, heavy: []"


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_working_processes_listen_on_no_port(session, engine):
    train(session, model=TINY)
    session.select(session.next_tile())
    assert session.wait_idle(PATIENCE)
    for pid in engine.pids.values():
        assert network_sockets(pid) == []
    assert set(engine.pids) == {"predict", "train"}
