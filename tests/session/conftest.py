from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from napari_semimoe.session import Session

from .fake_engine import FakeEngine


def write_image(path, seed, shape=(40, 56)):
    pixels = np.random.default_rng(seed).integers(0, 255, (*shape, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def write_mask(path, shape=(40, 56)):
    mask = np.zeros(shape, np.uint8)
    mask[5:15, 5:15] = 255
    Image.fromarray(mask).save(path)


@pytest.fixture
def images(tmp_path):
    """Ten tiles; the first two come with a mask."""
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(1, 11):
        write_image(folder / f"tile_{number}.png", number)
    for number in (1, 2):
        write_mask(folder / f"tile_{number}_anno.png")
    return folder


@pytest.fixture
def engine(tmp_path):
    return FakeEngine(tmp_path)


@pytest.fixture
def session(engine):
    session = Session(engine, author="Dr Test")
    yield session
    session.close()


@pytest.fixture
def filled(session, tmp_path, images):
    """A session with a new project that holds the ten tiles."""
    session.new(tmp_path / "project")
    session.add_folder(images, um_per_px=1.0)
    return session


@pytest.fixture
def starter(tmp_path, monkeypatch):
    """Weights that 'ship' with the package, as far as the session can see."""
    path = tmp_path / "starter.safetensors"
    path.write_bytes(b"weights")
    monkeypatch.setattr("napari_semimoe.session.models.starter_weights", lambda: path)
    monkeypatch.setattr("napari_semimoe.session.plan.read_info", fake_info)
    return path


@pytest.fixture
def no_starter(monkeypatch):
    monkeypatch.setattr("napari_semimoe.session.models.starter_weights", lambda: None)
    monkeypatch.setattr("napari_semimoe.session.plan.read_info", fake_info)


def fake_info(path):
    from napari_semimoe.core.checkpoint_info import CheckpointInfo

    return CheckpointInfo(model={"width": 8}, package_version="0")
