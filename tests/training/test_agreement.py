"""How far the experts agree, and which pixels of unlabelled tiles may teach for it."""

import numpy as np
import pytest
import torch

from napari_semimoe.core.errors import SettingsError
from napari_semimoe.core.settings import RoundSettings
from napari_semimoe.core.values import IGNORE
from napari_semimoe.model.semi_moe import SemiMoE
from napari_semimoe.training.agreement import AgreementCurve
from napari_semimoe.training.pseudo import pseudo_maps, targets_from_maps, taught
from napari_semimoe.training.step import head_losses

from .making import MODEL, patch, settings


def at(curve, threshold):
    return next(point for point in curve.points() if point[0] == threshold)


def test_coverage_and_precision_of_six_pixels():
    curve = AgreementCurve()
    agreement = np.array([[1.0, 0.9, 0.5], [0.5, 0.2, 0.0]])
    found = np.array([[1, 1, 0], [0, 1, 0]], bool)
    truth = np.array([[4, 0, 0], [1, 2, IGNORE]], np.uint16)
    curve.add(agreement, found, truth)  # right: yes, no, yes / no, yes, not counted
    assert at(curve, 0.0) == [0.0, 1.0, pytest.approx(3 / 5)]
    assert at(curve, 0.5) == [0.5, pytest.approx(4 / 5), pytest.approx(2 / 4)]
    assert at(curve, 0.95) == [0.95, pytest.approx(1 / 5), 1.0]
    curve.add(np.zeros((1, 5)), np.zeros((1, 5), bool), np.zeros((1, 5), np.uint16))
    assert at(curve, 0.95) == [0.95, pytest.approx(1 / 10), 1.0]


def test_where_nothing_passes_there_is_no_precision():
    curve = AgreementCurve()
    assert at(curve, 0.0) == [0.0, 0.0, None]
    curve.add(np.full((2, 2), 0.1), np.ones((2, 2), bool), np.ones((2, 2), np.uint16))
    assert at(curve, 0.5) == [0.5, 0.0, None]


@pytest.fixture
def made():
    """A network and one tile's pseudo-label, its last map the agreement."""
    torch.manual_seed(0)
    model = SemiMoE(MODEL).eval()
    tile = patch("a", seed=1, masked=False)
    return model, pseudo_maps(model, tile, settings(), views=2)


def test_pseudo_labels_carry_their_agreement(made):
    _, maps = made
    assert maps.shape == (2 + 1 + 2 + 1, 40, 48)
    assert 0 <= maps[-1].min() <= maps[-1].max() <= 1


def test_pixels_below_the_threshold_teach_nothing_at_all(made):
    """The left half agrees by 0.6, the right by 0.4: a threshold of 0.5 silences the right."""
    model, maps = made
    maps = maps[None, :, :32, :32].float()
    maps[:, -1, :, :16], maps[:, -1, :, 16:] = 0.6, 0.4
    targets = targets_from_maps(model, maps, confidence=False, agreement=0.5)
    assert targets.valid[..., :16].eq(1).all()
    assert targets.valid[..., 16:].eq(0).all()
    outputs = model(torch.rand(1, 3, 32, 32))
    logits = [*outputs.experts.values(), *outputs.gated.values()]
    for each in logits:
        each.retain_grad()
    losses = head_losses(outputs, targets, RoundSettings(), gated=True)
    sum(losses.by_task.values()).backward()
    for each in logits:
        assert each.grad[..., 16:].eq(0).all()
        assert each.grad[..., :16].ne(0).any()


def test_threshold_itself_still_teaches(made):
    model, maps = made
    maps = maps[None].float()
    maps[:, -1] = 0.5
    assert targets_from_maps(model, maps, confidence=False, agreement=0.5).valid.eq(1).all()


def test_numbers_of_a_pseudo_label_are_shares_of_its_pixels(made):
    """Of 4 x 4 pixels the upper half is gland for sure; a quarter agrees too little."""
    model, _ = made
    maps = torch.zeros(6, 4, 4)
    maps[1, :2], maps[0, 2:] = 1, 1  # segmentation: background, gland
    maps[-1], maps[-1, 0] = 1, 0.2
    numbers, found = taught(model, maps.half(), confidence=True, agreement=0.5)
    assert numbers == {"foreground": 0.5, "coverage": 0.75, "weight": 0.75}
    assert found.tolist() == [[True] * 4] * 2 + [[False] * 4] * 2


def test_agreement_is_refused_in_words_without_stages():
    with pytest.raises(SettingsError, match="agreement needs pseudo_labels 'stage'"):
        RoundSettings.fine_tune(agreement=0.5, pseudo_labels="step")


def test_rounds_of_early_versions_say_that_they_did_not_use_cutmix():
    stored = RoundSettings().model_dump() | {"cutmix": 0.0}
    assert RoundSettings.parse(stored) == RoundSettings()
    with pytest.raises(SettingsError, match="cutmix is no setting"):
        RoundSettings.parse(stored | {"cutmix": 0.5})
