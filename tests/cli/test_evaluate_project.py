"""Scores of a project of several classes."""

from types import SimpleNamespace

import numpy as np

from napari_semimoe.cli.evaluate import _tables
from napari_semimoe.cli.evaluate_project import _scores
from napari_semimoe.core.values import Prediction
from napari_semimoe.project.arrays import write_prediction
from napari_semimoe.project.predictions import NewPrediction
from napari_semimoe.project.project import Project
from tests.project.making import add_images


def test_each_class_is_scored_alone_too(tmp_path):
    truth = np.zeros((40, 56), np.uint16)
    truth[:20, :20], truth[30:, 30:] = 1, 2
    found = np.where(truth == 2, 3, truth)
    found[30:, 30:43] = 0  # half of the second
    ones = np.ones(truth.shape, np.float32)
    prediction = Prediction(
        experts={"segmentation": ones},
        gated={"segmentation": ones},
        class_probabilities=np.stack([ones] * 3),
        instances=found,
        classes={1: 1, 3: 2},
        disagreement=ones,
        gates=np.ones((1, 1), np.float32),
        expert_names=("segmentation",),
    )
    with Project.create(tmp_path / "p", classes=("background", "benign", "malignant")) as project:
        (tile,) = add_images(project, tmp_path / "in", 1).added
        project.accept(tile, truth, classes={2: 2})
        path = project.new_prediction_path()
        write_prediction(path, prediction)
        new = NewPrediction(path, "round 1", 0.0, 0.5, [[1.0]], ("segmentation",))
        project.add_prediction(tile, new)
        data = _scores(SimpleNamespace(project=project, model_name="round 1"), [tile], False)
    assert data["classes"]["benign"]["dice"] == 1
    assert data["classes"]["malignant"]["dice"] == 2 * 130 / (130 + 260)
    assert data["pooled"]["dice"] == 2 * 530 / (530 + 660)
    assert [table.title for table in _tables(data, False)][1] == "Each class, pooled"
