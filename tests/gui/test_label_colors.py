"""Colours of instances: the same as napari's own way gives, without its wait."""

from __future__ import annotations

import numpy as np
import pytest
from napari.utils.colormaps import DirectLabelColormap

from napari_semimoe.core.values import IGNORE
from napari_semimoe.gui.label_colors import InstanceColors, instance_colors

EVERY_ID = np.arange(IGNORE + 1, dtype=np.uint16)


@pytest.mark.parametrize(("classes", "n_classes"), [({}, 2), ({7: 2, 9: 1}, 3)])
@pytest.mark.parametrize("selection", [None, 7])
def test_every_id_has_the_colour_that_napari_gives_it(classes, n_classes, selection):
    colors = instance_colors(classes, n_classes)
    mine = InstanceColors(color_dict=colors.color_dict)
    theirs = DirectLabelColormap(color_dict=colors.color_dict)
    for each in (mine, theirs):
        each.use_selection, each.selection = selection is not None, selection or 0
    np.testing.assert_array_equal(mine.map(EVERY_ID), theirs.map(EVERY_ID))


def test_napari_still_asks_for_the_table_by_this_name():
    assert hasattr(DirectLabelColormap, "_map_without_cache")


def test_kinds_tell_by_their_hue_and_unsure_is_grey():
    colors = instance_colors({1: 1, 4: 1, 2: 2}, 3)
    first, other, second, unsure = colors.map(np.array([1, 4, 2, IGNORE], np.uint16))
    np.testing.assert_array_equal(first, other)
    assert np.abs(first - second).max() > 0.2
    assert np.ptp(unsure[:3]) < 0.05
