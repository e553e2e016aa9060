"""Values that travel between layers."""

import pytest

from napari_semimoe.core.values import class_numbers, known_classes


@pytest.mark.parametrize(
    ("known", "wanted", "numbers"),
    [
        (("background", "gland"), ("background", "gland"), [0, 1]),
        (("background", "gland"), ("background", "tumour"), [0, 1]),
        (("background", "gland"), ("background", "stroma", "Gland"), [0, 2]),
        (("background", "gland"), ("background", "stroma", "nerve"), [0, 1]),
        (("background", "a", "b"), ("background", "B", "A"), [0, 2, 1]),
        (("background", "a", "b"), ("background", "x", "y"), [0, 1, 2]),
        (("background", "a", "b", "c"), ("background", "c"), [0, 1, 1, 1]),
    ],
)
def test_classes_of_a_network_are_found_by_name_then_by_number(known, wanted, numbers):
    assert class_numbers(known, wanted) == numbers


@pytest.mark.parametrize(
    ("known", "wanted", "places"),
    [
        (("background", "gland"), ("background", "tumour"), [0, 1]),
        (("background", "gland"), ("background", "stroma", "Gland"), [0, None, 1]),
        (("background", "gland"), ("background", "stroma", "nerve"), [0, 1, None]),
        (("background", "a", "b"), ("background", "b", "a"), [0, 2, 1]),
        (("background", "a", "b"), ("background", "a", "new name"), [0, 1, 2]),
        (("background", "a", "b"), ("background", "a", "b", "c"), [0, 1, 2, None]),
        (("background", "a", "b", "c"), ("background", "c"), [0, 3]),
    ],
)
def test_what_a_network_knows_of_classes(known, wanted, places):
    assert known_classes(known, wanted) == places
