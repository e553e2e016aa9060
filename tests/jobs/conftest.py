from __future__ import annotations

import os
from pathlib import Path

import pytest

from napari_semimoe.jobs import ProcessEngine

REPO = Path(__file__).parents[2]
FAKE_TASKS = "tests.jobs.fake_tasks"


@pytest.fixture(autouse=True)
def _fake_tasks_importable(monkeypatch):
    paths = [str(REPO), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))


@pytest.fixture
def process_engine(tmp_path):
    engine = ProcessEngine(tmp_path / "logs", tasks=FAKE_TASKS, grace_s=0.3)
    yield engine
    engine.close()


@pytest.fixture(params=["process"])
def engine(request):
    """Every engine that stands behind the protocol; the contract tests run on each."""
    return request.getfixturevalue(f"{request.param}_engine")
