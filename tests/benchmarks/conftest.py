"""One thread, which a round in the test's own process would change; a call of the harness."""

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
