from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from napari_semimoe.core.values import IGNORE, Patch
from napari_semimoe.model.semi_moe import SemiMoE
from napari_semimoe.training.predict import Predictor
from napari_semimoe.training.source import MemorySource
from napari_semimoe.training.validate import validate

from .making import MODEL, settings


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
    """Let the network mark the upper half of each tile, as one object; its experts differ."""

    def predict(self, image, um_per_px):
        marked = np.zeros(image.shape[:2], np.float32)
        marked[: len(marked) // 2] = 1
        experts = {
            "segmentation": np.zeros_like(marked),
            "distance": 2 * marked - 1,
            "boundary": marked,
        }
        instances = marked.astype(np.uint16)
        return SimpleNamespace(
            gated={"segmentation": marked},
            experts=experts,
            class_probabilities=np.stack([1 - marked, marked]),
            instances=instances,
            classes={1: 1},
            disagreement=1 - marked,
        )

    monkeypatch.setattr("napari_semimoe.training.predict.Predictor.predict", predict)


def score(*labels):
    tiles = source(*labels)
    return validate(SemiMoE(MODEL), tiles, tiles.validation, settings(), 0)


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


def test_object_scores_are_of_each_tile_and_of_all_objects_together(found):
    """4 x 10 px are marked; the first mask holds the upper 2 rows of them, the second nothing."""
    one, two = np.zeros((8, 10), np.uint16), np.zeros((8, 10), np.uint16)
    one[:2] = 3
    report = score(one, two)
    first = report.per_tile_objects["tile 0"]
    assert first["object_f1"] == 1  # all of the true object is covered
    assert first["object_dice"] == pytest.approx(2 * 20 / 60)
    assert first["object_hausdorff_px"] == pytest.approx(2)  # row 3 is two rows from row 1
    assert report.per_tile_objects["tile 1"]["object_f1"] == 0
    assert report.object_f1 == pytest.approx(2 * 1 / (2 + 1))  # one found, one invented
    assert report.per_tile_dice["tile 0"] == pytest.approx(2 * 20 / 60)


def test_experts_that_mark_a_region_are_scored_alone(found):
    mask = np.zeros((8, 10), np.uint16)
    mask[:4] = 1
    assert score(mask).experts == {"segmentation": 0, "distance": 1}


def test_marks_of_every_tile_are_heard(found):
    tiles, heard = source(np.ones((4, 6), np.uint16)), {}
    validate(SemiMoE(MODEL), tiles, tiles.validation, settings(), 0, hear=heard.__setitem__)
    assert heard["tile 0"].dtype == bool
    assert heard["tile 0"].sum() == 12


def test_what_the_experts_agree_on_is_told_for_each_threshold(found):
    """They agree on the upper half only, and are right there."""
    mask = np.zeros((8, 10), np.uint16)
    mask[:4], mask[7] = 1, 2
    points = {threshold: rest for threshold, *rest in score(mask).agreement}
    assert points[0.0] == [1.0, 70 / 80]
    assert points[0.5] == [0.5, 1.0]


def test_the_settings_say_which_objects_count(found, monkeypatch):
    heard = []
    predict = Predictor.predict

    def hearing(self, image, um_per_px):
        how = self.settings
        heard.append((how.min_object_um2, how.min_confidence, how.device))
        return predict(self, image, um_per_px)

    monkeypatch.setattr(Predictor, "predict", hearing)
    tiles = source(np.ones((4, 6), np.uint16))
    counted = settings(min_object_um2=12.5, min_confidence=0.25)
    validate(SemiMoE(MODEL), tiles, tiles.validation, counted, 0)
    assert heard == [(12.5, 0.25, "cpu")]


@pytest.mark.parametrize(
    ("classes", "dice", "f1"),
    [
        ({1: 1, 2: 2}, 1.0, 1.0),
        ({1: 2, 2: 1}, 0.0, 0.0),  # all is marked, as the other class
        ({1: 1, 2: 1}, 1 / 3, 1 / 2),  # (2/3 + 0) / 2; one object found, one wrong, one missed
    ],
)
def test_what_is_marked_as_another_class_is_wrong(monkeypatch, classes, dice, f1):
    truth = np.zeros((10, 20), np.uint16)
    truth[2:8, 2:8], truth[2:8, 12:18] = 1, 2

    def predict(self, image, um_per_px):
        kinds = np.array([0, 1, 2])[truth]
        return SimpleNamespace(
            gated={"segmentation": (truth > 0).astype(np.float32)},
            experts={"segmentation": (truth > 0).astype(np.float32)},
            class_probabilities=np.stack([kinds == kind for kind in range(3)]).astype(np.float32),
            instances=truth,
            classes={1: 1, 2: 2},
            disagreement=np.zeros(truth.shape, np.float32),
        )

    monkeypatch.setattr("napari_semimoe.training.predict.Predictor.predict", predict)
    image = np.zeros((*truth.shape, 3), np.uint8)
    patches = {"a": Patch(image, truth, MODEL.um_per_px, "a", classes)}
    tiles = MemorySource(patches, labelled=(), validation=("a",))
    report = validate(SemiMoE(MODEL), tiles, tiles.validation, settings(), 0)
    assert report.dice == report.per_tile_dice["a"] == pytest.approx(dice)
    assert report.object_f1 == pytest.approx(f1)
    assert (report.foreground, report.experts) == (report.true_foreground, {})


def test_a_class_that_is_nowhere_does_not_raise_the_mean(found, monkeypatch):
    predict = Predictor.predict

    def knowing_another_class(self, image, um_per_px):
        prediction = predict(self, image, um_per_px)
        known = prediction.class_probabilities
        prediction.class_probabilities = np.concatenate([known, np.zeros_like(known[:1])])
        return prediction

    monkeypatch.setattr(Predictor, "predict", knowing_another_class)
    mask = np.zeros((8, 10), np.uint16)
    mask[:2] = 1
    report = score(mask)
    assert report.dice == report.per_tile_dice["tile 0"] == pytest.approx(2 * 20 / 60)
    assert report.jaccard == pytest.approx(20 / 40)


def test_tiles_without_a_mask_are_not_scored(found):
    tiles = source(np.ones((4, 6), np.uint16))
    tiles.patches["tile 1"] = replace(tiles.patches["tile 0"], labels=None)
    both = validate(SemiMoE(MODEL), tiles, ("tile 0", "tile 1"), settings(), 0)
    assert both.tiles == 1
    assert validate(SemiMoE(MODEL), tiles, ("tile 1",), settings(), 0) is None


def test_a_stop_is_asked_for_before_every_tile(found):
    tiles, asked = source(*[np.ones((4, 6), np.uint16)] * 3), []
    validate(SemiMoE(MODEL), tiles, tiles.validation, settings(), 0, check=lambda: asked.append(1))
    assert len(asked) == 3
