"""Hand-computed numbers for every score."""

import math
import tracemalloc

import numpy as np
import pytest
from scipy import ndimage

from napari_semimoe.core.errors import ShapeError
from napari_semimoe.core.values import IGNORE
from napari_semimoe.training.evaluation import evaluate
from napari_semimoe.training.metrics import (
    REFERENCE_THRESHOLDS,
    PixelCounts,
    count_pixels,
    reference_scores,
)
from napari_semimoe.training.object_metrics import ObjectCounts, count_objects, hausdorff


def mask(shape, *boxes):
    """Instances 1.. from (y0, y1, x0, x1) boxes."""
    labels = np.zeros(shape, np.uint16)
    for index, (y0, y1, x0, x1) in enumerate(boxes, start=1):
        labels[y0:y1, x0:x1] = index
    return labels


EMPTY = mask((10, 10))


class TestPixels:
    def test_dice_and_jaccard_are_the_hand_computed_fractions(self):
        # predicted 4x4 = 16, true 4x6 = 24, shared 4x3 = 12
        counts = count_pixels(mask((10, 10), (0, 4, 0, 4)), mask((10, 10), (0, 4, 1, 7)))
        assert counts == PixelCounts(both=12, predicted=16, true=24)
        assert counts.dice == 24 / 40
        assert counts.jaccard == 12 / 28

    def test_two_empty_masks_agree_fully(self):
        counts = count_pixels(EMPTY, EMPTY)
        assert (counts.dice, counts.jaccard) == (1.0, 1.0)

    def test_one_empty_mask_scores_zero(self):
        full = np.ones((10, 10), bool)
        for pair in ((EMPTY, full), (full, EMPTY)):
            assert count_pixels(*pair).dice == 0
            assert count_pixels(*pair).jaccard == 0

    def test_one_pixel_image(self):
        assert count_pixels([[1]], [[7]]).dice == 1

    def test_ignored_pixels_count_nowhere(self):
        truth = mask((10, 10), (0, 4, 1, 7))
        truth[:, 3:] = IGNORE
        # left: columns 0..2; predicted 4x3 = 12, true 4x2 = 8, shared 8
        counts = count_pixels(mask((10, 10), (0, 4, 0, 4)), truth)
        assert counts == PixelCounts(both=8, predicted=12, true=8)

    def test_pooling_adds_pixels_and_is_not_the_mean(self):
        small = PixelCounts(both=0, predicted=1, true=1)
        large = PixelCounts(both=98, predicted=99, true=99)
        assert (small + large).dice == 2 * 98 / 200

    def test_masks_of_two_sizes_are_refused_in_words(self):
        with pytest.raises(ShapeError, match=r"of one size, got \(10, 10\) and \(9, 10\)"):
            count_pixels(EMPTY, EMPTY[:9])


class TestReferenceProtocol:
    def test_threshold_that_separates_is_found_and_the_result_says_optimistic(self):
        truth = mask((256, 256), (0, 128, 0, 256))
        probability = np.where(truth > 0, 0.5, 0.41)
        scores = reference_scores([probability], [truth])
        assert (scores.dice, scores.jaccard) == (1.0, 1.0)
        assert scores.threshold == 0.42  # the lowest of 0.42 .. 0.48
        assert scores.optimistic

    def test_pixels_are_pooled_over_images_with_one_threshold(self):
        # all is foreground at 0 and nothing above 0.3; the first image has no gland at all
        probability = np.full((256, 256), 0.3)
        truths = [mask((256, 256)), mask((256, 256), (0, 256, 0, 256))]
        scores = reference_scores([probability, probability], truths)
        assert scores.dice == pytest.approx(2 / 3)  # 2 * 65536 / (131072 + 65536)
        assert scores.jaccard == 0.5
        assert scores.images == 2

    def test_thresholds_are_those_of_the_released_evaluation(self):
        assert REFERENCE_THRESHOLDS[:3] == (0.0, 0.02, 0.04)
        assert REFERENCE_THRESHOLDS[-1] == 0.88

    def test_images_of_any_size_are_squashed_to_one(self):
        truth = mask((100, 300), (0, 50, 0, 300))
        scores = reference_scores([(truth > 0).astype(np.float32)], [truth])
        assert scores.dice == pytest.approx(1, abs=0.01)

    def test_ignored_pixels_are_left_out(self):
        truth = mask((256, 256), (0, 128, 0, 256))
        truth[128:] = IGNORE
        assert reference_scores([np.full((256, 256), 0.9)], [truth]).dice == 1

    def test_no_image_is_refused(self):
        with pytest.raises(ShapeError, match="at least one image"):
            reference_scores([], [])


class TestObjectF1:
    def test_an_object_is_found_from_exactly_half_on(self):
        truth = mask((10, 10), (0, 4, 0, 4))
        half = count_objects(mask((10, 10), (0, 2, 0, 4)), truth)
        assert (half.found, half.wrong, half.missed, half.f1) == (1, 0, 0, 1.0)
        less = mask((10, 10), (0, 2, 0, 4))
        less[0, 0] = 0
        counts = count_objects(less, truth)
        assert (counts.found, counts.wrong, counts.missed, counts.f1) == (0, 1, 1, 0.0)

    def test_f1_of_one_found_one_invented_and_two_missed(self):
        truth = mask((20, 20), (0, 4, 0, 4), (10, 14, 0, 4), (10, 14, 10, 14))
        prediction = mask((20, 20), (0, 4, 0, 4), (0, 4, 10, 14))
        counts = count_objects(prediction, truth)
        assert (counts.found, counts.wrong, counts.missed) == (1, 1, 2)
        assert counts.f1 == pytest.approx(0.4)  # 2 * (1/2 * 1/3) / (1/2 + 1/3)

    def test_one_blob_over_two_glands_finds_only_the_one_it_overlaps_most(self):
        truth = mask((10, 20), (0, 4, 0, 8), (0, 4, 8, 14))
        counts = count_objects(mask((10, 20), (0, 4, 0, 14)), truth)
        assert (counts.found, counts.wrong, counts.missed) == (1, 0, 1)

    def test_two_exact_halves_find_one_gland_once(self):
        counts = count_objects(
            mask((10, 10), (0, 2, 0, 4), (2, 4, 0, 4)), mask((10, 10), (0, 4, 0, 4))
        )
        assert (counts.found, counts.wrong, counts.missed) == (1, 1, 0)

    def test_empty_sides(self):
        one = mask((10, 10), (0, 4, 0, 4))
        assert count_objects(EMPTY, EMPTY).f1 == 1
        assert count_objects(one, EMPTY).f1 == 0
        assert count_objects(EMPTY, one).f1 == 0


class TestObjectDice:
    def test_both_directions_are_weighted_by_area(self):
        # true: A 4x4 = 16, B 4x2 = 8. predicted: P 4x4 = 16 that shares 4x2 = 8 with A only
        truth = mask((10, 20), (0, 4, 0, 4), (0, 4, 10, 12))
        prediction = mask((10, 20), (0, 4, 2, 6))
        # forth: Dice(P, A) = 16/32 = 1/2; back: 16/24 * 1/2 + 8/24 * 0 = 1/3
        assert count_objects(prediction, truth).dice == pytest.approx((1 / 2 + 1 / 3) / 2)

    def test_merging_two_glands_costs_although_every_pixel_is_right(self):
        truth = mask((10, 10), (0, 4, 0, 4), (0, 4, 4, 8))
        merged = mask((10, 10), (0, 4, 0, 8))
        # forth: Dice(32, 16 shared 16) = 32/48; back: the same for both halves
        assert count_objects(merged, truth).dice == pytest.approx(2 / 3)
        assert count_pixels(merged, truth).dice == 1

    def test_empty_sides(self):
        one = mask((10, 10), (0, 4, 0, 4))
        assert count_objects(EMPTY, EMPTY).dice == 1
        assert count_objects(one, EMPTY).dice == 0
        assert count_objects(EMPTY, one).dice == 0


class TestObjectHausdorff:
    def test_distance_between_shifted_squares_is_the_shift(self):
        counts = count_objects(mask((10, 20), (0, 4, 3, 7)), mask((10, 20), (0, 4, 0, 4)))
        assert counts.hausdorff == 3

    def test_distance_is_euclidean_and_takes_the_farther_direction(self):
        a, b = np.zeros((9, 9), bool), np.zeros((9, 9), bool)
        a[0, 0] = True
        b[0, 0] = b[3, 4] = True
        assert hausdorff(a, b) == 5
        assert hausdorff(b, a) == 5

    def test_a_disc_inside_a_ring_is_measured_from_its_centre(self):
        a, b = np.ones((7, 7), bool), np.ones((7, 7), bool)
        b[1:6, 1:6] = False
        assert hausdorff(a, b) == 3

    def test_objects_apart_are_as_far_from_each_other_as_by_distance_maps(self):
        noise = ndimage.gaussian_filter(np.random.default_rng(0).random((60, 90)), 3)
        a, b = noise > np.quantile(noise, 0.9), noise < np.quantile(noise, 0.2)
        ways = [(a, b), (b, a)]
        expected = max(ndimage.distance_transform_edt(~one)[other].max() for one, other in ways)
        assert hausdorff(a, b) == pytest.approx(expected)

    def test_an_object_without_overlap_takes_the_nearest_object(self):
        # predicted P 2x2 touches nothing; true A is 4 to its left, true B is 10 to its right
        truth = mask((4, 40), (0, 2, 0, 2), (0, 2, 14, 16))
        prediction = mask((4, 40), (0, 2, 4, 6))
        # forth: 4; back: A 4 and B 10, equal areas: 7
        assert count_objects(prediction, truth).hausdorff == pytest.approx((4 + 7) / 2)

    def test_nearest_is_exact_among_many_objects(self):
        random = np.random.default_rng(1)
        boxes = [
            (y, y + 3 + i % 4, x, x + 4) for i, (y, x) in enumerate(random.integers(0, 90, (12, 2)))
        ]
        truth = mask((100, 100), *boxes)
        truth[:20, :20] = 0
        prediction = mask((100, 100), (2, 9, 2, 6))
        exact = min(
            hausdorff(prediction > 0, truth == label) for label in np.unique(truth) if label
        )
        assert count_objects(prediction, truth).predicted_hausdorff == pytest.approx(28 * exact)

    def test_one_empty_side_is_the_diagonal_and_two_are_zero(self):
        one = mask((30, 40), (0, 4, 0, 4))
        assert count_objects(one, one * 0).hausdorff == 50
        assert count_objects(one * 0, one).hausdorff == 50
        assert count_objects(one * 0, one * 0).hausdorff == 0


class TestObjects:
    def test_ignored_pixels_belong_to_no_object(self):
        truth = mask((10, 20), (0, 4, 0, 4))
        truth[:, 4:] = IGNORE
        counts = count_objects(mask((10, 20), (0, 4, 0, 6), (5, 9, 10, 14)), truth)
        assert counts == count_objects(mask((10, 20), (0, 4, 0, 4)), mask((10, 20), (0, 4, 0, 4)))
        assert counts.f1 == counts.dice == 1

    def test_ids_may_have_gaps_and_be_large(self):
        truth = mask((10, 20), (0, 4, 0, 4), (0, 4, 10, 14))
        prediction = np.where(truth == 2, 60000, np.where(truth == 1, 7, 0)).astype(np.uint16)
        counts = count_objects(prediction, truth)
        assert (counts.f1, counts.dice, counts.hausdorff) == (1, 1, 0)

    def test_one_pixel_objects(self):
        counts = count_objects([[1]], [[1]])
        assert (counts.f1, counts.dice, counts.hausdorff) == (1, 1, 0)

    def test_counts_of_two_images_give_the_scores_over_the_union_of_their_objects(self):
        # side by side in one image and apart in two: the same objects, the same scores
        left, right = mask((9, 9), (0, 4, 0, 4)), mask((9, 9), (2, 6, 2, 8))
        predicted_left, predicted_right = mask((9, 9), (0, 4, 1, 5)), mask((9, 9), (2, 6, 2, 5))
        apart = count_objects(predicted_left, left) + count_objects(predicted_right, right)
        gap = np.zeros((9, 40), np.uint16)
        together = count_objects(
            np.hstack([predicted_left, gap, 2 * predicted_right]), np.hstack([left, gap, 2 * right])
        )
        assert apart == together

    def test_sum_of_nothing_is_empty(self):
        nothing = sum([], ObjectCounts())
        assert (nothing.f1, nothing.dice, nothing.hausdorff) == (1, 1, 0)

    def test_every_object_of_a_full_tile_is_counted_once(self):
        rows, columns = np.mgrid[:522, :775]
        truth = ((rows // 130) * 5 + columns // 155 + 1).astype(np.uint16)
        truth[(rows % 130 > 110) | (columns % 155 > 130)] = 0
        prediction = np.roll(truth, (9, 14), axis=(0, 1))
        counts = count_objects(prediction, truth)
        assert counts.found + counts.missed == len(np.unique(truth)) - 1


class TestEvaluate:
    def test_pooled_and_mean_scores_differ_as_they_should(self):
        big, small = mask((10, 10), (0, 10, 0, 10)), mask((10, 10), (0, 1, 0, 1))
        result = evaluate([("big", big, big), ("small", EMPTY, small)])
        assert result.pooled["dice"] == pytest.approx(200 / 201)
        assert result.mean["dice"] == 0.5
        assert result.pooled["object_f1"] == pytest.approx(2 / 3)
        assert result.mean["object_f1"] == 0.5
        assert result.mean["object_hausdorff_px"] == pytest.approx(math.hypot(10, 10) / 2)
        assert [image.name for image in result.images] == ["big", "small"]
        assert result.images[1].true_objects == 1
        assert result.images[1].predicted_objects == 0

    def test_result_is_plain_json(self):
        import json

        result = evaluate([("a", EMPTY, EMPTY)])
        assert json.loads(json.dumps(result.to_json()))["images"][0]["name"] == "a"

    def test_a_wrong_size_names_the_image(self):
        with pytest.raises(ShapeError, match="slide 7: A prediction and its truth"):
            evaluate([("slide 7", EMPTY, EMPTY[:5])])

    def test_no_image_is_refused(self):
        with pytest.raises(ShapeError, match="at least one image"):
            evaluate([])


def test_thousands_of_objects_are_compared_in_little_memory():
    grid = np.zeros((800, 800), np.uint16)
    ys, xs = np.mgrid[0:800:10, 0:800:10]
    for number, (y, x) in enumerate(zip(ys.ravel(), xs.ravel(), strict=True), start=1):
        grid[y : y + 6, x : x + 6] = number
    tracemalloc.start()
    counts = count_objects(grid, np.roll(grid, 1, axis=0))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (counts.found, counts.wrong, counts.missed) == (6400, 0, 0)
    assert counts.dice == pytest.approx(5 / 6)
    assert counts.hausdorff == 1
    assert most < 100e6  # a table of all pairs has 330 MB


def test_of_objects_that_overlap_none_the_truly_nearest_counts():
    rng = np.random.default_rng(0)
    for _ in range(20):
        truth, found = np.zeros((2, 60, 60), int)
        for number in (1, 2, 3, 4):
            y, x = rng.integers(0, 45, 2)
            truth[y : y + 15, x : x + 15][rng.random((15, 15)) < 0.05] = number
        y, x = rng.integers(0, 45, 2)
        found[y : y + 9, x : x + 9] = 1
        truth[found > 0] = 0
        every = [hausdorff(found == 1, truth == n) for n in np.unique(truth) if n]
        assert math.isclose(count_objects(found, truth).predicted_hausdorff, 81 * min(every))


def test_a_probability_of_exactly_the_threshold_is_background():
    truth = np.zeros((256, 256), np.uint16)
    truth[50:100, 50:100] = 1
    scores = reference_scores([(truth > 0).astype(np.float32)], [truth])
    assert (scores.dice, scores.threshold) == (1.0, 0.0)
