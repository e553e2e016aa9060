import numpy as np
import pytest

from napari_semimoe.core.values import IGNORE, Box
from napari_semimoe.project.importing import tile_boxes
from napari_semimoe.project.seams import whole_arrays, whole_objects

BOXES = [Box(0, 0, 10, 10), Box(0, 10, 10, 20)]


def pair():
    return np.zeros((2, 10, 10), np.uint16)


def test_halves_at_a_seam_are_one_object_and_others_stay():
    labels = pair()
    labels[0][2:6, 7:] = 1
    labels[1][2:6, :4] = 5
    labels[1][8, 5:] = 1
    assert list(whole_objects(BOXES, labels, [{}, {}])) == [((0, 1), (1, 5)), ((1, 1),)]
    (first, whole, corner), *rest = whole_arrays(BOXES, labels, [{}, {}])
    assert (first, corner) == (0, (0, 0))
    assert (whole > 0).sum() == 28
    assert (whole[2:6, 7:14] == 1).all()
    assert [(tile, corner) for tile, _, corner in rest] == [(0, (0, 0)), (1, (10, 0))]
    assert not rest[0][1].any()
    np.testing.assert_array_equal(np.argwhere(rest[1][1])[:, 0], [8] * 5)
    assert (labels[0] == 1).sum() == 12  # what was given stays as it was


@pytest.mark.parametrize(
    ("rows", "number", "kind", "joined"),
    [
        (slice(2, 6), 5, 1, True),
        (slice(4, 8), 5, 1, True),  # half of each
        (slice(5, 9), 5, 1, False),  # a quarter: two objects that happen to touch
        (slice(2, 6), 5, 2, False),  # of another class
        (slice(2, 6), IGNORE, 1, False),
        (slice(6, 9), 5, 1, False),  # by a corner only
    ],
)
def test_only_what_meets_along_the_seam_and_is_of_one_class_is_joined(rows, number, kind, joined):
    labels = pair()
    labels[0][2:6, 7:] = 1
    labels[1][rows, :4] = number
    found = list(whole_objects(BOXES, labels, [{}, {number: kind}]))
    assert len(found) == (1 if joined else 2)


def test_what_a_person_kept_apart_in_a_tile_stays_apart():
    labels = pair()
    labels[0][1:9, 7:] = 1
    labels[1][1:4, :4], labels[1][4:9, :4] = 2, 3
    assert list(whole_objects(BOXES, labels, [{}, {}])) == [((0, 1), (1, 3)), ((1, 2),)]


@pytest.mark.parametrize("tile_px", [7, 10, 64])
def test_objects_of_an_image_come_back_from_its_tiles(tile_px):
    rng = np.random.default_rng(0)
    image = np.zeros((30, 41), np.uint16)
    for number, (y, x) in enumerate([(1, 1), (3, 22), (15, 9), (17, 27)], start=1):
        image[y : y + 11, x : x + 12] = number
    boxes = [box for _, box in tile_boxes(image.shape, tile_px)]
    labels = []
    for box in boxes:  # each tile numbers its pieces in its own way
        part = image[box.slices]
        order = np.array([0, *(1 + rng.permutation(4))], np.uint16)
        labels.append(order[part])
    again = []
    for _, array, (x, y) in whole_arrays(boxes, labels, [{} for _ in boxes]):
        for number in np.unique(array[array > 0]):
            whole = np.zeros(image.shape, bool)
            whole[y : y + array.shape[0], x : x + array.shape[1]] = array == number
            (known,) = np.unique(image[whole]).tolist()
            assert (whole == (image == known)).all()
            again.append(known)
    assert sorted(again) == [1, 2, 3, 4]
