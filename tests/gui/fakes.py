"""An engine whose predictions look like glands, for windows without child processes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from napari_semimoe.core.states import JobState
from napari_semimoe.core.values import Box, Prediction
from napari_semimoe.project.arrays import write_prediction
from tests.session.fake_engine import FakeEngine

EXPERTS = ("segmentation", "distance", "boundary")


class WindowEngine(FakeEngine):
    """The session's fake engine; it wakes the window and draws two glands on each tile."""

    def __init__(self, folder):
        self.closed = False
        super().__init__(folder)

    @property
    def on_wake(self):
        return self._book.on_wake

    @on_wake.setter
    def on_wake(self, callback):
        self._book.on_wake = callback

    def predict(self, job, disagreement=0.25, shift=0):
        height, width = Box(*job.payload["image"]["box"]).shape
        write_prediction(Path(job.payload["out"]), glands(height, width, shift))
        gates = [[0.5, 0.3, 0.2], [0.2, 0.7, 0.1], [0.1, 0.1, 0.8]]
        result = {
            "out": job.payload["out"],
            "disagreement": disagreement,
            "foreground": 0.5,
            "gates": gates,
            "expert_names": EXPERTS,
            "device": "cpu",
        }
        self.finish(job, JobState.CANCELLED if job.cancelled else JobState.DONE, result=result)

    def close(self):
        super().close()
        self.closed = True


def glands(height, width, shift=0):
    """Return a prediction with gland 1 on the left and gland 2 on the right."""
    instances = np.zeros((height, width), np.uint16)
    top, bottom = height // 4, height // 2
    instances[top:bottom, 2 + shift : width // 4 + shift] = 1
    instances[top:bottom, width // 2 + shift : 3 * width // 4 + shift] = 2
    inside = (instances > 0).astype(np.float32)
    experts = {"segmentation": inside, "distance": 2 * inside - 1, "boundary": 1 - inside}
    return Prediction(
        experts=experts,
        gated=experts,
        class_probabilities=np.stack([1 - inside, inside]),
        instances=instances,
        classes={1: 1, 2: 1},
        disagreement=0.5 * inside,
        gates=np.array([[0.5, 0.3, 0.2], [0.2, 0.7, 0.1], [0.1, 0.1, 0.8]], np.float32),
        expert_names=EXPERTS,
    )
