"""Prediction of any tile, at its own size."""

import numpy as np
import pytest
import torch
from skimage.data import immunohistochemistry

from napari_semimoe.core.settings import ModelSettings, PredictSettings
from napari_semimoe.core.starter import starter_weights
from napari_semimoe.data.colours import in_known_colours
from napari_semimoe.data.resample import resample_labels, working_size
from napari_semimoe.model.semi_moe import SemiMoE
from napari_semimoe.session.demo import IMMUNOHISTOCHEMISTRY_UM_PER_PX
from napari_semimoe.training.predict import (
    FLIPS,
    Predictor,
    as_shown,
    classes_of,
    disagreement,
    load_predictor,
)
from napari_semimoe.training.views import PLAIN, averaged, padded_run

UM = 1.25


def predictor(model=None, **values):
    torch.manual_seed(0)
    network = SemiMoE(ModelSettings.parse({"width": 4, "um_per_px": UM} | (model or {})))
    return Predictor(network, PredictSettings.parse({"device": "cpu", "window_px": 64} | values))


def picture(height, width, seed=0):
    coarse = np.random.default_rng(seed).integers(0, 256, (height // 8 + 1, width // 8 + 1, 3))
    return np.kron(coarse, np.ones((8, 8, 1)))[:height, :width].astype(np.uint8)


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (15, 33), (64, 64), (78, 53), (65, 200)], ids=str)
def test_every_output_has_the_tiles_size_and_range(size):
    found = predictor().predict(picture(*size), UM)
    assert found.expert_names == ("segmentation", "distance", "boundary")
    for group in (found.experts, found.gated):
        for name, shown in group.items():
            assert shown.shape == size
            assert shown.dtype == np.float32
            assert np.isfinite(shown).all()
            low = -1 if name == "distance" else 0
            assert low - 1e-5 <= shown.min() <= shown.max() <= 1 + 1e-5
    np.testing.assert_allclose(found.class_probabilities.sum(0), 1, atol=1e-4)
    np.testing.assert_allclose(found.gates.sum(1), 1, atol=1e-5)
    assert found.gates.shape == (3, 3)
    assert found.instances.shape == found.disagreement.shape == size
    assert found.instances.dtype == np.uint16
    assert 0 <= found.disagreement.min() <= found.disagreement.max() <= 1
    assert set(found.classes) == set(range(1, int(found.instances.max()) + 1))


def seen_by(predictor, size, um_per_px):
    """Return the sizes of the batches that the network saw."""
    shapes = []
    hook = predictor.model.register_forward_pre_hook(
        lambda module, inputs: shapes.append(tuple(inputs[0].shape[2:]))
    )
    predictor.predict(picture(*size), um_per_px)
    hook.remove()
    return shapes


@pytest.mark.parametrize(
    ("um_per_px", "seen"),
    [
        (1.25, [(112, 208), (80, 160)]),
        (0.625, [(64, 112), (64, 80)]),
        (2.5, [(208, 400), (160, 320)]),
    ],
)
def test_a_tile_is_seen_at_the_working_resolution_and_coarser_padded_to_sixteen(um_per_px, seen):
    assert seen_by(predictor(window_px=512, adapt=False), (100, 200), um_per_px) == seen


def test_a_tile_of_another_stain_is_seen_in_a_colour_that_the_network_knows():
    known = (0.3, 0.9, 0.3)
    brown = np.full((32, 32, 3), (160, 140, 110), np.uint8)
    brown[8:20, 8:20] = (120, 90, 60)
    seen = in_known_colours(brown, [known])
    knows = predictor({"colours": [known]})
    same = predictor().predict(seen, UM)
    np.testing.assert_array_equal(knows.predict(brown, UM).gates, same.gates)
    raw = predictor({"colours": [known]}, adapt=False).predict(brown, UM)
    np.testing.assert_array_equal(raw.gates, predictor(adapt=False).predict(brown, UM).gates)


def test_the_starter_marks_glands_in_a_stain_that_it_never_learned_from():
    weights = starter_weights()
    if weights is None:
        pytest.skip("this build ships no starter")
    found = load_predictor(weights, PredictSettings(device="cpu")).predict(
        immunohistochemistry(), IMMUNOHISTOCHEMISTRY_UM_PER_PX
    )
    marked = found.instances > 0
    glands, stroma = (
        ((100, 150), (100, 400), (410, 320), (300, 100)),
        ((320, 200), (100, 490), (400, 450)),
    )
    assert all(marked[place] for place in glands)
    assert not any(marked[place] for place in stroma)


def test_fitting_to_a_tile_costs_one_more_look():
    looks = seen_by(predictor(window_px=512), (100, 200), UM)
    assert looks == [(112, 208), (112, 208), (80, 160)]


def test_of_a_large_tile_nine_windows_are_enough_to_fit_to_it():
    fitted = seen_by(predictor(), (150, 300), UM)
    assert len(fitted) == 9 + len(seen_by(predictor(adapt=False), (150, 300), UM))
    assert set(fitted) == {(64, 64)}


def test_a_tile_larger_than_the_window_is_seen_in_windows():
    shapes = seen_by(predictor(), (100, 150), UM)
    assert len(shapes) > 4
    assert set(shapes) == {(64, 64)}


def test_windows_agree_with_the_whole_far_from_their_edges():
    image = picture(160, 160)
    whole = predictor(window_px=512).predict(image, UM).gated["segmentation"]
    windows = predictor(window_px=128, overlap=0.5).predict(image, UM).gated["segmentation"]
    assert np.abs(whole - windows).mean() < 0.1
    assert np.corrcoef(whole.ravel(), windows.ravel())[0, 1] > 0.9


def test_working_size_keeps_the_aspect_and_at_least_one_pixel():
    assert working_size((522, 775), 0.62, 1.25) == (259, 384)
    assert working_size((1, 7), 0.1, 1.25) == (1, 1)
    assert working_size((3, 5), 1.25, 1.25) == (3, 5)


def test_resampling_a_mask_keeps_ids():
    labels = np.zeros((10, 10), np.uint16)
    labels[2:6, 2:6], labels[6:9, 4:9] = 300, 65535
    for size in [(5, 5), (10, 10), (23, 7), (1, 1)]:
        found = resample_labels(labels, size)
        assert found.shape == size
        assert set(np.unique(found)) <= {0, 300, 65535}
    np.testing.assert_array_equal(resample_labels(labels, (20, 20))[::2, ::2], labels)


@pytest.mark.parametrize("turn", [np.fliplr, np.flipud, np.rot90], ids=lambda f: f.__name__)
@pytest.mark.parametrize("size", [(40, 40), (37, 51)], ids=str)
def test_with_flips_a_turned_tile_gives_nearly_the_turned_prediction(turn, size):
    def change(views):
        ready, image = predictor(), picture(*size)
        ready.views = views
        straight = ready.predict(image, UM).gated["segmentation"]
        turned = ready.predict(np.ascontiguousarray(turn(image)), UM).gated["segmentation"]
        return np.abs(turned - turn(straight)).mean()

    assert change(FLIPS) < 0.6 * change(PLAIN)


def test_with_flips_the_network_sees_a_tile_twice_in_each_of_four_sizes(monkeypatch):
    ready, seen = predictor(flips=True, window_px=512, adapt=False), []
    run = ready._run
    monkeypatch.setattr(
        ready, "_run", lambda batch: seen.append(tuple(batch.shape[2:])) or run(batch)
    )
    ready.predict(picture(200, 300), UM)
    longest = sorted(max(size) for size in seen)
    assert longest == [192, 192, 240, 240, 304, 304, 384, 384]  # multiples of 16 px


@pytest.mark.parametrize("size", [(37, 51), (1, 1), (1, 30)], ids=str)
def test_with_flips_a_small_tile_comes_back_in_its_own_size(size):
    found = predictor(flips=True).predict(picture(*size), UM).gated["segmentation"]
    assert found.shape == size
    assert np.isfinite(found).all()


def test_without_flips_a_flipped_tile_differs():
    ready, image = predictor(), picture(40, 40)
    straight = ready.predict(image, UM).gated["segmentation"]
    turned = ready.predict(np.fliplr(image).copy(), UM).gated["segmentation"]
    assert np.abs(turned - np.fliplr(straight)).max() > 1e-2


def test_all_eight_views_make_an_average_that_turns_with_the_image():
    ready = predictor()
    image = torch.from_numpy(picture(48, 64)).permute(2, 0, 1)[None].float() / 255

    def average(batch):
        with torch.inference_mode():
            return averaged(lambda x: padded_run(ready._run, x), batch, range(8))

    straight = average(image)
    torch.testing.assert_close(average(image.flip(3)), straight.flip(3), atol=1e-4, rtol=1e-3)
    turned = torch.rot90(straight, 1, (2, 3))
    found = average(torch.rot90(image, 1, (2, 3)).contiguous())
    torch.testing.assert_close(found, turned, atol=1e-4, rtol=1e-3)


def test_views_are_turned_back_before_they_are_averaged():
    image = torch.arange(12.0).view(1, 1, 3, 4)
    for count in range(1, 9):
        torch.testing.assert_close(averaged(lambda x: x, image, range(count)), image)
    with pytest.raises(ValueError, match="views must hold one view or more"):
        averaged(lambda x: x, image, [])


def test_fewer_experts_and_more_classes_predict():
    model = {"experts": ("segmentation", "boundary"), "classes": ("none", "gland", "vessel")}
    found = predictor(model).predict(picture(40, 40), UM)
    assert set(found.gated) == {"segmentation", "boundary"}
    assert found.class_probabilities.shape == (3, 40, 40)
    assert found.gates.shape == (2, 2)
    np.testing.assert_allclose(
        found.gated["segmentation"], found.class_probabilities[1:].sum(0), atol=1e-5
    )


def test_what_is_shown_is_foreground_signed_distance_and_boundary():
    probabilities = np.array([[[0.3]], [[0.1]], [[0.6]]], np.float32)
    assert as_shown("segmentation", probabilities)[0, 0] == pytest.approx(0.7)
    assert as_shown("distance", np.full((1, 1, 1), -0.5))[0, 0] == -0.5
    assert as_shown("boundary", np.array([[[0.2]], [[0.8]]]))[0, 0] == 0.8


def test_an_instance_has_its_likeliest_foreground_class():
    instances = np.array([[1, 1, 0, 2]], np.uint16)
    background, gland = [[0.1, 0.1, 0.9, 0.8]], [[0.8, 0.1, 0.0, 0.05]]
    vessel = [[0.1, 0.8, 0.1, 0.15]]
    probabilities = np.array([background, gland, vessel], np.float32)
    probabilities[2, 0, 1] = 0.7
    assert classes_of(instances, probabilities) == {1: 1, 2: 2}
    assert classes_of(np.zeros((2, 2), np.uint16), np.zeros((2, 2, 2), np.float32)) == {}


def test_an_unsure_object_is_not_marked_and_its_experts_still_disagree():
    image = picture(96, 96)
    every, sure = (
        predictor(min_confidence=least, min_object_um2=0).predict(image, UM) for least in (0, 0.9)
    )
    assert every.instances.max() > sure.instances.max() > 0
    assert len(sure.classes) == sure.instances.max()
    np.testing.assert_array_equal(sure.disagreement, every.disagreement)


def half_object():
    objects = np.zeros((20, 30), np.uint16)
    objects[:, 15:] = 1
    return objects


def test_disagreement_is_how_surely_segmentation_and_distance_take_opposite_sides():
    objects = half_object()
    foreground = objects.astype(np.float32)
    agreeing = {"segmentation": foreground, "distance": 2 * foreground - 1}
    assert disagreement(agreeing, objects, 2).max() == 0
    opposite = {"segmentation": foreground, "distance": 1 - 2 * foreground}
    assert disagreement(opposite, objects, 2).min() == 1
    unsure = {"segmentation": foreground, "distance": 0.15 * (1 - 2 * foreground) / 2}
    np.testing.assert_allclose(disagreement(unsure, objects, 2), 0.5, rtol=1e-6)


def with_boundary(column, width=2):
    objects = half_object()
    boundary = np.zeros(objects.shape, np.float32)
    boundary[:, column : column + width] = 0.8
    return {"segmentation": objects.astype(np.float32), "boundary": boundary}, objects


@pytest.mark.parametrize("column", [11, 13, 15])
def test_a_boundary_beside_its_outline_is_no_disagreement(column):
    found = disagreement(*with_boundary(column), 3)
    assert found.max() <= 0.2 + 1e-6  # only what the boundary expert itself is not sure of


def test_a_boundary_far_from_any_outline_is_a_disagreement_and_so_is_a_bare_outline():
    found = disagreement(*with_boundary(3), 3)
    np.testing.assert_allclose(found[:, 3:5], 0.8)
    assert (found[:, 14:16] == 1).all()
    assert (found[:, 22:] == 0).all()


def test_objects_are_cut_as_the_settings_say(monkeypatch):
    asked = []

    def objects(foreground, *_, **how):
        asked.append(how)
        return np.zeros(foreground.shape, np.uint16)

    monkeypatch.setattr("napari_semimoe.training.predict.to_instances", objects)
    settings = {"min_object_um2": 400, "threshold": 0.7, "split_touching": False}
    predictor(**settings).predict(picture(64, 64), 0.5)
    told = {"min_object_px": 1600, "threshold": 0.7, "split_touching": False}
    assert asked == [told | {"classes": None}]
    classes = ("background", "gland", "vessel", "nerve")
    found = predictor({"classes": classes}, **settings).predict(picture(64, 64), 0.5)
    np.testing.assert_array_equal(asked[1]["classes"], found.class_probabilities[1:])


@pytest.mark.parametrize(("um_per_px", "tolerance"), [(UM / 2, 6), (UM, 3), (9 * UM, 1)])
def test_the_tolerance_of_an_outline_is_as_wide_in_the_tissue_whatever_the_pixels(
    monkeypatch, um_per_px, tolerance
):
    asked = []

    def hearing(experts, objects, tolerance_px):
        asked.append(tolerance_px)
        return disagreement(experts, objects, tolerance_px)

    monkeypatch.setattr("napari_semimoe.training.predict.disagreement", hearing)
    predictor().predict(picture(20, 20), um_per_px)
    assert asked == [tolerance]


def test_a_long_narrow_tile_is_seen_in_windows():
    seen = seen_by(predictor(adapt=False), (40, 400), UM)
    assert max(max(size) for size in seen) == 64


def test_where_windows_overlap_the_one_whose_middle_is_nearer_counts_more(monkeypatch):
    ready = predictor(overlap=0.5)
    columns = torch.arange(64.0).expand(1, 1, 64, 64)
    monkeypatch.setattr(ready, "_run", lambda batch: columns.clone())  # of each window
    blended = ready._windows(torch.zeros(1, 3, 64, 96))[0, 0, 32]
    assert blended[36] > 32  # 36 in the first window, 4 in the second
    assert blended[60] < 32  # 60 and 28
