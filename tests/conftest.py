from __future__ import annotations

import pytest


@pytest.fixture
def starter(tmp_path, monkeypatch):
    """Weights that 'ship' with the package, as far as the session can see."""
    path = tmp_path / "starter.safetensors"
    path.write_bytes(b"weights")
    _ship(monkeypatch, path)
    return path


@pytest.fixture
def no_starter(monkeypatch):
    """No weights ship with the package, as far as the session can see."""
    _ship(monkeypatch, None)


def _ship(monkeypatch, path):
    monkeypatch.setattr("napari_semimoe.session.models.starter_weights", lambda: path)
    monkeypatch.setattr("napari_semimoe.session.plan.read_info", _fake_info)


def _fake_info(path):
    from napari_semimoe.core.checkpoint_info import CheckpointInfo

    return CheckpointInfo(model={"width": 8}, package_version="0")
