"""What a round costs is told by trial steps, for tiles of any size."""

import torch

from napari_semimoe.data.prepare import PreparedTile, prepare
from napari_semimoe.model.semi_moe import SemiMoE
from napari_semimoe.training import trial
from napari_semimoe.training.learner import Learner
from tests.training.making import MODEL, patch, settings


def test_pseudo_labels_of_larger_tiles_than_the_first_cost_more(monkeypatch):
    monkeypatch.setattr(trial, "_timed", lambda call: (call(), 1.0)[1])
    learner = Learner(SemiMoE(MODEL), settings(), torch.device("cpu"))
    labelled = [prepare(patch("a", seed=0), MODEL)]
    small = PreparedTile("small", torch.zeros(3, 40, 48, dtype=torch.uint8))
    large = PreparedTile("large", torch.zeros(3, 120, 48, dtype=torch.uint8))

    def view(unlabelled):
        found = trial.trial_costs(learner, labelled, unlabelled, lambda: None, check=lambda: None)
        return found.pseudo_view

    assert view([small, small]) == 1
    assert view([small, large]) == 2
    assert view([large, small]) == 2 / 3
