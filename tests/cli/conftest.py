"""The commands, run as a person runs them: in processes of their own."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass

import pytest

from napari_semimoe.data.synthetic import write_tiles

#: A network and a round that take seconds.
SMALL = ["--steps", "4", "--network", "width=4", "--set", "crop_px=32", "--set", "pseudo_views=1"]
SMALL += ["--set", "labelled_batch=1", "--set", "unlabelled_batch=1", "--device", "cpu"]
# A network that marks nothing, or everything, after its four steps would count as collapsed. This
# seed's marks half of the pixels, and so it does on every processor: without bfloat16, which not
# all have, they differ by rounding alone.
SMALL += ["--set", "optimiser=sgd", "--set", "learning_rate=0.3", "--set", "schedule=step"]
SMALL += ["--set", "ema_decay=0", "--set", "mixed_precision=false", "--seed", "8"]
SMALL += ["--set", "threads=1"]  # two threads on a busy processor wait for each other


#: What the window of a terminal is said to be.
WIDTH = {"COLUMNS": "200"}


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)


def environment(home):
    """Return the environment without a screen and with a home of its own."""
    kept = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY")}
    folders = {"HOME": str(home), "XDG_STATE_HOME": str(home / "state")}
    return kept | folders | WIDTH | {"SEMIMOE_DATA": ""}


@pytest.fixture(scope="session")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="session")
def semimoe(home):
    """Run ``semimoe`` with some arguments and return how it ended."""

    def run(*arguments, cwd=None, code=0):
        command = [sys.executable, "-m", "napari_semimoe.cli", *map(str, arguments)]
        done = subprocess.run(
            command, cwd=cwd, env=environment(home), capture_output=True, text=True, check=False
        )
        assert done.returncode == code, done.stdout + done.stderr
        return Ended(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture(scope="session")
def tissue(tmp_path_factory):
    """Five small tiles with masks, and two without, in two folders."""
    folder = tmp_path_factory.mktemp("tissue")
    write_tiles(folder / "labelled", 5, seed=1, size=(70, 90))
    write_tiles(folder / "unlabelled", 2, seed=40, size=(60, 80), masks=False, name="more")
    return folder


@pytest.fixture(scope="session")
def trained(tmp_path_factory, tissue, semimoe):
    """A project with one short round; read it, do not change it."""
    project = tmp_path_factory.mktemp("projects") / "trained"
    semimoe("new", project)
    semimoe("add", project, tissue / "labelled")
    semimoe("add", project, tissue / "unlabelled")
    semimoe("train", project, *SMALL)
    return project


@pytest.fixture(scope="session")
def twice(tmp_path_factory, trained, semimoe):
    """A project with the same short round twice; read it, do not change it."""
    project = tmp_path_factory.mktemp("projects") / "twice"
    shutil.copytree(trained, project)  # projects can be moved
    semimoe("train", project, *SMALL)
    return project


@pytest.fixture
def copy(trained, tmp_path):
    """A copy of the trained project to change."""
    return shutil.copytree(trained, tmp_path / "copy")


@pytest.fixture(scope="session")
def weights(trained):
    return trained / "rounds" / "1" / "model.safetensors"
