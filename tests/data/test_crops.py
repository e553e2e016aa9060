"""Which tiles a step sees, and its crops."""

from collections import Counter

import numpy as np
import pytest
import torch
from scipy.ndimage import distance_transform_edt
from skimage.draw import disk

from napari_semimoe.core.errors import ShapeError
from napari_semimoe.core.settings import AugmentSettings, ModelSettings
from napari_semimoe.core.values import IGNORE, Patch
from napari_semimoe.data import augment
from napari_semimoe.data.augment import change_colours, crop_batch, with_glass
from napari_semimoe.data.prepare import prepare
from napari_semimoe.data.resample import resample_image, working_size
from napari_semimoe.data.sampling import draw, generator_for, stable_seed

MODEL = ModelSettings(width=4, um_per_px=1.0)
STILL = AugmentSettings(flip=False, rotate="none", scale=0, stain=0, brightness=0, blur=0)
STRONG = AugmentSettings(stain=0.5, brightness=0.4, blur=0.5)


def tile(height, width, *, masked=True, um_per_px=1.0, seed=0):
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (height, width, 3)).astype(np.uint8)
    labels = rng.choice(np.array([0, 1, 300, IGNORE], np.uint16), (height, width))
    return prepare(Patch(image, labels if masked else None, um_per_px, "t"), MODEL)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("count", [1, 2, 3, 7])
@pytest.mark.parametrize("batch", [1, 2, 4, 5])
def test_each_tile_is_drawn_equally_often(count, batch):
    seen = Counter(i for step in range(count) for i in draw(count, batch, step, 0, "labelled"))
    assert seen == dict.fromkeys(range(count), batch)


def test_at_any_moment_no_tile_is_more_than_one_draw_ahead():
    seen = Counter(dict.fromkeys(range(5), 0))
    for step in range(23):
        seen.update(draw(5, 1, step, 0, "labelled"))
        assert max(seen.values()) - min(seen.values()) <= 1


def test_draws_depend_on_seed_pool_and_step_alone():
    def order(seed, pool):
        return [draw(20, 4, step, seed, pool) for step in range(10)]

    assert order(0, "labelled") == order(0, "labelled")
    assert order(0, "labelled") != order(1, "labelled")
    assert order(0, "labelled") != order(0, "unlabelled")
    assert order(0, "labelled")[:5] != order(0, "labelled")[5:]  # shuffled anew
    assert draw(0, 4, 3, 0, "unlabelled") == []


def test_seeds_are_the_same_on_every_machine():
    assert stable_seed(0, "weights") == stable_seed(0, "weights")
    assert stable_seed(0, "a", 1) != stable_seed(0, "a", 2)
    assert 0 <= stable_seed(5, "x") < 2**63
    one, two = (torch.rand(3, generator=generator_for(1, "x")) for _ in range(2))
    assert torch.equal(one, two)


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (30, 17), (32, 32), (70, 50)], ids=str)
def test_crops_have_one_size_whatever_the_tiles(size):
    crops = crop_batch([tile(*size), tile(40, 60)], 32, AugmentSettings(), generator())
    assert crops.image.shape == (2, 3, 32, 32)
    assert crops.index.shape == (2, 2, 32, 32)
    assert crops.maps.shape == (2, 1, 32, 32)
    assert crops.index.dtype == torch.int32
    assert torch.isfinite(crops.image).all()
    assert torch.isfinite(crops.maps).all()
    assert 0 <= crops.image.min() <= crops.image.max() <= 1


def test_the_corners_of_a_tile_teach_too():
    labels = np.zeros((60, 90), np.uint16)
    for corner in (np.s_[:8, :8], np.s_[:8, -8:], np.s_[-8:, :8], np.s_[-8:, -8:]):
        labels[corner] = 1
    image = np.zeros((60, 90, 3), np.uint8)
    marked = prepare(Patch(image, labels, 1.0, "t"), MODEL)
    crops = crop_batch([marked] * 400, 40, AugmentSettings(), generator())
    taught = float((crops.index[:, 0] == 1).float().mean())
    assert taught > 0.1 * (labels == 1).mean()


def test_a_crop_of_one_pixel_is_that_pixel_everywhere():
    dot = tile(1, 1)
    crops = crop_batch([dot], 32, AugmentSettings(), generator())
    torch.testing.assert_close(
        crops.image, (dot.image / 255.0)[None].expand(1, 3, 32, 32), atol=1e-5, rtol=0
    )
    assert (crops.index[:, 0] == dot.index[0, 0, 0]).all()


def test_the_same_generator_gives_the_same_crops_and_another_others():
    def crop(seed):
        return crop_batch([tile(70, 50)], 32, AugmentSettings(), generator(seed))

    assert torch.equal(crop(1).image, crop(1).image)
    assert torch.equal(crop(1).index, crop(1).index)
    assert not torch.equal(crop(1).image, crop(2).image)


@pytest.mark.parametrize("size", [(200, 150), (40, 150), (20, 16)], ids=str)
def test_a_crop_reads_a_part_of_its_tile_and_is_as_if_it_had_read_all(size, monkeypatch):
    def crops():
        return [crop_batch([whole], 32, AugmentSettings(), generator(n)) for n in range(40)]

    whole = tile(*size)
    of_parts = crops()
    monkeypatch.setattr(augment, "_part", lambda centre, reach, length: slice(0, length))
    for part, all_of_it in zip(of_parts, crops(), strict=True):
        torch.testing.assert_close(part.image, all_of_it.image, atol=1e-3, rtol=0)
        torch.testing.assert_close(part.maps, all_of_it.maps, atol=1e-3, rtol=0)
        assert (part.index == all_of_it.index).float().mean() > 0.999


def test_ids_and_the_ignore_value_survive_turning_and_zooming():
    crops = crop_batch([tile(60, 60)] * 4, 32, AugmentSettings(scale=0.5), generator())
    assert set(crops.index[:, 0].unique().tolist()) == {0, 1, 300, IGNORE}
    assert set(crops.index[:, 1].unique().tolist()) == {0, 1}


def test_mask_and_image_are_cut_at_the_same_place():
    labels = np.zeros((80, 80), np.uint16)
    labels[20:60, 20:60] = 1
    image = np.repeat(labels[..., None] * 255, 3, 2).astype(np.uint8)
    ready = prepare(Patch(image, labels, 1.0, "t"), MODEL)
    for seed in range(5):
        crops = crop_batch([ready], 48, AugmentSettings(), generator(seed))
        bright = crops.image[0, 0] > 0.5
        assert (bright == (crops.index[0, 0] > 0)).float().mean() > 0.98


def test_tiles_without_masks_give_crops_without():
    crops = crop_batch([tile(40, 40, masked=False)], 32, STILL, generator())
    assert crops.index is None
    assert crops.maps is None


def test_a_tile_is_prepared_at_the_working_resolution():
    ready = tile(40, 60, um_per_px=0.5)
    assert ready.image.shape == (3, 20, 30)
    assert ready.index.shape == (2, 20, 30)
    assert ready.maps.shape == (1, 20, 30)
    assert ready.image.dtype == torch.uint8


@pytest.mark.parametrize("settings", [AugmentSettings(), STRONG])
def test_changed_colours_stay_in_range(settings):
    image = torch.rand(6, 3, 16, 16, generator=generator())
    image[0], image[1] = 0, 1
    changed = change_colours(image, settings, generator(1))
    assert torch.isfinite(changed).all()
    assert 0 <= changed.min() <= changed.max() <= 1
    assert not torch.allclose(changed[2:], image[2:], atol=1e-2)


def test_colour_changes_of_no_strength_change_nothing():
    image = torch.rand(2, 3, 16, 16, generator=generator())
    assert torch.equal(change_colours(image, STILL, generator()), image)
    faint = STILL.changed(stain=1e-6)
    torch.testing.assert_close(
        change_colours(image.clamp_min(0.01), faint, generator()),
        image.clamp_min(0.01),
        atol=1e-4,
        rtol=0,
    )


def test_the_generator_moves_on_alike_whatever_is_drawn():
    image = torch.rand(2, 3, 8, 8, generator=generator())
    one, two = (change_colours(image, STRONG, generator(4)) for _ in range(2))
    assert torch.equal(one, two)


@pytest.mark.parametrize("width", [1, 3, 7])
def test_a_tile_that_becomes_one_pixel_wide_keeps_its_rows(width):
    image = np.repeat(np.arange(200, dtype=np.uint8)[:, None, None], width, axis=1)
    narrow = resample_image(np.repeat(image, 3, axis=2), (40, 1))
    expected = 5 * np.arange(40) + 2
    assert narrow.shape == (3, 40, 1)
    assert np.abs(narrow[0, :, 0].numpy() - expected).max() <= 1


def test_a_wrong_pixel_size_that_fills_the_memory_is_refused_in_words():
    assert working_size((2048, 2048), 2.0, 1.25) == (3277, 3277)
    assert working_size((20_000, 20_000), 0.5, 1.25) == (8000, 8000)
    with pytest.raises(ShapeError, match=r"enlarged to 16384 x 16384 px.*Correct the tile's pixel"):
        working_size((2048, 2048), 10.0, 1.25)


def crops_of(image, labels, size=96, scale=0.0, count=1):
    ready = prepare(Patch(image, labels, 1.0, "t"), MODEL)
    still = STILL.model_copy(update={"scale": scale})
    return crop_batch([ready] * count, size, still, generator())


def a_disc(level=128):
    labels = np.zeros((96, 96), np.uint16)
    labels[disk((48, 48), 35)] = 7
    return np.full((96, 96, 3), level, np.uint8), labels


def test_glass_is_white_and_background_and_the_rest_stays_as_it_was():
    before = crops_of(*a_disc(), count=40)
    crops = with_glass(before, 1.0, generator(1))
    was, now = before.index[:, 0], crops.index[:, 0]
    grey = crops.image.mean(1)
    assert (now[was == 0] == 0).all()
    assert (grey[now == IGNORE] > 0.65).all()  # halfway at the edge
    assert grey[now == IGNORE].mean() > 0.9
    assert (grey[(was == 7) & (now == 0)] > 0.85).all()
    kept = now == 7
    assert (grey[kept] < 0.75).all()
    assert (grey[kept] - 128 / 255).median().abs() < 1e-3
    assert torch.equal(crops.index[:, 1] == 1, kept)
    assert torch.equal(crops.maps[:, 0][kept], before.maps[:, 0][kept])
    shares = kept.float().mean((1, 2)) / (was == 7).float().mean((1, 2))
    assert 0 < ((shares > 0.1) & (shares < 0.9)).float().mean() < 1


@pytest.mark.parametrize("scale", [0.0, 0.4])
def test_glass_over_an_object_teaches_only_far_from_its_edge(scale):
    before = crops_of(*a_disc(), count=60, scale=scale)
    crops = with_glass(before, 1.0, generator(2))
    was, now = before.index[:, 0].numpy(), crops.index[:, 0].numpy()
    far = 0
    for old, new, distance, px in zip(was, now, crops.maps[:, 0].numpy(), crops.px, strict=True):
        gone = (old == 7) & (new == 0)
        far += int(gone.any())
        if (new == 7).any() and gone.any():
            to_kept = distance_transform_edt(new != 7)
            assert to_kept[gone].min() > 0.15 * 96  # the edge is wavy
        assert (distance[new == 0] <= 0).all()
        assert (distance[gone] <= -0.25 * 96 * px).all()
    assert far > 5
    assert (now == IGNORE).any()


def test_without_chance_there_is_no_glass_and_with_some_in_some_crops():
    before = crops_of(*a_disc(), count=200)
    assert with_glass(before, 0.0, generator()) is before
    crops = with_glass(before, 0.25, generator())
    changed = (crops.image != before.image).flatten(1).any(1)
    assert 30 <= int(changed.sum()) <= 70
    assert torch.equal(crops.maps[~changed], before.maps[~changed])
    assert torch.equal(crops.index[~changed], before.index[~changed])
    assert torch.equal(with_glass(before, 0.25, generator()).image, crops.image)


def test_what_is_empty_in_a_dark_picture_is_dark():
    image, labels = a_disc(level=20)
    crops = with_glass(crops_of(image, labels, count=10), 1.0, generator(1))
    assert crops.image.max() < 0.2
    assert (crops.image < 0.04).any()


def test_glass_makes_known_what_was_to_be_ignored_and_passes_one_pixel_tiles():
    image, labels = a_disc()
    labels[:] = IGNORE
    crops = with_glass(crops_of(image, labels, count=10), 1.0, generator(1))
    assert set(crops.index[:, 0].unique().tolist()) == {0, IGNORE}
    dot = with_glass(crop_batch([tile(1, 1)], 32, AugmentSettings(), generator()), 1.0, generator())
    assert torch.isfinite(dot.maps).all()
