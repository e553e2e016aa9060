"""One thread, which a round in the test's own process would change; a call of the harness."""

import json
import sys

import pytest
import torch

from benchmarks import glas


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def call(monkeypatch):
    """Return a function that runs ``python -m benchmarks.glas`` with words."""

    def main(*words):
        monkeypatch.setattr(sys, "argv", ["glas", *map(str, words)])
        glas.main()

    return main


@pytest.fixture
def finished_run():
    """Return a function that writes the result of a run."""

    def write(folder, name, draw, dice, *, steps=220, seed=0):
        kind = "heldout" if draw == "all" else "heldout-17"
        out = folder / f"{name}-{draw}-{seed}"
        out.mkdir()
        values = {
            "name": name,
            "split": f"{kind}-{draw}",
            "seed": seed,
            "report": {"steps": steps, "device": "CPU"},
            "minutes": 3.0 if draw else 2.0,
            "peak_memory_mib": 901.0 if draw else 900.0,
            "honest": {} if dice is None else {"dice": dice},
        }
        (out / "result.json").write_text(json.dumps(values))

    return write
