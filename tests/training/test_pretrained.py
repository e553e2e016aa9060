"""A round around a pretrained encoder: only what is around it learns, and it can go on."""

import pytest
import torch
from safetensors.torch import load_file, save_file

from napari_semimoe.core.checkpoint_info import read_info
from napari_semimoe.core.errors import CheckpointError, SettingsError
from napari_semimoe.core.settings import ModelSettings, PredictSettings
from napari_semimoe.model.encoder_file import network_around
from napari_semimoe.training.learner import Learner, make_optimiser
from napari_semimoe.training.predict import load_predictor
from napari_semimoe.training.round import run_round
from tests.model.encoder_files import efficientnet_lite, resnet, vit
from tests.training.making import Hearing, after_steps, patch, settings, tiles

SETTINGS = ModelSettings.pretrained(width=4)
INSIDE = "backbone.encoder."
CLASSIFIER = ("fc", "head", "_conv_head", "_bn1", "_fc")
KINDS = {
    "resnet": resnet(bottleneck=True),
    "efficientnet-lite": efficientnet_lite(),
    "vit": vit(patch=14, registers=1, placed=False),
}


@pytest.fixture(params=KINDS)
def encoder(request, tmp_path):
    path = tmp_path / "e.safetensors"
    save_file(KINDS[request.param], path)
    return path


def run(out, base, *, model=SETTINGS, observer=None, **values):
    return run_round(
        tiles(),
        settings(**values),
        model=model,
        base=base,
        out_dir=out,
        observer=observer or Hearing(),
    )


def inside(state, tensors):
    """Return pairs of an encoder's weights, as they are and as its file has them."""
    return [
        (state[INSIDE + name], value)
        for name, value in tensors.items()
        if INSIDE + name in state and not name.endswith("num_batches_tracked")
    ]


@pytest.mark.parametrize("values", [{}, {"optimiser": "sgd", "learning_rate": 0.1}])
def test_the_encoder_stays_bit_for_bit_and_everything_else_learns(tmp_path, encoder, values):
    report = run(tmp_path / "1", encoder, **values)
    state, tensors = load_file(report.weights), load_file(encoder)
    pairs = inside(state, tensors)
    own = [k for k in tensors if k.split(".")[0] not in CLASSIFIER and "tracked" not in k]
    assert len(pairs) == len(own)
    assert all(torch.equal(one, two) for one, two in pairs)
    counted = [value for name, value in state.items() if "encoder" in name and "tracked" in name]
    assert not any(counted)
    start = _beginning(encoder)
    for name, value in state.items():
        if name.endswith("weight") and INSIDE not in name:
            assert not torch.equal(value, start[name]), name


def _beginning(encoder):
    from napari_semimoe.data.sampling import stable_seed

    torch.manual_seed(stable_seed(0, "weights"))
    return network_around(encoder, SETTINGS).state_dict()


def test_the_raw_and_the_averaged_encoder_stay_the_same(encoder):
    network = network_around(encoder, SETTINGS)
    learner = Learner(network, settings(max_steps=0), torch.device("cpu"))
    trained = make_optimiser(learner.settings, network).param_groups[0]["params"]
    assert {id(p) for p in trained}.isdisjoint(map(id, network.backbone.encoder.parameters()))
    with torch.no_grad():
        for weight in network.parameters():
            if weight.requires_grad:
                weight.add_(1)
        learner._average(0)  # decay 1/10: the average goes 9/10 of the way
    one, two = learner.model.state_dict(), learner.average.state_dict()
    key = "expert_heads.segmentation.weight"
    torch.testing.assert_close(one[key] - two[key], torch.full_like(one[key], 0.1))
    assert all(torch.equal(one[k], two[k]) for k in one if k.startswith(INSIDE))


def test_an_encoder_that_learns_too_changes(tmp_path, encoder):
    report = run(tmp_path / "1", encoder, model=SETTINGS.changed(train_encoder=True))
    pairs = inside(load_file(report.weights), load_file(encoder))
    changed = [not torch.equal(one, two) for one, two in pairs]
    assert sum(changed) > 0.9 * len(changed)


@pytest.mark.parametrize("values", [{}, {"optimiser": "sgd", "validate_every": 1}])
@pytest.mark.parametrize("learns", [False, True])
def test_a_stopped_and_resumed_round_equals_the_uninterrupted_one(
    tmp_path, encoder, values, learns
):
    model = SETTINGS.changed(train_encoder=learns)
    whole = run(tmp_path / "whole", encoder, model=model, **values)
    stopping = Hearing(after_steps(2))
    run(tmp_path / "parts", encoder, model=model, observer=stopping, **values)
    resumed = run(tmp_path / "parts", encoder, model=model, **values)
    one, two = load_file(whole.weights), load_file(resumed.weights)
    assert one.keys() == two.keys()
    assert all(torch.equal(one[key], two[key]) for key in one)


def test_the_checkpoint_serves_and_the_next_round_begins_from_it_without_the_file(
    tmp_path, encoder
):
    first = run(tmp_path / "1", encoder)
    assert first.base_validation is None  # an encoder alone marks nothing
    info = read_info(tmp_path / "1/model.safetensors")
    assert (info.base, info.model.architecture) == ("e.safetensors", "pretrained")
    assert info.model.changed(colours=()) == SETTINGS.around(info.model.encoder)
    tensors = load_file(encoder)
    encoder.unlink()
    second = run(tmp_path / "2", tmp_path / "1/model.safetensors", model=info.model)
    assert second.base_validation.dice == first.validation.dice
    assert all(torch.equal(one, two) for one, two in inside(load_file(second.weights), tensors))
    predictor = load_predictor(second.weights, PredictSettings(device="cpu"))
    for size in ((1, 1), (37, 90), (200, 61)):
        found = predictor.predict(patch("any", seed=0, size=size).image, um_per_px=1.25)
        assert found.instances.shape == size


def test_the_minutes_decide_the_steps(tmp_path, encoder):
    assert run(tmp_path / "1", encoder, max_steps=0, budget_minutes=0.01).steps >= 1


def test_another_file_is_refused_before_anything_is_written(tmp_path):
    path = tmp_path / "e.safetensors"
    save_file({"w": torch.zeros(1)}, path)
    with pytest.raises(CheckpointError, match=r"from the encoder in e\.safetensors"):
        run(tmp_path / "1", path)
    with pytest.raises(SettingsError, match="needs an encoder"):
        run(tmp_path / "1", None)
    assert list((tmp_path / "1").iterdir()) == []
