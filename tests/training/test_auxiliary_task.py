"""A further task is an entry in two tables; everything else follows from its name."""

import numpy as np
import pytest
import torch

from napari_semimoe.core.errors import SettingsError
from napari_semimoe.core.settings import PredictSettings
from napari_semimoe.data.targets import TARGETS, Target
from napari_semimoe.model import losses
from napari_semimoe.model.semi_moe import SemiMoE
from napari_semimoe.model.tasks import TASKS, Task
from napari_semimoe.training.predict import load_predictor
from napari_semimoe.training.round import run_round
from tests.training.making import MODEL, Hearing, patch, settings, tiles

NAMES = (*MODEL.experts, "depth")


@pytest.fixture
def depth(monkeypatch):
    """How deep inside of an object a pixel lies, in [0, 1]; nothing outside."""
    task = Task(0.5, lambda _: 1, torch.sigmoid, losses.distance_mse)
    target = Target(lambda masks: (masks.distance / 8).clamp(0, 1), lambda maps: maps)
    monkeypatch.setitem(TASKS, "depth", task)
    monkeypatch.setitem(TARGETS, "depth", target)


@pytest.mark.usefixtures("depth")
def test_it_learns_from_masks_and_pseudo_labels_and_is_predicted(tmp_path):
    hearing = Hearing()
    model = MODEL.changed(experts=NAMES)
    run_round(tiles(), settings(), model=model, base=None, out_dir=tmp_path, observer=hearing)
    last = hearing.named("step")[-1]
    assert {"labelled/depth", "unlabelled/depth"} <= last["losses"].keys()
    assert {"depth<-segmentation", "segmentation<-depth"} <= last["gates"].keys()
    predictor = load_predictor(tmp_path / "model.safetensors", PredictSettings(device="cpu"))
    found = predictor.predict(patch("new", seed=9).image, MODEL.um_per_px)
    assert found.expert_names == NAMES
    for maps in (found.experts, found.gated):
        assert maps["depth"].shape == (40, 48)
        assert np.ptp(maps["depth"]) > 0


def test_an_expert_without_a_task_is_refused_with_those_there_are():
    with pytest.raises(SettingsError, match=r"segmentation, distance, boundary, got depth"):
        SemiMoE(MODEL.changed(experts=NAMES))
