"""Targets of any mask: by hand where small, by scikit-image where not."""

import numpy as np
import pytest
import torch
from skimage.morphology import dilation, disk

from napari_semimoe.core.errors import ShapeError
from napari_semimoe.core.values import IGNORE
from napari_semimoe.data.targets import (
    TARGETS,
    boundary_of,
    class_map,
    make_targets,
    normalise_distance,
    signed_distance,
    targets_from_mask,
)

ROOT2 = 2**0.5


def mask(*rows):
    return np.array(rows, np.uint16)


def boundary(labels):
    return boundary_of(torch.from_numpy(labels.astype(np.int32))[None])[0].numpy()


def square(size=9, low=2, high=7, value=1):
    labels = np.zeros((size, size), np.uint16)
    labels[low:high, low:high] = value
    return labels


def test_signed_distance_by_hand():
    expected = [
        [-ROOT2, -1, -1, -1, -1, -1, -ROOT2],
        [-1, 0, 0, 0, 0, 0, -1],
        [-1, 0, 1, 1, 1, 0, -1],
        [-1, 0, 1, 2, 1, 0, -1],
        [-1, 0, 1, 1, 1, 0, -1],
        [-1, 0, 0, 0, 0, 0, -1],
        [-ROOT2, -1, -1, -1, -1, -1, -ROOT2],
    ]
    np.testing.assert_allclose(signed_distance(square(7, 1, 6)), expected, rtol=1e-6)


def test_touching_objects_have_distance_zero_on_both_sides_of_their_seam():
    labels = mask(*[[1, 1, 1, 2, 2, 2]] * 3)
    np.testing.assert_array_equal(signed_distance(labels), [[2, 1, 0, 0, 1, 2]] * 3)


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (np.zeros((3, 5)), np.full((3, 5), -1)),  # empty
        (np.ones((3, 5)), np.ones((3, 5))),  # full
        ([[1]], [[1]]),
        ([[0]], [[-1]]),
        ([[IGNORE]], [[-1]]),
        ([[0, 3, 0]], [[-1, 0, -1]]),  # 1 px
        ([[0, 3, 3, 0, 0]], [[-1, 0, 0, -1, -2]]),  # 2 px thin
        ([[0] * 3, [4] * 3, [0] * 3], [[-1] * 3, [0] * 3, [-1] * 3]),  # 1 px thin
        ([[1, 2], [2, 1]], [[0, 0], [0, 0]]),  # nothing but seams
    ],
)
def test_extreme_masks_are_ordinary(labels, expected):
    np.testing.assert_array_equal(signed_distance(np.array(labels, np.uint16)), expected)


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (5, 3), (17, 31)])
@pytest.mark.parametrize("fill", ["empty", "full", "dot", "instances"])
def test_targets_of_any_size_are_finite_and_in_range(shape, fill):
    labels = np.full(shape, int(fill == "full"), np.uint16)
    if fill == "dot":
        labels[shape[0] // 2, shape[1] // 2] = 9
    if fill == "instances":
        labels[:] = np.arange(labels.size).reshape(shape) % 4
    targets = targets_from_mask(labels)
    distance = targets.maps["distance"]
    assert distance.shape == (1, 1, *shape)
    assert torch.isfinite(distance).all()
    assert float(distance.abs().max()) <= 1
    for task in ("segmentation", "boundary"):
        assert targets.maps[task].shape == (1, 2, *shape)
        assert (targets.maps[task].sum(1) == 1).all()
    assert (targets.valid == 1).all()


def test_each_sign_of_the_distance_reaches_one():
    distance = torch.tensor([[[[4.0, 2.0, 0.0, -5.0, -10.0]]]])
    assert normalise_distance(distance).flatten().tolist() == [1, 0.5, 0, -0.5, -1]
    one_sided = torch.stack([torch.full((1, 1, 2), 3.0), torch.full((1, 1, 2), -3.0)])
    assert normalise_distance(one_sided).flatten().tolist() == [1, 1, -1, -1]


def test_each_crop_of_a_batch_is_normalised_by_itself():
    distance = torch.tensor([[[[4.0, 2.0]]], [[[8.0, 2.0]]]])
    assert normalise_distance(distance).flatten().tolist() == [1, 0.5, 1, 0.25]


@pytest.mark.parametrize("value", [1, 255, 40_000, IGNORE - 1])
def test_ids_are_only_names(value):
    ours, plain = targets_from_mask(square(value=value)), targets_from_mask(square())
    for task, expected in plain.maps.items():
        assert torch.equal(ours.maps[task], expected), task


def test_the_boundary_of_one_object_is_what_a_disk_of_two_adds():
    rng = np.random.default_rng(0)
    labels = dilation(rng.random((40, 50)) > 0.99, disk(4)).astype(np.uint16)
    added = dilation(labels, disk(2)).astype(bool) & (labels == 0)
    np.testing.assert_array_equal(boundary(labels) & (labels == 0), added)
    assert not (boundary(labels) & (labels > 0)).any()


def test_touching_objects_have_a_boundary_on_both_sides_of_their_seam():
    labels = mask(*[[1] * 5 + [2] * 5] * 7)
    expected = np.zeros((7, 10), bool)
    expected[:, 3:7] = True
    np.testing.assert_array_equal(boundary(labels), expected)


def test_empty_and_full_masks_have_no_boundary():
    assert not boundary(np.zeros((5, 5), np.uint16)).any()
    assert not boundary(np.ones((5, 5), np.uint16)).any()


def test_a_part_of_an_object_that_is_ignored_makes_no_edge():
    whole = square(20, 4, 16)
    ignored = whole.copy()
    ignored[:, 10:] = IGNORE
    known = ignored != IGNORE
    found, true = signed_distance(ignored), signed_distance(whole)
    near = np.zeros_like(known)
    near[6:14, 8:10] = True
    assert (found[near] >= true[near]).all()
    assert (found[known & (whole > 0)] == 0).sum() == 12 + 5 + 5  # three sides, not the fourth


def test_ignored_pixels_do_not_scale_the_distances_of_others():
    labels = np.zeros((20, 60), np.uint16)
    labels[8:12, 8:12] = 1
    alone = targets_from_mask(labels[:, :20])
    labels[:, 20:] = IGNORE
    beside = targets_from_mask(labels)
    known = beside.valid[..., :20] > 0
    assert known.all()
    np.testing.assert_allclose(beside.maps["distance"][..., :20], alone.maps["distance"])


def test_ignored_pixels_are_not_valid_and_make_no_boundary():
    labels = square(9, 3, 6, IGNORE)
    targets = targets_from_mask(labels)
    np.testing.assert_array_equal(targets.valid[0, 0].numpy() == 0, labels == IGNORE)
    assert (targets.maps["boundary"][:, 1] == 0).all()
    assert (targets.maps["segmentation"][:, 0] == 1).all()


def test_classes_follow_the_instances():
    labels = mask([0, 1, 2, 3, IGNORE])
    np.testing.assert_array_equal(class_map(labels, {2: 2}), [[0, 1, 2, 1, 0]])
    segmentation = targets_from_mask(labels, {2: 2}, 3).maps["segmentation"]
    assert segmentation.argmax(1).flatten().tolist() == [0, 1, 2, 1, 0]


def test_masks_and_distances_of_other_shapes_are_refused():
    with pytest.raises(ShapeError, match=r"A mask must be \(H, W\)"):
        signed_distance(np.zeros((2, 3, 4), np.uint16))
    labels = torch.zeros(2, 4, 4, dtype=torch.int32)
    with pytest.raises(ShapeError, match="Targets need"):
        make_targets(labels, torch.zeros(2, 4, 4), labels, 2)


def test_the_longer_side_of_an_edge_does_not_scale_the_shorter():
    distance = torch.tensor([[[[10.0, 5.0, 0.0, -2.0, -4.0]]]])
    assert normalise_distance(distance).flatten().tolist() == [1, 0.5, 0, -0.5, -1]
    assert normalise_distance(-distance).flatten().tolist() == [-1, -0.5, 0, 0.5, 1]


def test_predicted_distances_are_stretched_to_one_unless_they_are_tiny():
    maps = torch.tensor([[[[0.5, 0.25, -0.2, -0.4]]], [[[0.05, 0.0, 0.0, -0.2]]]])
    stretched = torch.tensor([[[[1, 0.5, -0.5, -1]]], [[[0.5, 0, 0, -1]]]])
    torch.testing.assert_close(TARGETS["distance"].of_maps(maps), stretched)
