from __future__ import annotations

import os
from pathlib import Path

import pytest

from napari_semimoe.jobs import ProcessEngine
from napari_semimoe.jobs.dask_engine import DaskEngine

from .clusters import running_cluster

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


@pytest.fixture(scope="session")
def cluster(tmp_path_factory):
    """A scheduler and a worker of their own processes and folders, with certificates."""
    with running_cluster(tmp_path_factory.mktemp("cluster")) as running:
        yield running


@pytest.fixture
def dask_engine(tmp_path, cluster):
    engine = DaskEngine(cluster.settings, tmp_path / "logs", tasks=FAKE_TASKS, grace_s=0.3)
    yield engine
    engine.close()


@pytest.fixture(params=["process", "dask"])
def engine(request):
    """Every engine that stands behind the protocol; the contract tests run on each."""
    return request.getfixturevalue(f"{request.param}_engine")
