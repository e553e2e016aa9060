"""How right pseudo-labels are, by their weight: on a few pixels whose truth is known."""

import numpy as np
import pytest
import torch

from benchmarks.pseudo_labels import measure
from napari_semimoe.core.settings import ModelSettings
from napari_semimoe.core.values import Patch
from napari_semimoe.data.targets import targets_from_mask
from napari_semimoe.model.semi_moe import SemiMoE
from napari_semimoe.training.views import map_slices


class Says:
    """Stands for a predictor that gives these foreground probabilities."""

    def __init__(self, foreground, distance=None):
        self.model = SemiMoE(ModelSettings(width=4))
        self._foreground = torch.tensor(foreground)
        self._distance = 2 * self._foreground - 1 if distance is None else torch.tensor(distance)

    def working_maps(self, image, um_per_px):
        assert (image.shape[:2], um_per_px) == (self._foreground.shape, 1.25)
        places = map_slices(self.model)
        maps = torch.zeros(30, *image.shape[:2])
        for group in ("experts", "gated"):
            both = torch.stack([1 - self._foreground, self._foreground])
            maps[places[group, "segmentation"]] = both
            maps[places[group, "distance"]] = self._distance
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


def test_where_the_distance_expert_contradicts_nothing_is_learned():
    truth = np.array([[3, 0], [0, 0]], np.uint16)
    tile = Patch(np.zeros((2, 2, 3), np.uint8), truth, 1.25, "a")
    numbers = measure(Says([[1.0, 0.0], [1.0, 0.0]], [[0.4, -0.1], [-0.2, -1.0]]), [tile])
    assert numbers["wrong, confidence squared"] == pytest.approx(1 / 4)
    assert numbers["wrong, squared, where experts agree"] == 0.0
    assert numbers["weight, squared, where experts agree"] == pytest.approx(3 / 4)


def test_an_object_or_a_hole_without_a_sure_pixel_is_left_out():
    foreground = [[1.0, 0.75, 0.0, 0.75, 0.0, 1.0, 0.25, 1.0]]
    tile = Patch(np.zeros((1, 8, 3), np.uint8), np.array([[1, 1, 0, 0, 0, 1, 1, 1]]), 1.25, "a")
    numbers = measure(Says(foreground), [tile])
    assert numbers["weight, confidence squared"] == pytest.approx((5 + 3 / 4) / 8, abs=1e-4)
    assert numbers["weight, squared, objects and holes with a core"] == pytest.approx(
        (5 + 1 / 4) / 8, abs=1e-4
    )
    assert numbers["wrong, squared, objects and holes with a core"] == 0.0


def test_the_distance_of_the_objects_is_right_where_the_said_one_is_too_small():
    truth = np.zeros((144, 144), np.uint16)
    truth[20:120, 30:110] = 1
    true = targets_from_mask(truth).maps["distance"][0, 0]
    tile = Patch(np.zeros((144, 144, 3), np.uint8), truth, 1.25, "a")
    numbers = measure(Says((truth > 0).astype(np.float32), (0.2 * true).numpy()), [tile])
    assert numbers["distance, of the objects"] == 0
    assert numbers["distance, stretched"] == pytest.approx(0, abs=1e-4)
    assert numbers["distance, as said"] == pytest.approx(float((0.64 * true**2).mean()), abs=1e-4)
