"""The stand-in for the person corrects the largest error and nothing else."""

import numpy as np
import pytest

from napari_semimoe.core.values import Prediction
from napari_semimoe.data.synthetic import DIAMINOBENZIDINE, make_tissue
from napari_semimoe.session.demo_person import correction, stand_in


def predicted(instances):
    zeros = np.zeros(instances.shape, np.float32)
    maps = {name: zeros for name in ("segmentation", "distance", "boundary")}
    probabilities = np.stack([zeros, zeros])
    gates = np.full((3, 3), 1 / 3, np.float32)
    return Prediction(maps, maps, probabilities, instances, {1: 1}, zeros, gates, tuple(maps))


def boxes(*where):
    labels = np.zeros((60, 80), np.uint16)
    for number, (y0, y1, x0, x1) in enumerate(where, start=1):
        labels[y0:y1, x0:x1] = number
    return labels


def test_gland_that_was_cut_short_is_continued_from_where_it_is():
    stroke = correction(predicted(boxes((10, 30, 10, 20))), boxes((10, 30, 10, 50)) > 0)
    assert stroke.adds
    assert stroke.path[0][1] == 19  # the last column of the predicted gland
    y, x = stroke.path[-1]
    assert 10 <= y < 30
    assert 20 <= x < 50


def test_invented_gland_is_erased_inside_itself():
    stroke = correction(
        predicted(boxes((10, 30, 10, 20), (40, 55, 50, 75))), boxes((10, 30, 10, 20)) > 0
    )
    assert not stroke.adds
    assert all(40 <= y < 55 and 50 <= x < 75 for y, x in stroke.path)


def test_empty_prediction_is_begun_where_the_gland_is_widest():
    stroke = correction(predicted(boxes()), boxes((10, 30, 10, 50)) > 0)
    assert stroke.adds
    assert all(10 <= y < 30 and 10 <= x < 50 for y, x in stroke.path)
    assert max(x for _, x in stroke.path) - min(x for _, x in stroke.path) > 5


def test_brown_glands_are_seen_in_immunohistochemistry(monkeypatch):
    monkeypatch.delenv("SEMIMOE_DATA", raising=False)
    patch = make_tissue(300, 300, seed=3, stain=DIAMINOBENZIDINE)
    seen = stand_in("colon_left", patch.image)
    both = np.count_nonzero(seen & (patch.labels > 0))
    assert 2 * both / (seen.sum() + (patch.labels > 0).sum()) > 0.75


def test_glas_tiles_are_seen_by_their_own_mask(monkeypatch, tmp_path):
    from PIL import Image

    mask = boxes((10, 30, 10, 50)).astype(np.uint8)
    Image.fromarray(mask).save(tmp_path / "train_7_anno.png")
    monkeypatch.setenv("SEMIMOE_DATA", str(tmp_path))
    seen = stand_in("train_7", np.zeros((60, 80, 3), np.uint8))
    assert np.array_equal(seen, mask > 0)
    assert seen.mean() == pytest.approx(20 * 40 / 4800)
