from __future__ import annotations

import numpy as np
import pytest

from napari_semimoe.core.values import IGNORE, Patch
from napari_semimoe.model.semi_moe import SemiMoE
from napari_semimoe.training.source import MemorySource
from napari_semimoe.training.validate import validate

from .making import MODEL


def source(*labels):
    patches = {
        f"tile {number}": Patch(
            np.zeros((*mask.shape, 3), np.uint8), mask, MODEL.um_per_px, f"tile {number}"
        )
        for number, mask in enumerate(labels)
    }
    return MemorySource(patches, labelled=(), validation=tuple(patches))


@pytest.fixture
def found(monkeypatch):
    """Let the network mark the upper half of each tile."""

    def foreground(self, image, um_per_px):
        marked = np.zeros(image.shape[:2], np.float32)
        marked[: len(marked) // 2] = 1
        return marked

    monkeypatch.setattr("napari_semimoe.training.predict.Predictor.foreground", foreground)


def score(*labels):
    tiles = source(*labels)
    return validate(SemiMoE(MODEL), tiles, tiles.validation, "cpu", 0)


def test_shares_of_foreground_are_pooled_over_all_pixels(found):
    one, two = np.zeros((8, 10), np.uint16), np.zeros((4, 5), np.uint16)
    one[:2] = 1
    report = score(one, two)
    assert report.foreground == pytest.approx(50 / 100)
    assert report.true_foreground == pytest.approx(20 / 100)
    assert report.per_tile_dice == {"tile 0": pytest.approx(40 / 60), "tile 1": 0}


def test_ignored_pixels_count_in_no_share(found):
    mask = np.zeros((8, 10), np.uint16)
    mask[:3], mask[6:] = 4, IGNORE
    report = score(mask)
    assert report.foreground == pytest.approx(40 / 60)
    assert report.true_foreground == pytest.approx(30 / 60)


def test_tile_that_is_ignored_as_a_whole_has_no_share(found):
    report = score(np.full((4, 4), IGNORE, np.uint16))
    assert (report.foreground, report.true_foreground) == (None, None)
