"""Objects from the experts' maps."""

import numpy as np
import pytest
from skimage.draw import disk

from napari_semimoe.core.errors import ShapeError
from napari_semimoe.data.targets import targets_from_mask
from napari_semimoe.training.instances import drop_unsure, to_instances


def two_discs():
    labels = np.zeros((60, 100), np.uint16)
    labels[disk((30, 31), 20)] = 1
    labels[disk((30, 69), 20)] = 2
    return labels


def perfect_maps(labels):
    maps = targets_from_mask(labels).maps
    distance, boundary = maps["distance"][0, 0].numpy(), maps["boundary"][0, 1].numpy()
    return (labels > 0).astype(np.float32), distance, boundary


def same_objects(found, truth):
    pairs = set(zip(found.ravel().tolist(), truth.ravel().tolist(), strict=True))
    return len(pairs) == len(np.unique(truth)) == len(np.unique(found))


def test_touching_discs_are_split_at_their_seam():
    truth = two_discs()
    foreground, distance, boundary = perfect_maps(truth)
    assert to_instances(foreground, None, None).max() == 1  # they do touch
    for use in (boundary, None):
        found = to_instances(foreground, distance, use)
        assert found.dtype == np.uint16
        assert found.max() == 2
        wrong = (found != truth) & (found != 3 - truth * (truth > 0))
        assert wrong.mean() < 0.01
        assert found[30, 31] != found[30, 69]
        np.testing.assert_array_equal(found > 0, truth > 0)


def test_touching_discs_stay_one_when_splitting_is_off():
    foreground, distance, boundary = perfect_maps(two_discs())
    assert to_instances(foreground, distance, boundary, split_touching=False).max() == 1


def probabilities(kinds, count=2, sure=0.9):
    """Probability of each class where ``kinds`` names the most likely one, and how likely it is."""
    return np.where(kinds == np.arange(count)[:, None, None], sure, (1 - sure) / (count - 1))


def one_bar(second_class_px):
    """A bar of 20 x 60 px whose right end is of the second class, and a bar below it."""
    foreground = np.zeros((60, 80), np.float32)
    foreground[5:25, 10:70] = foreground[40:50, 10:70] = 1
    kinds = np.zeros((60, 80), int)
    kinds[5:25, 70 - second_class_px : 70] = 1
    return foreground, kinds


@pytest.mark.parametrize("split_touching", [True, False])
def test_parts_of_two_classes_are_two_objects_where_no_expert_sees_a_seam(split_touching):
    foreground, kinds = one_bar(second_class_px=30)
    sure = np.full(kinds.shape, 0.9)
    kinds[10:13, 20:23] = kinds[14, 39] = 1  # specks, one beside the seam
    sure[10:13, 20:23] = sure[14, 39] = 0.6
    found = to_instances(
        foreground,
        None,
        None,
        classes=probabilities(kinds, sure=sure),
        split_touching=split_touching,
    )
    assert found.max() == 3
    assert len({found[6, 11], found[6, 69], found[45, 30]}) == 3
    assert (found[5:25, 10:39] == found[6, 11]).all()
    assert (found[5:25, 41:70] == found[6, 69]).all()
    assert (found > 0).sum() == foreground.sum()


@pytest.mark.parametrize(
    ("second_class_px", "sure", "min_object_px", "count"),
    [
        (11, 0.55, 0, 2),
        (12, 0.55, 0, 3),  # a quarter of the rest needs not be sure
        (12, 0.55, 240, 3),
        (12, 0.55, 241, 2),
        (11, 0.9, 0, 3),
        (11, 0.9, 220, 3),
        (11, 0.9, 221, 2),
        (60, 0.55, 0, 2),
    ],
)
def test_a_part_of_another_class_is_large_or_sure_and_has_the_smallest_size(
    second_class_px, sure, min_object_px, count
):
    foreground, kinds = one_bar(second_class_px)
    classes = probabilities(kinds, sure=np.where(kinds == 1, sure, 0.9))
    found = to_instances(foreground, None, None, classes=classes, min_object_px=min_object_px)
    assert found.max() == count


def test_how_sure_a_class_must_be_is_measured_on_the_tile():
    foreground, kinds = one_bar(second_class_px=11)
    unsure = probabilities(kinds, sure=np.where(kinds == 1, 0.55, 0.58))
    assert to_instances(foreground, None, None, classes=unsure).max() == 3


def test_a_mask_of_which_no_part_is_large_enough_stays_whole():
    foreground, kinds = one_bar(second_class_px=30)
    classes = probabilities(kinds)
    found = to_instances(foreground, None, None, classes=classes, min_object_px=600.5)
    assert found[6, 11] == found[6, 69] > 0
    empty = to_instances(np.zeros((4, 4)), None, None, classes=np.ones((2, 4, 4)))
    assert empty.max() == 0


def test_classes_that_tile_the_tissue_come_back_whatever_their_sizes():
    """Stroma everywhere, glands in it that touch, a lumen in each."""
    truth = np.full((120, 120), 1, np.uint16)
    kinds = {1: 2}
    for x in (38, 78):
        gland, lumen = 2 * len(kinds), 2 * len(kinds) + 1
        truth[disk((60, x), 20)], truth[disk((60, x), 7)] = gland, lumen
        kinds |= {gland: 0, lumen: 1}
    maps = targets_from_mask(truth, {number: kind + 1 for number, kind in kinds.items()}, 4).maps
    boundary, distance = maps["boundary"][0, 1].numpy(), maps["distance"][0, 0].numpy()
    classes = maps["segmentation"][0, 1:].numpy()
    found = to_instances(classes.sum(0), distance, boundary, classes=classes, min_object_px=100)
    assert same_objects(found, truth)


def test_separate_objects_come_back_as_they_were():
    truth = np.zeros((50, 50), np.uint16)
    truth[5:20, 5:20], truth[30:45, 8:40], truth[4:10, 30:48] = 1, 2, 3
    assert same_objects(to_instances(*perfect_maps(truth)), truth)


def test_small_objects_and_holes_are_removed():
    labels = np.zeros((40, 40), np.uint16)
    labels[5:25, 5:25] = 1
    labels[10:12, 10:12] = 0  # a hole of 4 px
    labels[30:33, 30:33] = 2  # an object of 9 px
    maps = perfect_maps(labels)
    cleaned = to_instances(*maps, min_object_px=10)
    assert cleaned.max() == 1
    assert (cleaned[5:25, 5:25] == 1).all()
    assert (cleaned[30:33, 30:33] == 0).all()
    kept = to_instances(*maps, min_object_px=4)
    assert kept[31, 31] > 0


def test_an_object_of_exactly_the_smallest_size_is_kept():
    labels = np.zeros((20, 20), np.uint16)
    labels[5:8, 5:8] = 1
    assert to_instances(*perfect_maps(labels), min_object_px=9).max() == 1
    assert to_instances(*perfect_maps(labels), min_object_px=10).max() == 0


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (30, 20)])
def test_empty_and_full_maps_are_ordinary(size):
    empty, full = np.zeros(size, np.float32), np.ones(size, np.float32)
    assert to_instances(empty, -full, empty).max() == 0
    assert (to_instances(full, full, empty) == 1).all()
    assert (to_instances(full, None, None) == 1).all()


def test_one_pixel_is_an_object_unless_it_is_too_small():
    foreground = np.zeros((9, 9), np.float32)
    foreground[4, 4] = 0.9
    distance = np.where(foreground > 0, 0.1, -1).astype(np.float32)
    assert to_instances(foreground, distance, None).sum() == 1
    assert to_instances(foreground, distance, None, min_object_px=2).sum() == 0


def test_the_threshold_is_honoured_and_inclusive():
    foreground = np.array([[0.2, 0.5, 0.7]], np.float32)
    assert (to_instances(foreground, None, None, threshold=0.5) > 0).tolist() == [
        [False, True, True]
    ]
    assert (to_instances(foreground, None, None, threshold=0.6) > 0).tolist() == [
        [False, False, True]
    ]


def test_a_noisy_distance_does_not_shatter_an_object():
    truth = np.zeros((60, 60), np.uint16)
    truth[disk((30, 30), 24)] = 1
    foreground, distance, boundary = perfect_maps(truth)
    noise = np.random.default_rng(0).normal(0, 0.1, distance.shape)
    found = to_instances(foreground, distance + noise, boundary, min_object_px=200)
    assert found.max() == 1


@pytest.mark.parametrize(("radius", "count"), [(6, 1), (20, 2)])
def test_a_bump_on_an_object_is_no_object_of_its_own(radius, count):
    truth = np.zeros((60, 110), np.uint16)
    truth[disk((30, 30), 24)] = 1
    truth[disk((30, 53 + radius), radius)] = 2
    foreground, distance, boundary = perfect_maps(truth)
    assert to_instances(foreground, distance, boundary).max() == count


@pytest.mark.parametrize("scale", [1, 0.1])  # 0.1: a network that is sure of nothing yet
@pytest.mark.parametrize(
    ("least", "kept"), [(0, [1, 2, 3]), (0.3, [1, 2, 3]), (0.4, [1, 3]), (0.9, [3])]
)
def test_objects_of_less_confidence_than_the_tiles_are_removed_and_the_others_numbered(
    least, kept, scale
):
    objects = np.zeros((20, 40), np.uint16)
    objects[5:15, 2:12], objects[5:15, 14:24], objects[5:15, 26:36] = 1, 2, 3
    above = np.choose(objects, [-0.3, 0.2, 0.05, 0.4]).astype(np.float32)
    above[5:15, 14:16] = 0.25  # two columns of object 2 are surer: 0.09 on the mean
    above[5:15, 26:31] = 0.5  # 0.45; the three together have 0.2467
    found = drop_unsure(objects, 0.5 + scale * above, threshold=0.5, min_confidence=least)
    assert found.dtype == np.uint16
    for number, before in enumerate(kept, start=1):
        np.testing.assert_array_equal(found == number, objects == before)
    assert found.max() == len(kept)


def test_confidence_counts_from_the_threshold():
    objects = np.array([[1, 0, 2]], np.uint16)
    foreground = np.array([[0.9, 0.1, 0.6]])
    for threshold, kept in ((0.5, [1, 0, 0]), (0.2, [1, 0, 2])):
        found = drop_unsure(objects, foreground, threshold=threshold, min_confidence=0.5)
        assert found.tolist() == [kept]


def test_a_filled_hole_does_not_make_its_object_unsure():
    foreground = np.full((40, 80), 0.05)
    foreground[5:35, 5:35] = foreground[5:35, 45:75] = 0.6
    foreground[9:31, 49:71] = 0.05  # a lumen, smaller than the smallest object
    objects = to_instances(foreground, None, None, min_object_px=500)
    kept = drop_unsure(objects, foreground, threshold=0.5, min_confidence=0.5)
    np.testing.assert_array_equal(kept, objects)
    assert kept.max() == 2


def test_no_object_and_one_that_fills_its_tile_stay_as_they_are():
    nothing, whole = np.zeros((3, 4), np.uint16), np.ones((1, 1), np.uint16)
    for objects in (nothing, whole):
        foreground = np.full(objects.shape, 0.5)
        found = drop_unsure(objects, foreground, threshold=0.5, min_confidence=0.9)
        np.testing.assert_array_equal(found, objects)


def test_maps_of_different_shapes_are_refused():
    with pytest.raises(ShapeError, match=r"one \(H, W\) shape"):
        to_instances(np.zeros((4, 4)), np.zeros((4, 5)), None)


def test_a_predicted_boundary_splits_what_the_distance_does_not():
    foreground = np.ones((20, 40))
    boundary = np.zeros((20, 40))
    boundary[:, 19:21] = 1
    found = to_instances(foreground, foreground, boundary)
    assert found.max() == 2
    assert found[10, 5] != found[10, 35]


def test_a_seed_below_the_smallest_object_splits_nothing():
    distance = np.zeros((10, 30))
    distance[:, :10], distance[:5, 25:] = 1, 1  # 100 px and 25 px
    found = to_instances(np.ones((10, 30)), distance, None, min_object_px=150)
    assert (found == 1).all()
    found = to_instances(np.ones((10, 30)), distance, None, min_object_px=50)
    assert (found == 1).all()


def test_more_objects_than_ids_are_refused_in_words():
    specks = np.zeros((520, 520))
    specks[::2, ::2] = 1
    with pytest.raises(ShapeError, match="65534 objects, got 67600"):
        to_instances(specks, None, None)
