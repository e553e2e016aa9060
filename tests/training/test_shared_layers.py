"""Layers that look at the whole batch, without other processes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from napari_semimoe.core.settings import ModelSettings
from napari_semimoe.model.semi_moe import SemiMoE
from napari_semimoe.training.shared_layers import SharedBatchNorm, SharedDropout
from napari_semimoe.training.team import Team

CPU = torch.device("cpu")


@pytest.fixture
def team(tmp_path):
    """A team of one, in a pass."""
    team = Team(0, 1, Path(tmp_path) / "meeting", CPU)
    team.in_pass = True
    yield team
    team.close()


def test_batch_normalisation_has_torchs_numbers_gradients_and_memory(team):
    torch.manual_seed(0)
    plain = nn.BatchNorm2d(3)
    nn.init.uniform_(plain.weight)
    twin = nn.BatchNorm2d(3)
    twin.load_state_dict(plain.state_dict())
    shared = SharedBatchNorm.of(twin, team)
    team.counts = [4]
    features = torch.randn(4, 3, 5, 7) * 3 + 2
    one, two = features.clone().requires_grad_(), features.clone().requires_grad_()
    first, second = plain(one), shared(two)
    torch.testing.assert_close(second, first)
    weights = torch.randn_like(features)
    (first * weights).sum().backward()
    (second * weights).sum().backward()
    torch.testing.assert_close(two.grad, one.grad)
    torch.testing.assert_close(shared.weight.grad, plain.weight.grad)
    torch.testing.assert_close(shared.state_dict(), plain.state_dict())
    torch.testing.assert_close(shared.eval()(features), plain.eval()(features))


def test_dropout_draws_the_mask_of_the_whole_batch(team):
    rows = torch.ones(5, 8)
    plain, shared = nn.Dropout(0.5), SharedDropout.of(nn.Dropout(0.5), team)
    team.counts = [5]
    torch.manual_seed(1)
    expected = plain(rows)
    torch.manual_seed(1)
    torch.testing.assert_close(shared(rows), expected)
    assert expected.eq(0).any()
    torch.testing.assert_close(shared.eval()(rows), rows)


def test_network_keeps_its_weights_and_their_names(team):
    network = SemiMoE(ModelSettings(width=4))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    parameters = list(network.parameters())
    team.adopt(network)
    torch.testing.assert_close(dict(network.state_dict()), before)
    assert all(one is two for one, two in zip(parameters, network.parameters(), strict=True))
    kinds = {type(layer) for layer in network.modules()}
    assert not {nn.BatchNorm2d, nn.Dropout} & kinds
