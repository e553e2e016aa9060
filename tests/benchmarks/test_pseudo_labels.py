"""How right pseudo-labels are, by their weight: on four pixels whose truth is known."""

import numpy as np
import pytest
import torch

from benchmarks.pseudo_labels import measure
from napari_semimoe.core.settings import ModelSettings
from napari_semimoe.core.values import Patch
from napari_semimoe.model.semi_moe import SemiMoE
from napari_semimoe.training.views import map_slices


class Says:
    """Stands for a predictor that gives these foreground probabilities."""

    def __init__(self, foreground):
        self.model = SemiMoE(ModelSettings(width=4))
        self._foreground = torch.tensor(foreground)

    def working_maps(self, image, um_per_px):
        assert (image.shape, um_per_px) == ((2, 2, 3), 1.25)
        place = map_slices(self.model)["gated", "segmentation"]
        maps = torch.zeros(30, 2, 2)
        maps[place] = torch.stack([1 - self._foreground, self._foreground])
        return maps


def test_each_weight_is_told_with_the_share_of_it_that_is_wrong():
    truth = np.array([[3, 0], [1, 0]], np.uint16)
    tile = Patch(np.zeros((2, 2, 3), np.uint8), truth, 1.25, "a")
    numbers = measure(Says([[1.0, 0.75], [0.75, 0.0]]), [tile, tile])  # sure 1, 0.5, 0.5, 1
    assert numbers["dice"] == pytest.approx(2 * 2 / (3 + 2))
    assert numbers["wrong, all alike"] == pytest.approx(1 / 4)
    assert numbers["wrong, confidence"] == pytest.approx(0.5 / 3, abs=1e-4)
    assert numbers["weight, confidence"] == pytest.approx(0.75)
    assert numbers["wrong, confidence squared"] == pytest.approx(0.25 / 2.5)
    assert numbers["weight, confidence squared"] == pytest.approx(2.5 / 4)
    assert (numbers["wrong, confidence above 0.9"], numbers["weight, confidence above 0.9"]) == (
        0.0,
        0.5,
    )
