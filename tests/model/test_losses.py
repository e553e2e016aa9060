"""The losses, against numbers computed by hand."""

from math import atanh, e, log

import pytest
import torch

from napari_semimoe.core.errors import ShapeError
from napari_semimoe.core.settings import RoundSettings
from napari_semimoe.core.values import IGNORE
from napari_semimoe.data.targets import harden, make_targets, signed_distance
from napari_semimoe.model.losses import cross_entropy, dice_plain, dice_squared, distance_mse
from napari_semimoe.model.semi_moe import MoEOutputs
from napari_semimoe.model.tasks import TASKS
from napari_semimoe.model.weighting import AdaptiveLoss
from napari_semimoe.training.step import head_losses

# Two pixels, both 1/4 background and 3/4 gland; the first is gland, the second is not.
LOGITS = torch.tensor([[[[0.0, 0.0]], [[log(3), log(3)]]]])
TARGET = torch.tensor([[[[0.0, 1.0]], [[1.0, 0.0]]]])
BOTH = torch.ones(1, 1, 1, 2)
FIRST = torch.tensor([[[[1.0, 0.0]]]])


def test_squared_dice_by_hand():
    # gland (2*.75 + 1)/(.5625*2 + 1 + 1) = 4/5; background (2*.25 + 1)/(.0625*2 + 1 + 1) = 12/17
    assert float(dice_squared(LOGITS, TARGET, BOTH)) == pytest.approx(1 - (4 / 5 + 12 / 17) / 2)


def test_plain_dice_by_hand():
    # gland 2.5/(1.5 + 1 + 1) = 5/7; background 1.5/(.5 + 1 + 1) = 3/5
    assert float(dice_plain(LOGITS, TARGET, BOTH)) == pytest.approx(1 - (5 / 7 + 3 / 5) / 2)


def test_dice_counts_only_weighted_pixels():
    # gland 2.5/(.5625 + 1 + 1) = 40/41; background 1/(.0625 + 1) = 16/17
    expected = 1 - (40 / 41 + 16 / 17) / 2
    assert float(dice_squared(LOGITS, TARGET, FIRST)) == pytest.approx(expected)


def test_dice_is_averaged_over_samples_not_pooled():
    two = dice_squared(
        torch.cat([LOGITS, LOGITS]), torch.cat([TARGET, TARGET]), BOTH.repeat(2, 1, 1, 1)
    )
    assert float(two) == pytest.approx(1 - (4 / 5 + 12 / 17) / 2)


def test_cross_entropy_by_hand():
    assert float(cross_entropy(LOGITS, TARGET, BOTH)) == pytest.approx((log(4 / 3) + log(4)) / 2)
    assert float(cross_entropy(LOGITS, TARGET, FIRST)) == pytest.approx(log(4 / 3))


def test_an_objects_pixels_may_weigh_more_in_the_cross_entropy():
    thrice = (3 * log(4 / 3) + log(4)) / (3 + 1)
    assert float(cross_entropy(LOGITS, TARGET, BOTH, objects=3.0)) == pytest.approx(thrice)


def test_distance_error_by_hand():
    logits = torch.tensor([[[[atanh(0.5), atanh(-0.5)]]]])
    target = torch.tensor([[[[1.0, -0.25]]]])
    assert float(distance_mse(logits, target, BOTH)) == pytest.approx((0.25 + 0.0625) / 2)
    assert float(distance_mse(logits, target, FIRST)) == pytest.approx(0.25)


def test_perfect_distances_cost_nothing_in_a_batch_of_two():
    target = torch.stack([torch.full((1, 4, 4), 0.9), torch.full((1, 4, 4), -0.9)])
    loss = distance_mse(torch.atanh(target), target, torch.ones(2, 1, 4, 4))
    assert float(loss) == pytest.approx(0, abs=1e-12)


def test_perfect_dice_costs_nothing():
    confident = (TARGET * 2 - 1) * 50
    for loss in (dice_squared, dice_plain, cross_entropy):
        assert float(loss(confident, TARGET, BOTH)) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("loss", [dice_squared, dice_plain, distance_mse, cross_entropy])
def test_a_missing_channel_axis_is_refused_instead_of_broadcast(loss):
    logits, weight = torch.zeros(2, 1, 4, 4), torch.ones(2, 1, 4, 4)
    with pytest.raises(ShapeError, match="Add the channel axis"):
        loss(logits, torch.zeros(2, 4, 4), weight)
    with pytest.raises(ShapeError, match="Add the channel axis"):
        loss(logits, logits, torch.ones(2, 4, 4))
    with pytest.raises(ShapeError, match=r"one .* shape"):
        loss(torch.zeros(2, 4, 4), torch.zeros(2, 4, 4), weight)


def losses_of(labels, logits, entropy=0.5):
    distance = torch.stack([torch.from_numpy(signed_distance(m.numpy())) for m in labels])[:, None]
    targets = make_targets(labels, distance, ((labels > 0) & (labels != IGNORE)).long(), 2)
    outputs = MoEOutputs(logits["experts"], logits["gated"], torch.full((len(labels), 3, 3), 1 / 3))
    return head_losses(outputs, targets, RoundSettings(cross_entropy=entropy), gated=True)


def random_logits(batch):
    generator = torch.Generator().manual_seed(1)
    return {
        group: {
            name: torch.randn(batch, task.channels(2), 16, 16, generator=generator).requires_grad_()
            for name, task in TASKS.items()
        }
        for group in ("experts", "gated")
    }


def test_ignored_pixels_have_exactly_no_gradient_in_any_task():
    labels = torch.zeros(2, 16, 16, dtype=torch.int32)
    labels[:, 3:9, 3:9] = 7
    labels[0, 5:12, 6:14] = IGNORE
    logits = random_logits(2)
    losses = losses_of(labels, logits)
    losses.combined(AdaptiveLoss(tuple(TASKS))).backward()
    for group in logits.values():
        for values in group.values():
            ignored = (labels == IGNORE)[:, None].expand_as(values)
            assert (values.grad[ignored] == 0).all()
            assert (values.grad[~ignored] != 0).any()


def test_a_crop_that_is_ignored_altogether_is_finite_and_teaches_nothing():
    logits = random_logits(1)
    losses = losses_of(torch.full((1, 16, 16), IGNORE, dtype=torch.int32), logits)
    total = losses.combined(AdaptiveLoss(tuple(TASKS)))
    total.backward()
    assert torch.isfinite(total)
    for group in logits.values():
        assert all((values.grad == 0).all() for values in group.values())


def test_labelled_losses_are_those_of_both_heads_and_unlabelled_ones_of_the_expert():
    labels = torch.zeros(1, 16, 16, dtype=torch.int32)
    labels[:, 4:12, 4:12] = 1
    logits = random_logits(1)
    both = losses_of(labels, logits, entropy=0).by_task
    swapped = losses_of(labels, {"experts": logits["gated"], "gated": logits["experts"]}, 0).by_task
    for task in TASKS:
        torch.testing.assert_close(both[task], swapped[task])


def test_the_adaptive_loss_and_its_gradient_by_hand():
    adaptive = AdaptiveLoss(("segmentation", "distance", "boundary"))
    values = {"segmentation": 0.2, "distance": 0.4, "boundary": 0.6}
    total = adaptive({task: torch.tensor(loss) for task, loss in values.items()})
    # at s = 1: (1*.2 + .5*.4 + 1*.6)/e + 3*.4*e
    assert total.item() == pytest.approx(1.0 / e + 1.2 * e, rel=1e-6)
    total.backward()
    gradient = {task: float(s.grad) for task, s in adaptive.log_scale.items()}
    assert gradient == pytest.approx(
        {
            "segmentation": 0.4 * e - 0.2 / e,
            "distance": 0.4 * e - 0.2 / e,
            "boundary": 0.4 * e - 0.6 / e,
        },
        rel=1e-6,
    )
    assert adaptive.weights() == pytest.approx(dict.fromkeys(values, 1 / e))


def test_hardening_keeps_the_likeliest_class():
    soft = torch.tensor([[[[0.2, 0.7]], [[0.5, 0.1]], [[0.3, 0.2]]]])
    assert harden(soft).tolist() == [[[[0, 1]], [[1, 0]], [[0, 0]]]]
