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
