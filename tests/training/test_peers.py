"""The peers of the benchmark: what each of them teaches unlabelled crops."""

import pytest
import torch

from benchmarks.peers import (
    SURE,
    CrossPseudo,
    FixMatch,
    MeanTeacher,
    Released,
    mean_distance,
    released_with,
)
from napari_semimoe.core.reports import SilentObserver
from napari_semimoe.data.targets import Targets, targets_from_mask
from napari_semimoe.model.losses import distance_mse
from napari_semimoe.model.semi_moe import SemiMoE
from napari_semimoe.training.learner import Learner
from napari_semimoe.training.round import run_round

from .making import MODEL, Hearing, after_steps, settings, tiles

CPU = torch.device("cpu")
PEERS = {"mean": MeanTeacher, "fix": FixMatch, "cross": CrossPseudo, "released": Released}


def stepwise(**values):
    return settings(pseudo_labels="step", confidence=False, **values)


def train(out, learner, observer=None, **values):
    return run_round(
        tiles(2, 3, 1),
        stepwise(**values),
        model=MODEL,
        base=None,
        out_dir=out,
        observer=observer or SilentObserver(),
        learner=learner,
    )


def weights(folder):
    return (folder / "model.safetensors").read_bytes()


@pytest.mark.parametrize("learner", PEERS.values(), ids=PEERS)
def test_interrupted_peer_goes_on_to_the_same_numbers(tmp_path, learner):
    train(tmp_path / "whole", learner)
    train(tmp_path / "parts", learner, Hearing(after_steps(2)))
    report = train(tmp_path / "parts", learner)
    assert report.steps == 4
    assert any(name.startswith("unlabelled/") for name in report.final_losses)
    assert weights(tmp_path / "whole") == weights(tmp_path / "parts")


@pytest.mark.parametrize("learner", [MeanTeacher, FixMatch, CrossPseudo])
def test_peers_end_elsewhere_than_training_that_makes_its_own_labels(tmp_path, learner):
    train(tmp_path / "peer", learner)
    train(tmp_path / "own", Learner)
    assert weights(tmp_path / "peer") != weights(tmp_path / "own")


def said(*probabilities):
    """Return what a network says of one pixel per probability of gland."""
    gland = torch.tensor(probabilities).view(1, 1, 1, -1)
    pair = torch.cat([1 - gland, gland], dim=1)
    return {"segmentation": pair, "distance": 2 * gland - 1, "boundary": pair}


def make(learner, **values):
    torch.manual_seed(0)
    return learner(SemiMoE(MODEL), stepwise(**values), CPU)


def test_fixmatch_teaches_only_where_it_is_sure():
    targets = make(FixMatch)._targets(said(0.97, 0.94, 0.03, 0.5))
    assert SURE == 0.95
    assert targets.valid.flatten().tolist() == [1, 0, 1, 0]
    assert targets.maps["segmentation"][0, 1].flatten()[[0, 2]].tolist() == [1, 0]


def test_mean_teacher_teaches_soft_answers_of_the_average():
    learner = make(MeanTeacher)
    assert learner._teacher() is learner.average
    targets = learner._targets(said(0.7))
    assert targets.maps["segmentation"].flatten().tolist() == pytest.approx([0.3, 0.7])
    assert targets.valid.tolist() == [[[[1.0]]]]


def test_teacher_stays_in_the_mode_it_was_in():
    learner = make(FixMatch)
    learner.model.train()
    learner._said(torch.rand(1, 3, 32, 32))
    assert learner.model.training


def test_the_two_networks_begin_apart_and_no_one_learns_from_its_own_label():
    learner = make(CrossPseudo)
    first, second = (next(each.parameters()) for each in (learner.model, learner.second))
    assert not torch.equal(first, second)
    image = torch.rand(1, 3, 32, 32)
    pupil, teacher = learner.model(image), learner.second(image)
    loss = learner._learns_from(pupil, teacher)
    sum(loss.by_task.values()).backward()
    assert any(p.grad is not None for p in learner.model.parameters())
    assert all(p.grad is None for p in learner.second.parameters())


def test_cross_pseudo_steps_change_both_networks(tmp_path):
    learner = make(CrossPseudo)
    before = [p.clone() for p in learner.second.parameters()]
    prepared = _prepared()
    learner.step(prepared[:2], prepared[2:], 0, 4, 0)
    assert any(
        not torch.equal(a, b) for a, b in zip(before, learner.second.parameters(), strict=True)
    )


def _prepared():
    from napari_semimoe.data.prepare import prepare

    source = tiles(2, 2, 0)
    return [prepare(source.read(name), MODEL) for name in (*source.labelled, *source.unlabelled)]


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


def test_each_defect_can_be_left_out():
    touching = torch.zeros(1, 8, 8, dtype=torch.int32)
    touching[:, :, :4], touching[:, :, 4:] = 1, 2
    own = targets_from_mask(touching[0].numpy().astype("uint16")).maps["boundary"]
    assert own[0, 1].any()  # two glands that touch have a boundary
    prepared = _prepared()
    whole = released_with(frozenset())(SemiMoE(MODEL), stepwise(), CPU)
    assert whole._set_rate(0, 10) > 0
    idle = released_with(frozenset({"idle epoch"}))(SemiMoE(MODEL), stepwise(), CPU)
    idle.step(prepared[:2], prepared[2:], 0, 10, 0)
    assert idle.optimisers["model"].param_groups[0]["lr"] == 0
    with pytest.raises(ValueError, match=r"quirks are some of .* got \['no such'\]"):
        released_with(frozenset({"no such"}))


def test_binary_boundary_knows_no_border_between_touching_objects():
    learner = released_with(frozenset({"binary boundary"}))(SemiMoE(MODEL), stepwise(), CPU)
    mended = released_with(frozenset())(SemiMoE(MODEL), stepwise(), CPU)
    prepared = _prepared()[:2]
    _, wrong = learner._labelled_batch(prepared, 0)
    _, right = mended._labelled_batch(prepared, 0)
    inside = right.maps["segmentation"][:, 1] > 0
    # the released boundary lies outside of all tissue; ours also on it, where objects touch
    assert not (wrong.maps["boundary"][:, 1].bool() & inside).any()
    assert torch.equal(wrong.maps["segmentation"], right.maps["segmentation"])


def test_labels_beyond_the_unlabelled_are_dropped():
    seen = []

    class Spy(released_with(frozenset({"dropped labels"}))):
        def _labelled_batch(self, tiles, step):
            seen.append(len(tiles))
            return super()._labelled_batch(tiles, step)

    prepared = _prepared()
    learner = Spy(SemiMoE(MODEL), stepwise(), CPU)
    learner.step(prepared[:2], prepared[2:3], 0, 4, 0)
    assert seen == [1]
