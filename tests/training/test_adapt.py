"""Fitting a network to one tile: what its statistics are then, and that nothing of it stays."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from napari_semimoe.core.settings import ModelSettings, PredictSettings
from napari_semimoe.model.encoder_file import network_around
from napari_semimoe.model.semi_moe import SemiMoE
from napari_semimoe.training.adapt import ENOUGH_PX, SHARE, adapted
from napari_semimoe.training.predict import Predictor
from napari_semimoe.training.pseudo import pseudo_maps
from tests.model.encoder_files import efficientnet_lite, vit
from tests.training.making import patch, settings

UM = 1.25


def one_layer():
    layer = nn.BatchNorm2d(3)
    layer.running_mean.copy_(torch.tensor([1.0, 2.0, 3.0]))
    layer.running_var.fill_(4.0)
    return nn.Sequential(layer).eval()


def picture(height=96, width=80, seed=0):
    coarse = np.random.default_rng(seed).integers(40, 200, (height // 8, width // 8, 3))
    return np.kron(coarse, np.ones((8, 8, 1))).astype(np.uint8)


def network():
    """Return a small network whose statistics are those of `picture`."""
    torch.manual_seed(0)
    model = SemiMoE(ModelSettings(width=4, um_per_px=UM)).train()
    seen = torch.from_numpy(picture()).permute(2, 0, 1)[None].float() / 255
    for _ in range(60):
        model(seen[..., :80, :80])
    return model.eval()


def state(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize(("pixels", "share"), [(ENOUGH_PX, 1), (9**9, 1), (ENOUGH_PX // 4, 0.25)])
def test_a_tile_counts_in_part_and_a_small_one_less(pixels, share):
    model, tile = one_layer(), torch.rand(1, 3, 20, 20)
    with adapted(model, model, [tile], pixels):
        counted = share * SHARE
        trained = torch.tensor([1.0, 2.0, 3.0])
        expected = counted * tile.mean((0, 2, 3)) + (1 - counted) * trained
        torch.testing.assert_close(model[0].running_mean, expected)
        spread = counted * tile.var((0, 2, 3)) + (1 - counted) * 4
        torch.testing.assert_close(model[0].running_var, spread)
        assert not model[0].training


def test_windows_of_a_large_tile_count_as_one_tile():
    model, windows = one_layer(), [torch.full((1, 3, 8, 8), value) for value in (0.0, 1.0, 5.0)]
    whole = torch.cat(windows, dim=3)
    with adapted(model, model, windows, ENOUGH_PX):
        expected = SHARE * 2 + (1 - SHARE) * torch.tensor([1.0, 2.0, 3.0])
        torch.testing.assert_close(model[0].running_mean, expected)
        spread = SHARE * whole.var((0, 2, 3), correction=0) + (1 - SHARE) * 4
        torch.testing.assert_close(model[0].running_var, spread)


@pytest.mark.parametrize("where", ["after", "while looking", "inside"])
def test_afterwards_the_network_is_as_it_was_whatever_happened(where):
    model = network()
    before = state(model)

    def look(part):
        model(part)
        if where == "while looking":
            raise KeyboardInterrupt

    try:
        with adapted(model, look, [torch.rand(1, 3, 64, 64)], ENOUGH_PX):
            assert not same(before, state(model))
            if where == "inside":
                raise KeyboardInterrupt
    except KeyboardInterrupt:
        assert where != "after"
    assert same(before, state(model))
    assert not any(module.training for module in model.modules())
    norms = [each for each in model.modules() if isinstance(each, nn.BatchNorm2d)]
    assert {norm.momentum for norm in norms} == {0.1}


@pytest.mark.parametrize("learns", [True, False])
def test_an_encoder_that_does_not_learn_keeps_its_statistics(tmp_path, learns):
    save_file(efficientnet_lite(), tmp_path / "e.safetensors")
    wanted = ModelSettings.pretrained(width=4, train_encoder=learns)
    model = network_around(tmp_path / "e.safetensors", wanted).eval()
    before = state(model)
    with adapted(model, model, [torch.rand(1, 3, 64, 64)], ENOUGH_PX):
        changed = {name for name, value in state(model).items() if not value.equal(before[name])}
    assert any("encoder" in name for name in changed) is learns
    assert any("decoders" in name for name in changed)


def test_a_network_around_a_transformer_can_be_fitted_too(tmp_path):
    save_file(vit(patch=14, registers=1, placed=False), tmp_path / "e.safetensors")
    model = network_around(tmp_path / "e.safetensors", ModelSettings.pretrained(width=4))
    found = Predictor(model, PredictSettings(device="cpu")).predict(picture(), UM)
    assert np.isfinite(found.gated["segmentation"]).all()


def predictor(*, adapt, **values):
    return Predictor(network(), PredictSettings.parse({"device": "cpu", "adapt": adapt} | values))


def marked(ready, image):
    return ready.predict(image, UM).gated["segmentation"]


@pytest.mark.parametrize("values", [{}, {"window_px": 64}, {"flips": True}], ids=str)
def test_another_stain_changes_a_fitted_network_less(values):
    image = np.tile(picture(), (3, 3, 1))
    other = (0.6 * image + [60, 10, 40]).clip(0, 255).astype(np.uint8)

    def moved(adapt):
        ready = predictor(adapt=adapt, **values)
        return np.abs(marked(ready, other) - marked(ready, image)).mean()

    assert moved(adapt=True) < 0.95 * moved(adapt=False)


def test_a_tile_leaves_nothing_behind_for_the_next_one():
    ready, image = predictor(adapt=True), picture()
    first = marked(ready, image)
    marked(ready, 255 - image)
    np.testing.assert_array_equal(first, marked(ready, image))


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (700, 90)], ids=str)
@pytest.mark.parametrize("grey", [0, 255])
def test_an_empty_tile_of_any_size_gives_numbers(size, grey):
    found = predictor(adapt=True).predict(np.full((*size, 3), grey, np.uint8), UM)
    assert np.isfinite(found.gated["segmentation"]).all()
    assert found.instances.shape == size


def test_pseudo_labels_are_made_by_the_fitted_network_where_the_round_says_so():
    model = network()
    before = state(model)
    tile = patch("one", seed=3, masked=False)
    made = {
        adapt: pseudo_maps(model, tile, settings(adapt=adapt), views=2) for adapt in (True, False)
    }
    assert made[True].shape == made[False].shape
    assert not torch.equal(made[True], made[False])
    assert same(before, state(model))
