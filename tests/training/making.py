"""Small tiles and observers for the training's tests."""

import numpy as np

from napari_semimoe.core.settings import ModelSettings, RoundSettings
from napari_semimoe.core.values import Patch
from napari_semimoe.training.source import MemorySource

MODEL = ModelSettings(width=4)


def settings(**values):
    tiny = {
        "max_steps": 4,
        "crop_px": 32,
        "labelled_batch": 2,
        "unlabelled_batch": 2,
        "labelled_only": 0.0,
        "pseudo_views": 1,
        "threads": 1,
        "device": "cpu",
        "mixed_precision": False,
    }
    return RoundSettings.parse(tiny | values)


def patch(name, *, seed, masked=True, size=(40, 48)):
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (*size, 3)).astype(np.uint8)
    labels = np.zeros(size, np.uint16)
    labels[5:20, 6:20], labels[22:36, 20:40] = 1, 2
    return Patch(image, labels if masked else None, MODEL.um_per_px, name)


def tiles(labelled=2, unlabelled=2, validation=1):
    """Return a source with so many tiles of each role."""
    counts = {"labelled": labelled, "unlabelled": unlabelled, "validation": validation}
    names = {role: [f"{role} {i}" for i in range(count)] for role, count in counts.items()}
    everything = [name for group in names.values() for name in group]
    patches = {
        name: patch(name, seed=seed, masked=not name.startswith("unlabelled"))
        for seed, name in enumerate(everything)
    }
    return MemorySource(patches, **names)


class Hearing:
    """Keeps what it hears; asks to stop when ``stop(self)`` says so."""

    def __init__(self, stop=lambda hearing: False):
        self.reports, self.asked, self._stop = [], 0, stop

    def report(self, name, data):
        self.reports.append((name, dict(data)))

    def should_stop(self):
        self.asked += 1
        return self._stop(self)

    def named(self, name):
        return [data for heard, data in self.reports if heard == name]


def after_steps(count):
    return lambda hearing: len(hearing.named("step")) >= count
