from __future__ import annotations

import os
from contextlib import suppress

import pytest

from napari_semimoe.cli.virtual_screen import screen
from tests.header_only import write_weights

with suppress(ImportError):  # torch's builds for graphics cards bring it
    import triton  # noqa: F401  (ends the process if Mesa has drawn in it before)


@pytest.fixture(scope="session", autouse=True)
def own_screen():
    """A screen, and for each of several test processes its own: windows take each other's focus."""
    with pytest.MonkeyPatch.context() as patch:
        if "PYTEST_XDIST_WORKER" in os.environ:
            patch.delenv("DISPLAY", raising=False)
            patch.delenv("WAYLAND_DISPLAY", raising=False)
        with screen() as environment:
            for name, value in environment.items():
                patch.setenv(name, value)
            yield


@pytest.fixture
def starter(tmp_path, monkeypatch):
    """Weights that 'ship' with the package, as far as the session can see."""
    path = write_weights(tmp_path / "starter.safetensors")
    _ship(monkeypatch, path)
    return path


@pytest.fixture
def no_starter(monkeypatch):
    """No weights ship with the package, as far as the session can see."""
    _ship(monkeypatch, None)


def _ship(monkeypatch, path):
    monkeypatch.setattr("napari_semimoe.session.models.starter_weights", lambda: path)
