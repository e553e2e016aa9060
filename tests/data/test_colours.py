"""A tile of another stain is seen in a colour that the network knows."""

import numpy as np
import pytest

from napari_semimoe.data.colours import FAR, colour_of, different, in_known_colours

PINK, BROWN = (0.3, 0.9, 0.3), (0.45, 0.6, 0.85)


def tissue(colour, size=(60, 80), seed=0):
    """Return an image half of tissue, whose density differs from place to place, half white."""
    strength = np.random.default_rng(seed).uniform(0.7, 1.3, (*size, 1))
    image = np.full((*size, 3), 255, np.uint8)
    stained = 255 * np.exp(-strength * np.array(colour))
    image[:, : size[1] // 2] = stained.round()[:, : size[1] // 2]
    return image


def apart(one, other):
    return np.linalg.norm(np.log(one) - np.log(other))


def test_colour_is_the_mean_density_of_the_tissue_alone():
    assert colour_of(tissue(PINK)) == pytest.approx(PINK, rel=0.03)
    wide = np.concatenate([tissue(PINK), np.full((60, 400, 3), 255, np.uint8)], axis=1)
    assert colour_of(wide) == pytest.approx(colour_of(tissue(PINK)))


@pytest.mark.parametrize("value", [0, 10, 240, 255])
def test_empty_and_dark_tiles_have_no_colour_and_stay_as_they_are(value):
    image = np.full((30, 30, 3), value, np.uint8)
    assert colour_of(image) is None
    assert in_known_colours(image, [PINK]) is image


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (3000, 700)])
def test_any_size_has_a_colour(size):
    image = np.full((*size, 3), (180, 90, 190), np.uint8)
    assert colour_of(image) == pytest.approx(-np.log(np.array([180, 90, 190]) / 255), rel=1e-4)


def test_a_tile_unlike_all_gets_the_nearest_known_colour_and_white_stays_white():
    image = tissue(BROWN)
    changed = in_known_colours(image, [(1.2, 1.2, 1.2), PINK])
    assert apart(colour_of(changed), PINK) < 0.03
    assert (changed[:, 40:] == 255).all()
    assert changed.dtype == np.uint8
    twice = in_known_colours(changed, [PINK])
    assert twice is changed
    green, now = image[:, :40, 1].astype(float).ravel(), changed[:, :40, 1].astype(float).ravel()
    assert np.corrcoef(green, now)[0, 1] > 0.99


@pytest.mark.parametrize("factor", [1.0, 0.85, 1.2])
def test_a_tile_like_one_that_taught_stays_as_it_is(factor):
    image = tissue([factor * value for value in PINK])
    assert in_known_colours(image, [BROWN, PINK]) is image
    assert in_known_colours(image, []) is image


def test_a_stronger_difference_than_far_is_needed():
    just, beyond = (
        tissue([PINK[0], PINK[1] * np.exp(shift), PINK[2]]) for shift in (FAR - 0.05, FAR + 0.05)
    )
    assert in_known_colours(just, [PINK]) is just
    assert in_known_colours(beyond, [PINK]) is not beyond


def test_alike_colours_are_kept_once_and_none_are_left_out():
    near = tuple(1.02 * value for value in PINK)
    assert different([PINK, None, near, BROWN, near]) == (PINK, BROWN)
    assert different([]) == different([None]) == ()
