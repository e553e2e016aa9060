"""The drawn tissue is deterministic, exact and of any size."""

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import label as connected

from napari_semimoe.data.synthetic import make_tissue, write_tiles


def test_same_seed_gives_the_same_tile_and_another_seed_another():
    one, same, other = (make_tissue(120, 160, seed=seed) for seed in (3, 3, 4))
    assert np.array_equal(one.image, same.image)
    assert np.array_equal(one.labels, same.labels)
    assert not np.array_equal(one.labels, other.labels)


def test_tile_has_several_glands_numbered_without_gaps():
    patch = make_tissue(400, 500, seed=1)
    ids = np.unique(patch.labels)
    assert patch.labels.dtype == np.uint16
    assert len(ids) > 5
    assert np.array_equal(ids, np.arange(len(ids)))
    assert 0.2 < (patch.labels > 0).mean() < 0.85


def test_some_glands_touch_so_that_instances_matter():
    touching = 0
    for seed in range(4):
        labels = make_tissue(400, 500, seed=seed).labels
        touching += labels.max() - connected(labels > 0)[1]
    assert touching > 0


def test_lumen_is_pale_and_nuclei_are_dark_inside_the_glands():
    patch = make_tissue(400, 500, seed=2)
    green = patch.image[..., 1][patch.labels > 0]
    assert (green > 210).mean() > 0.1
    assert (green < 110).mean() > 0.05


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (33, 7), (250, 251)])
def test_any_size_is_drawn(size):
    patch = make_tissue(*size, seed=5)
    assert patch.image.shape == (*size, 3)
    assert patch.labels.shape == size


def test_glands_keep_their_size_in_microns():
    fine = make_tissue(800, 800, seed=7, um_per_px=0.5)
    coarse = make_tissue(400, 400, seed=7, um_per_px=1.0)
    assert fine.labels.max() == coarse.labels.max()
    assert (fine.labels > 0).mean() == pytest.approx((coarse.labels > 0).mean(), abs=0.01)


def test_written_tiles_carry_their_scale_and_exact_masks(tmp_path):
    paths = write_tiles(tmp_path / "tiles", 2, seed=9, size=(60, 80))
    assert [path.name for path in paths] == ["tissue_1.png", "tissue_2.png"]
    with Image.open(paths[1]) as image:
        assert 25400 / image.info["dpi"][0] == pytest.approx(0.62, rel=0.01)
    mask = np.asarray(Image.open(tmp_path / "tiles" / "tissue_2_anno.png"))
    assert np.array_equal(mask, make_tissue(60, 80, seed=10).labels)


def test_masks_are_left_out_on_request(tmp_path):
    write_tiles(tmp_path, 1, seed=0, size=(20, 20), masks=False)
    assert [path.name for path in tmp_path.iterdir()] == ["tissue_1.png"]
