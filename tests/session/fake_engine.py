"""An engine with rules but without processes: the test decides when and how a job ends."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from napari_semimoe.core.states import JobState
from napari_semimoe.core.values import Box, Prediction
from napari_semimoe.jobs.book import JobBook
from napari_semimoe.jobs.wire import plain
from napari_semimoe.project.arrays import write_prediction
from tests.header_only import write_weights


@dataclass
class FakeJob:
    job_id: str
    kind: str
    payload: dict
    priority: int
    cancelled: bool = False


class FakeEngine:
    """Keeps submitted jobs until `run_next`, `fail` or `finish` ends them."""

    def __init__(self, folder: Path) -> None:
        self.failure_dir = folder / "failures"
        self.environment = {}
        self.jobs: list[FakeJob] = []
        self.forced: list[str] = []
        self.warmed: set[str] = set()
        self.stops_when_asked = True
        self._book = JobBook()
        self.status = self._book.status
        self.poll = self._book.poll
        self.wait = self._book.wait
        self.on_wake = None

    def submit(self, kind, payload, *, priority=0):
        job = FakeJob(self._book.add(kind), kind, plain(payload), priority)
        self.jobs.append(job)
        return job.job_id

    def cancel(self, job_id, *, force=False):
        for job in [job for job in self.jobs if job.job_id == job_id]:
            job.cancelled = True
            waiting = self.status(job_id).state is JobState.QUEUED
            if force:
                self.forced.append(job_id)
            if waiting or force or (job.kind == "train" and self.stops_when_asked):
                result = {"cancelled": True, "weights": ""} if job.kind == "train" else None
                self.finish(job, JobState.CANCELLED, result=result)

    def warm_up(self, kind="predict"):
        self.warmed.add(kind)

    def close(self):
        for job in list(self.jobs):
            self.finish(job, JobState.CANCELLED)

    # -- what a test does ------------------------------------------------------------------

    def of_kind(self, kind):
        return [job for job in self.jobs if job.kind == kind]

    @property
    def tiles_asked(self):
        """Names of the tiles asked for, most urgent first."""
        jobs = sorted(self.of_kind("predict"), key=lambda job: -job.priority)
        return [job.payload["image"]["name"] for job in jobs]

    def start(self, job):
        self._book.report(job.job_id, "started", {})

    def say(self, job, name, data):
        self._book.report(job.job_id, name, data)

    def finish(self, job, state, **data):
        self.jobs.remove(job)
        self._book.finish(job.job_id, state, **data)

    def predict(self, job, disagreement=0.25):
        """Do a prediction as a worker would, with a mask of one object."""
        height, width = Box(*job.payload["image"]["box"]).shape
        write_prediction(Path(job.payload["out"]), a_prediction(height, width))
        result = {
            "out": job.payload["out"],
            "disagreement": disagreement,
            "foreground": 0.5,
            "gates": [[1.0]],
            "expert_names": ["segmentation"],
            "device": "cpu",
        }
        self.finish(job, JobState.CANCELLED if job.cancelled else JobState.DONE, result=result)

    def predict_everything(self):
        for job in self.of_kind("predict"):
            self.start(job)
            self.predict(job)

    def train(self, job, *, new=None, old=None):
        """End a round as the worker would, with scores of the new and the base model."""
        weights = Path(job.payload["out_dir"]) / "model.safetensors"
        write_weights(weights, job.payload["model"]["classes"])
        score = [None if dice is None else {"tiles": 1, "dice": dice} for dice in (new, old)]
        result = {
            "weights": str(weights),
            "cancelled": False,
            "validation": score[0],
            "base_validation": score[1],
        }
        self.finish(job, JobState.DONE, result=result)


def a_prediction(height, width):
    ones = np.ones((height, width), np.float32)
    return Prediction(
        experts={"segmentation": ones},
        gated={"segmentation": ones},
        class_probabilities=np.stack([0 * ones, ones]),
        instances=ones.astype(np.uint16),
        classes={1: 1},
        disagreement=0 * ones,
        gates=np.ones((1, 1), np.float32),
        expert_names=("segmentation",),
    )
