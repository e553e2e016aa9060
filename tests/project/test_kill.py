"""A process that accepts masks is killed at random moments; nothing that was said is lost."""

import random
import subprocess
import sys
import time

import numpy as np
import pytest

from napari_semimoe.project.project import Project
from tests.project.making import add_images

SHAPE = (96, 128)

ACCEPT_FOREVER = """
import sys
import numpy as np
from napari_semimoe.project.project import Project

project = Project.open(sys.argv[1])
tile_ids = [tile.id for tile in project.tiles()]
seed = int(sys.argv[2])
project.read_image(tile_ids[0])  # loads what reading and writing need
print("ready", flush=True)
while True:
    labels = np.random.default_rng(seed).integers(0, 50, (96, 128)).astype(np.uint16)
    record = project.accept(tile_ids[seed % len(tile_ids)], labels)
    print(record.id, seed, flush=True)
    seed += 1
"""


def accept_until_killed(path, seed, seconds):
    """Return the accepts that the process was told were stored, as (annotation id, seed)."""
    process = subprocess.Popen(
        [sys.executable, "-c", ACCEPT_FOREVER, str(path), str(seed)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "ready\n"
    said = process.stdout.readline()
    time.sleep(seconds)  # the moment of the kill is what is random here
    process.kill()
    said += process.communicate()[0]
    whole = said.splitlines() if said.endswith("\n") else said.splitlines()[:-1]
    return [tuple(map(int, line.split())) for line in whole]


@pytest.mark.timeout(120)
def test_every_accept_that_returned_survives_a_kill(tmp_path):
    with Project.create(tmp_path / "study") as project:
        add_images(project, tmp_path / "in", 2, shape=SHAPE)
    chance = random.Random(7)
    stored = {}
    for attempt in range(6):
        accepts = accept_until_killed(tmp_path / "study", 1000 * attempt, chance.uniform(0, 0.3))
        stored |= dict(accepts)
        with Project.open(tmp_path / "study") as project:
            records = [r for tile in project.tiles() for r in project.annotations(tile.id)]
            assert set(stored) <= {record.id for record in records}
            # what was committed but not yet said is whole, too
            for record in records:
                labels = project.read_annotation(record.id)
                if record.id in stored:
                    wanted = np.random.default_rng(stored[record.id]).integers(0, 50, SHAPE)
                    np.testing.assert_array_equal(labels, wanted)
            arrays = {path.name for path in (tmp_path / "study" / "annotations").iterdir()}
            assert arrays == {record.path.split("/")[1] for record in records}
            for tile in project.tiles():
                versions = [record.version for record in project.annotations(tile.id)]
                assert versions == list(range(1, len(versions) + 1))
    assert len(stored) >= 6
