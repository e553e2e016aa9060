"""Pseudo-labels are what a person would see on the screen, averaged over more views."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_semimoe.core.settings import PredictSettings
from napari_semimoe.model.semi_moe import SemiMoE
from napari_semimoe.training.predict import FLIPS, Predictor
from napari_semimoe.training.pseudo import pseudo_maps, targets_from_maps
from napari_semimoe.training.views import first_views

from .making import MODEL, patch, settings


@pytest.fixture
def model():
    torch.manual_seed(0)
    return SemiMoE(MODEL)


@pytest.mark.parametrize("adapt", [True, False])
@pytest.mark.parametrize("views", [1, 2, 8])
def test_what_teaches_is_what_a_person_would_see_in_as_many_views(model, views, adapt):
    tile = patch("a", seed=1, masked=False)
    how = settings(adapt=adapt)
    maps = pseudo_maps(model, tile, how, views=views)
    shown = PredictSettings(device="cpu", adapt=adapt)
    predictor = Predictor(model, shown, mixed_precision=how.mixed_precision)
    predictor.views = first_views(views)
    seen = predictor.predict(tile.image, tile.um_per_px)  # at its own size already
    np.testing.assert_allclose(maps[1], seen.gated["segmentation"], atol=1e-3)
    np.testing.assert_allclose(maps[2], seen.gated["distance"], atol=1e-3)


@pytest.mark.parametrize("mixed", [True, False])
def test_bfloat16_makes_pseudo_labels_only_where_it_is_allowed(model, monkeypatch, mixed):
    monkeypatch.setattr("napari_semimoe.training.device.gains_from_bfloat16", lambda device: True)
    used = set()
    model.register_forward_hook(lambda *_: used.add(torch.is_autocast_enabled("cpu")))
    tile = patch("a", seed=1, masked=False)
    pseudo_maps(model, tile, settings(mixed_precision=mixed), views=1)
    assert used == {mixed}


def test_a_tile_at_another_resolution_gets_maps_of_working_pixels(model):
    tile = patch("a", seed=1, masked=False, size=(80, 97))
    fine = replace(tile, um_per_px=MODEL.um_per_px / 2)
    assert pseudo_maps(model, fine, settings(), views=4).shape == (6, 40, 48)


@pytest.mark.parametrize("count", range(1, 9))
def test_the_first_views_are_so_many_and_spread_over_the_scales(count):
    views = first_views(count)
    assert sum(len(turns) for turns in views.values()) == count
    assert len(views) == min(count, 4)


def test_all_views_are_each_flip_and_turn_once():
    assert sorted(view for turns in FLIPS.values() for view in turns) == list(range(8))


@pytest.mark.parametrize(
    ("likely", "weight"), [(0.5, 0), (0.75, 0.25), (0.95, 0.81), (1, 1), (0.25, 0.25)]
)
def test_a_pixel_weighs_the_square_of_its_confidence(model, likely, weight):
    maps = torch.zeros(1, 6, 32, 32)
    maps[:, 0], maps[:, 1] = likely, 1 - likely
    found = targets_from_maps(model, maps, confidence=True)
    torch.testing.assert_close(found.valid, torch.full((1, 1, 32, 32), float(weight)))
    assert targets_from_maps(model, maps, confidence=False).valid.eq(1).all()
