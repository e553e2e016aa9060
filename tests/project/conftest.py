from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

import pytest

from napari_semimoe.project.project import Project
from tests.project.making import add_images


@pytest.fixture
def project(tmp_path):
    with Project.create(tmp_path / "study", author="Ada") as made:
        yield made


@pytest.fixture
def tile_id(project, tmp_path):
    """One unlabelled tile of 40 x 56 px."""
    return add_images(project, tmp_path / "one image", 1).added[0]


@pytest.fixture
def unprivileged():
    """Run a block without the rights of the administrator, whom no folder refuses."""

    @contextlib.contextmanager
    def without_rights():
        if os.name == "nt" or os.geteuid() != 0:
            yield
            return
        os.seteuid(65534)
        try:
            yield
        finally:
            os.seteuid(0)

    return without_rights


@pytest.fixture
def public_folder():
    """A folder that everyone may enter, unlike pytest's own."""
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)
        yield Path(name)
