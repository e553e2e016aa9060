"""What counts as glass, and how much of what is wrong lies on it."""

from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks.empty_glass import glass_of, measure
from napari_semimoe.core.values import Patch


def a_tile():
    """A white half, an object with a white middle and a speck of white in pink tissue; 2 um."""
    image = np.full((100, 100, 3), (200, 120, 180), np.uint8)
    labels = np.zeros((100, 100), np.uint16)
    image[:, 60:] = 245
    labels[20:80, 10:50] = 1
    image[30:60, 15:45] = 245
    image[90:93, 20:23] = 245
    return image, labels


def test_glass_is_what_is_white_in_a_wide_place():
    glass = glass_of(a_tile()[0], 2.0)
    assert glass[:, 65:].all()
    assert glass[35:55, 20:40].all()
    assert not glass[88:95, 18:25].any()
    assert not glass[:25, :50].any()
    assert not glass_of(np.zeros((5, 7, 3), np.uint8), 2.0).any()
    assert glass_of(np.full((5, 7, 3), 250, np.uint8), 2.0).all()


def test_what_is_wrong_on_glass_is_counted():
    image, labels = a_tile()
    glass = glass_of(image, 2.0)
    found = labels.copy()
    found[:, 65:75] = 2  # 1000 px of glass
    found[85:95, 10:50] = 3  # 400 px of tissue
    found[40:50, 25:35] = 0  # 100 px of glass in the object
    predictor = SimpleNamespace(predict=lambda *_: SimpleNamespace(instances=found))
    figures = measure(predictor, [Patch(image, labels, 2.0, "t")])
    assert figures["false positives that are glass"] == pytest.approx(1000 / 1400, abs=1e-4)
    assert figures["dice"] == pytest.approx(4600 / (4600 + 1400 + 100), abs=1e-4)
    assert figures["dice without these"] == pytest.approx(4600 / (4600 + 400 + 100), abs=1e-4)
    inside = int((glass & (labels > 0)).sum())
    assert figures["glass in glands that is missed"] == pytest.approx(100 / inside, abs=1e-4)
    assert figures["object_f1"] == pytest.approx(2 / 4)
