"""The released training of the benchmark: each of its defects, by a number."""

from dataclasses import replace

import pytest
import torch

from benchmarks.released import Released, binary_boundary, mean_distance, released_with
from napari_semimoe.core.settings import ModelSettings
from napari_semimoe.data.prepare import prepare
from napari_semimoe.data.targets import Targets, targets_from_mask
from napari_semimoe.model.losses import distance_mse
from napari_semimoe.model.semi_moe import SemiMoE

from .making import MODEL, settings, tiles

CPU = torch.device("cpu")


def make(*quirks):
    torch.manual_seed(0)
    chosen = settings(pseudo_labels="step", confidence=False)
    return released_with(frozenset(quirks))(SemiMoE(MODEL), chosen, CPU)


def prepared(labelled=2, unlabelled=2):
    source = tiles(labelled, unlabelled, 0)
    return [
        [prepare(source.read(name), MODEL) for name in names]
        for names in (source.labelled, source.unlabelled)
    ]


def test_mean_distance_has_the_gradient_of_the_broadcast_error():
    """Two crops of opposite targets: even perfect answers cost 2.0 when all pairs are compared."""
    target = torch.tensor([1.0, -1.0]).view(2, 1, 1, 1)
    logits = torch.tensor([3.0, -0.5]).view(2, 1, 1, 1).requires_grad_()
    pairs = ((logits.tanh() - target[:, 0]) ** 2).mean()  # (2, 1, 1, 1) - (2, 1, 1)
    (wrong,) = torch.autograd.grad(pairs, logits)
    mended = mean_distance(Targets({"distance": target}, torch.ones(2, 1, 1, 1)))
    ours = distance_mse(logits, mended.maps["distance"], mended.valid)
    (grad,) = torch.autograd.grad(ours, logits)
    torch.testing.assert_close(grad, wrong)
    perfect = ((target - target[:, 0]) ** 2).mean()
    assert float(perfect) == 2.0


def test_binary_boundary_knows_no_border_between_touching_objects():
    pair = torch.zeros(8, 8, dtype=torch.int32)
    pair[:, :4], pair[:, 4:] = 1, 2
    targets = targets_from_mask(pair.numpy().astype("uint16"))
    # ours: two columns on both sides of the seam, 8 pixels each
    assert int(targets.maps["boundary"][0, 1].sum()) == 32
    assert int(binary_boundary(targets).maps["boundary"][0, 1].sum()) == 0


def test_binary_boundary_is_ours_around_a_lone_object():
    lone = torch.zeros(9, 9, dtype=torch.int32)
    lone[4, 4] = 1
    targets = targets_from_mask(lone.numpy().astype("uint16"))
    assert int(targets.maps["boundary"][0, 1].sum()) == 12  # a disk of radius 2 without its centre
    wrong = binary_boundary(targets)
    torch.testing.assert_close(wrong.maps["boundary"], targets.maps["boundary"])


def touching(index):
    """Return ids and classes of two objects that fill the tile's halves."""
    halves = torch.ones_like(index)
    halves[0, :, index.shape[2] // 2 :] = 2
    return halves


@pytest.mark.parametrize("quirk", ["binary boundary", "mean distance"])
def test_wrong_target_is_taught_only_with_its_quirk(quirk):
    labelled = [replace(tile, index=touching(tile.index)) for tile in prepared()[0]]
    task = quirk.split()[1]
    _, right = make()._labelled_batch(labelled, 0)
    _, wrong = make(quirk)._labelled_batch(labelled, 0)
    for name in right.maps:
        assert torch.equal(right.maps[name], wrong.maps[name]) == (name != task)


@pytest.mark.parametrize(("quirks", "taught"), [(["dropped labels"], 1), ([], 3)])
def test_labels_beyond_the_unlabelled_are_dropped(quirks, taught):
    seen = []
    learner = make(*quirks)
    usual = learner._labelled_batch
    learner._labelled_batch = lambda tiles, step: seen.append(len(tiles)) or usual(tiles, step)
    learner.step(*prepared(3, 1), 0, 4, 0)
    assert seen == [taught]


def test_idle_epoch_lasts_one_pass_over_the_unlabelled():
    learner, pools, rates = make("idle epoch"), prepared(2, 4), []
    for step in range(3):  # 4 tiles, 2 a step: two steps
        rates.append(learner.step(*pools, step, 10, 0).learning_rate)
    assert rates[:2] == [0, 0]
    assert rates[2] > 0
    assert make().step(*pools, 0, 10, 0).learning_rate > 0


def test_restless_labels_come_from_the_pass_that_they_teach():
    _, unlabelled = prepared()
    assert make("restless labels")._unlabelled_batch(unlabelled, 0)[1] is None
    learner = make()
    image, targets = learner._unlabelled_batch(unlabelled, 0)
    with torch.no_grad():
        gated = learner.model.eval()(image).gated["segmentation"]
    torch.testing.assert_close(targets.maps["segmentation"].argmax(1), gated.argmax(1))
    assert torch.equal(image, make("restless labels")._unlabelled_batch(unlabelled, 0)[0])


def test_quirks_of_the_network_change_its_settings():
    assert make().network() == {}
    assert make("flat gates").network() == {"gate_attention": "released"}
    wide = ModelSettings.parse(make("wide deviation").network())
    ratios = [a / b for a, b in zip(wide.std, MODEL.std, strict=True)]
    assert ratios == pytest.approx([2.55, 2.04, 3.23], abs=0.005)


def test_released_has_all_quirks_and_knows_no_other():
    assert Released.quirks == Released.QUIRKS
    assert len(Released.QUIRKS) == 7
    with pytest.raises(ValueError, match=r"quirks are some of .* got \['no such'\]"):
        released_with(frozenset({"no such"}))
