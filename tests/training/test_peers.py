"""The peers of the benchmark: what each of them teaches unlabelled crops."""

import pytest
import torch
from safetensors.torch import save_file

from benchmarks.peers import SURE, CrossPseudo, FixMatch, MeanTeacher
from benchmarks.released import Released
from napari_semimoe.core.reports import SilentObserver
from napari_semimoe.core.settings import ModelSettings
from napari_semimoe.data.prepare import prepare
from napari_semimoe.model.encoder_file import network_around
from napari_semimoe.model.semi_moe import SemiMoE
from napari_semimoe.training.learner import Learner
from napari_semimoe.training.round import run_round
from napari_semimoe.training.step import head_losses
from tests.model.encoder_files import efficientnet_lite

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


def test_pixels_of_which_fixmatch_is_unsure_have_no_gradient():
    learner = make(FixMatch)
    sure = torch.zeros(1, 1, 32, 32, dtype=torch.bool)
    sure[..., :16] = True
    gland = torch.where(sure, 0.99, 0.6)
    pair = torch.cat([1 - gland, gland], dim=1)
    said = {"segmentation": pair, "distance": 2 * gland - 1, "boundary": pair}
    outputs = learner.model(torch.rand(1, 3, 32, 32))
    for logits in (*outputs.experts.values(), *outputs.gated.values()):
        logits.retain_grad()
    losses = head_losses(outputs, learner._targets(said), learner.settings, gated=True)
    sum(losses.by_task.values()).backward()
    for name in learner.model.names:
        for logits in (outputs.experts[name], outputs.gated[name]):
            assert not logits.grad[..., 16:].any()
            assert logits.grad[..., :16].any()


def test_the_weak_view_keeps_its_colours_and_the_strong_one_does_not():
    views = []

    class Spy(MeanTeacher):
        def _said(self, image):
            views.append(image)
            return super()._said(image)

    learner = make(Spy)
    strong, targets = learner._unlabelled_batch(_prepared()[2:], 0)
    learner._unlabelled_batch(_prepared()[2:], 0)
    torch.testing.assert_close(views[0], views[1])  # no chance but the step's own
    crops, _ = learner._crops(_prepared()[2:], 2, 0, "unlabelled")
    assert torch.equal(views[0], crops.image)
    assert not torch.equal(strong, crops.image)
    assert targets.maps["segmentation"].shape == (2, 2, 32, 32)


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


def test_the_two_networks_share_the_weights_of_a_pretrained_encoder_at_first(tmp_path):
    save_file(efficientnet_lite(), tmp_path / "e.safetensors")
    model = network_around(tmp_path / "e.safetensors", ModelSettings.pretrained(width=4))
    learner = CrossPseudo(model, stepwise(), CPU)
    second = learner.second.state_dict()
    same = {name: torch.equal(value, second[name]) for name, value in model.state_dict().items()}
    assert all(equal for name, equal in same.items() if "encoder" in name)
    assert not all(same.values())


@pytest.mark.parametrize("stage", [-1, 0], ids=["labelled only", "both pools"])
def test_cross_pseudo_steps_change_both_networks(stage):
    learner = make(CrossPseudo)
    before = [p.clone() for p in learner.second.parameters()]
    prepared = _prepared()
    learner.step(prepared[:2], prepared[2:], 0, 4, stage)
    assert any(
        not torch.equal(a, b) for a, b in zip(before, learner.second.parameters(), strict=True)
    )


def test_cross_pseudo_step_that_is_left_half_way_never_was():
    learner, prepared = make(CrossPseudo), _prepared()
    networks = (learner.model, learner.second)
    before = [[b.clone() for b in each.buffers()] for each in networks]

    def leave(*_):
        assert any(not torch.equal(*p) for p in zip(before[1], networks[1].buffers(), strict=True))
        raise KeyboardInterrupt

    learner.second.expert_heads["segmentation"].register_forward_hook(leave)
    with pytest.raises(KeyboardInterrupt):
        learner.step(prepared[:2], prepared[2:], 0, 4, 0)
    for kept, network in zip(before, networks, strict=True):
        assert all(torch.equal(*pair) for pair in zip(kept, network.buffers(), strict=True))


def _prepared():
    source = tiles(2, 2, 0)
    return [prepare(source.read(name), MODEL) for name in (*source.labelled, *source.unlabelled)]
