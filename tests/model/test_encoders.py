"""Pretrained encoders: what their files tell, the same numbers, and a network around them."""

import math
import re

import pytest
import torch
from safetensors.torch import save_file
from torch.nn import functional

from napari_semimoe.core.checkpoint_info import is_foreign
from napari_semimoe.core.encoders import EfficientNetLiteShape, ResNetShape
from napari_semimoe.core.errors import CheckpointError, SettingsError
from napari_semimoe.core.settings import GLAS_MEAN, ModelSettings
from napari_semimoe.model.checkpoint import copy_of, describe, load_checkpoint, save_checkpoint
from napari_semimoe.model.efficientnet_lite import SameConv
from napari_semimoe.model.encoder_file import network_around, read_encoder
from napari_semimoe.model.encoder_shape import shape_of
from napari_semimoe.model.pretrained import build_encoder
from napari_semimoe.model.semi_moe import SemiMoE
from tests.model.encoder_files import efficientnet_lite, lite_blocks, resnet, vit

SETTINGS = ModelSettings.pretrained(width=4)
KINDS = {
    "basic": resnet(),
    "bottleneck": resnet(bottleneck=True, depths=(1, 2, 1, 1)),
    "efficientnet-lite": efficientnet_lite(),
    "vit 16": vit(),
    "vit 14": vit(patch=14, registers=2, placed=False, gated=True, layer_scale=True),
}


LITE = EfficientNetLiteShape(stem=4, widths=(2, 3, 4, 5, 6, 7, 8), depths=(1, 2, 1, 1, 2, 1, 1))


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


def written(path, tensors):
    """Write tensors and return the path; the ending decides how."""
    save = save_file if path.suffix == ".safetensors" else torch.save
    save(tensors, path)
    return path


def encoder(tensors, path):
    shape, weights = read_encoder(written(path, tensors))
    network = build_encoder(shape).eval()
    network.load_state_dict(weights)
    return network


def around(tensors, path, settings=SETTINGS):
    torch.manual_seed(0)
    return network_around(written(path, tensors), settings)


# -- the same numbers as formulas


def batch_norm(x, tensors, name, epsilon=1e-5):
    mean, var, weight, bias = (
        tensors[f"{name}.{part}"].view(1, -1, 1, 1)
        for part in ("running_mean", "running_var", "weight", "bias")
    )
    return (x - mean) / (var + epsilon).sqrt() * weight + bias


def resnet_by_formula(tensors, image):
    def conv_bn(x, conv, norm, stride=1):
        weight = tensors[f"{conv}.weight"]
        x = functional.conv2d(x, weight, stride=stride, padding=weight.shape[2] // 2)
        return batch_norm(x, tensors, norm)

    features = [conv_bn(image, "conv1", "bn1", 2).clamp(min=0)]
    x = functional.max_pool2d(features[0], 3, 2, 1)
    for stage in range(1, 5):
        index = 0
        while f"layer{stage}.{index}.conv1.weight" in tensors:
            name, stride = f"layer{stage}.{index}", 2 if stage > 1 and index == 0 else 1
            three = f"{name}.conv3.weight" in tensors
            strides = (1, stride, 1) if three else (stride, 1)
            y = x
            for number, each in enumerate(strides, 1):
                y = conv_bn(y, f"{name}.conv{number}", f"{name}.bn{number}", each)
                y = y.clamp(min=0) if number < len(strides) else y
            if f"{name}.downsample.0.weight" in tensors:
                x = conv_bn(x, f"{name}.downsample.0", f"{name}.downsample.1", stride)
            x = (x + y).clamp(min=0)
            index += 1
        features.append(x)
    return features


@pytest.mark.parametrize("bottleneck", [False, True])
@pytest.mark.parametrize("size", [(64, 96), (80, 48)], ids=["even", "odd"])
def test_a_resnet_computes_what_its_formula_says(tmp_path, bottleneck, size):
    tensors = resnet(bottleneck=bottleneck, depths=(2, 1, 1, 2))
    image = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        found = encoder(tensors, tmp_path / "e.safetensors")(image)
    wanted = resnet_by_formula(tensors, image)
    assert [f.shape[2] for f in found] == [math.ceil(size[0] / s) for s in (2, 4, 8, 16, 32)]
    for one, two in zip(found, wanted, strict=True):
        assert (one - two).abs().max() <= 1e-5 * two.abs().max()


def lite_by_formula(tensors, image):
    """Return the output of every block; ``same`` padding as TensorFlow documents it for even sides.

    An odd side has one more behind.
    """

    def conv_bn(x, conv, norm, stride=1, groups=1):
        weight = tensors[f"{conv}.weight"]
        sides = []
        for side in (x.shape[3], x.shape[2]):
            total = weight.shape[2] - stride
            sides += [total // 2, total - total // 2 + side % stride]
        x = functional.conv2d(functional.pad(x, sides), weight, stride=stride, groups=groups)
        return batch_norm(x, tensors, norm, 1e-3)

    found = []
    x = conv_bn(image, "_conv_stem", "_bn0", 2).clamp(0, 6)
    for name, before, inner, after, _, stride in lite_blocks(LITE.widths, LITE.depths, LITE.stem):
        y = x
        if inner != before:
            y = conv_bn(y, f"{name}._expand_conv", f"{name}._bn0").clamp(0, 6)
        y = conv_bn(y, f"{name}._depthwise_conv", f"{name}._bn1", stride, inner).clamp(0, 6)
        y = conv_bn(y, f"{name}._project_conv", f"{name}._bn2")
        x = x + y if before == after and stride == 1 else y
        found.append(x)
    return found


@pytest.mark.parametrize("size", [(64, 96), (80, 50)], ids=["even", "odd"])
def test_an_efficientnet_lite_computes_what_its_formula_says(tmp_path, size):
    tensors = efficientnet_lite()
    image = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        found = encoder(tensors, tmp_path / "e.pth")(image)
    wanted = lite_by_formula(tensors, image)
    assert [f.shape[2] for f in found] == [math.ceil(size[0] / s) for s in (2, 4, 8, 16, 32)]
    assert [f.shape[1] for f in found] == list(LITE.channels)
    for one, last in zip(found, (0, 2, 3, 6, 8), strict=True):  # the last block of each stride
        assert (one - wanted[last]).abs().max() <= 1e-5 * wanted[last].abs().max()


@pytest.mark.parametrize("kernel", [3, 5])
def test_features_lie_where_they_lie_whether_a_side_is_even_or_odd(kernel):
    conv = SameConv(1, 1, kernel, stride=2)
    image = torch.randn(1, 1, 40, 40, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        even, odd = conv(image), conv(image[:, :, :39, :37])
    assert odd.shape[2:] == (20, 19)
    torch.testing.assert_close(odd[:, :, :18, :17], even[:, :, :18, :17])


def layer_norm(x, tensors, name):
    centred = x - x.mean(-1, keepdim=True)
    spread = (centred.square().mean(-1, keepdim=True) + 1e-6).sqrt()
    return centred / spread * tensors[f"{name}.weight"] + tensors[f"{name}.bias"]


def vit_by_formula(tensors, tokens, depth, heads, prefix):
    """Return the patches' normalised tokens after each block."""

    def linear(x, name):
        return x @ tensors[f"{name}.weight"].T + tensors[f"{name}.bias"]

    found, dim = [], tokens.shape[-1]
    for index in range(depth):
        name = f"blocks.{index}"
        parts = linear(layer_norm(tokens, tensors, f"{name}.norm1"), f"{name}.attn.qkv")
        heard = []
        for head in range(heads):  # channels: q of all heads, then k, then v
            q, k, v = (
                parts[..., start + 64 * head : start + 64 * (head + 1)]
                for start in (0, dim, 2 * dim)
            )
            heard.append((q @ k.transpose(1, 2) / 8).softmax(-1) @ v)  # 8 = sqrt(64)
        y = linear(torch.cat(heard, -1), f"{name}.attn.proj")
        tokens = tokens + y * tensors.get(f"{name}.ls1.gamma", 1)
        y = linear(layer_norm(tokens, tensors, f"{name}.norm2"), f"{name}.mlp.fc1")
        if tensors[f"{name}.mlp.fc2.weight"].shape[1] < y.shape[-1]:
            half = y.shape[-1] // 2
            y = y[..., :half] * y[..., :half].sigmoid() * y[..., half:]
        else:
            y = y * 0.5 * (1 + torch.erf(y / math.sqrt(2)))
        y = linear(y, f"{name}.mlp.fc2")
        tokens = tokens + y * tensors.get(f"{name}.ls2.gamma", 1)
        found.append(layer_norm(tokens, tensors, "norm")[:, prefix:])
    return found


@pytest.mark.parametrize(
    "values",
    [
        {"dim": 128},
        {"class_token": False},
        {"registers": 3, "placed": False, "gated": True, "layer_scale": True},
        {"registers": 3},
    ],
)
def test_a_vit_computes_what_its_formula_says(tmp_path, values):
    tensors = vit(**values)
    image = torch.randn(2, 3, 48, 48, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        found = encoder(tensors, tmp_path / "e.bin")(image)
    tokens = functional.conv2d(
        image, tensors["patch_embed.proj.weight"], tensors["patch_embed.proj.bias"], stride=16
    )
    prefix = [tensors[name] for name in ("cls_token", "reg_token") if name in tensors]
    count = sum(token.shape[1] for token in prefix)
    tokens, table = tokens.flatten(2).transpose(1, 2), tensors["pos_embed"]
    if table.shape[1] == 9:
        tokens = tokens + table
    tokens = torch.cat([*(token.expand(2, -1, -1) for token in prefix), tokens], 1)
    if table.shape[1] > 9:
        tokens = tokens + table
    wanted = vit_by_formula(tensors, tokens, 2, tokens.shape[-1] // 64, count)
    # quarters of two blocks: the first, the first, the second, the second
    for one, two in zip(found, (wanted[0], wanted[0], wanted[1], wanted[1]), strict=True):
        torch.testing.assert_close(one.flatten(2).transpose(1, 2), two, rtol=1e-3, atol=1e-4)


def test_positions_are_spread_over_any_grid_and_equal_ones_stay_equal(tmp_path):
    tensors = vit(depth=1)
    tensors["pos_embed"][:, 1:] = tensors["pos_embed"][:, 1:2]
    network = encoder(tensors, tmp_path / "e.safetensors")
    image = torch.full((1, 3, 32, 80), 0.3)
    with torch.no_grad():
        found = network(image)[0]
    assert found.shape == (1, 64, 2, 5)
    torch.testing.assert_close(found, found[:, :, :1, :1].expand_as(found))


def test_a_patch_of_14_px_sees_16_px_of_the_image(tmp_path):
    network = encoder(vit(patch=14), tmp_path / "e.safetensors")
    with torch.no_grad():
        assert network(torch.rand(1, 3, 64, 96))[3].shape == (1, 64, 4, 6)


# -- what a file tells


@pytest.mark.parametrize(
    ("depths", "bottleneck", "channels"),
    [
        ((2, 2, 2, 2), False, (64, 64, 128, 256, 512)),  # resnet18
        ((3, 4, 23, 3), True, (64, 256, 512, 1024, 2048)),  # resnet101
    ],
)
def test_names_and_shapes_tell_which_resnet_it_is(depths, bottleneck, channels):
    with torch.device("meta"):
        shape = ResNetShape(block="bottleneck" if bottleneck else "basic", depths=depths, width=64)
        state = build_encoder(shape).state_dict()
    found = shape_of({name: tuple(value.shape) for name, value in state.items()})
    assert found == shape
    assert found.channels == channels


def test_names_and_shapes_tell_which_efficientnet_lite_it_is():
    shapes = {name: tuple(value.shape) for name, value in efficientnet_lite().items()}
    assert shape_of(shapes) == LITE


@pytest.mark.parametrize(("dim", "heads"), [(192, 3), (384, 6), (1280, 16), (1536, 24)])
def test_a_token_has_a_head_for_64_channels_or_16_where_timm_has(dim, heads):
    shapes = {name: tuple(value.shape) for name, value in vit(dim=64).items()}
    shapes["patch_embed.proj.weight"] = (dim, 3, 16, 16)
    assert shape_of(shapes).heads == heads


@pytest.mark.parametrize(
    "wrap",
    [
        lambda t: {f"module.backbone.{name}": value for name, value in t.items()},
        lambda t: {f"encoder.{name}": value for name, value in t.items()} | {"decoder.w": t["w"]},
        lambda t: {"epoch": 3, "state_dict": {f"model.{n}": v for n, v in t.items()}},
        lambda t: {
            "teacher": {f"backbone.{n}": v for n, v in t.items()},
            "student": {f"backbone.{n}": v for n, v in t.items()},
        },
        lambda t: {name: value.half() for name, value in t.items()},
        lambda t: {n: v for n, v in t.items() if "num_batches_tracked" not in n},
    ],
    ids=["two prefixes", "beside a decoder", "nested", "teacher", "16 bit", "no counters"],
)
def test_an_encoder_inside_a_larger_file_is_found(tmp_path, wrap):
    tensors = resnet() | {"w": torch.zeros(1)}
    content = wrap(tensors)
    for part in (content, content.get("state_dict", {}), content.get("teacher", {})):
        for name in [n for n in part if n == "w" or n.endswith(".w")]:
            if name != "decoder.w":
                del part[name]
    shape, weights = read_encoder(written(tmp_path / "e.pth", content))
    assert shape == ResNetShape(block="basic", depths=(1, 1, 1, 1), width=4)
    assert weights["conv1.weight"].dtype == torch.float32
    assert not any(name.startswith("fc.") for name in weights)
    torch.testing.assert_close(
        weights["layer4.0.conv2.weight"], tensors["layer4.0.conv2.weight"], rtol=1e-3, atol=1e-3
    )


def without(tensors, name):
    return {key: value for key, value in tensors.items() if key != name}


WRONG = {
    "empty": ({}, "has none of conv1.weight, _conv_stem.weight, patch_embed"),
    "no encoder": ({"w": torch.zeros(1)}, "has none of"),
    "deep stem": (
        without(resnet(), "conv1.weight") | {"conv1.0.weight": torch.zeros(1)},
        "has none of",
    ),
    "missing": (without(resnet(), "layer3.0.bn2.bias"), "layer3.0.bn2.bias is missing"),
    "no third stage": (
        {k: v for k, v in resnet().items() if not k.startswith("layer3")},
        "layer3.0.conv1.weight is missing",
    ),
    "squeeze": (
        resnet() | {"layer1.0.se.fc1.weight": torch.zeros(1)},
        "layer1.0.se.fc1.weight belongs to neither",
    ),
    "grouped": (
        resnet(bottleneck=True) | {"layer1.0.conv2.weight": torch.zeros(4, 1, 3, 3)},
        r"layer1.0.conv2.weight must have the shape \(4, 4, 3, 3\), got \(4, 1, 3, 3\)",
    ),
    "two": (
        {f"{p}.{k}": v.clone() for p in ("model", "teacher") for k, v in resnet().items()},
        "several encoders, under model., teacher.",
    ),
    "squeeze in an EfficientNet": (
        efficientnet_lite() | {"_blocks.1._se_reduce.weight": torch.zeros(1)},
        "_blocks.1._se_reduce.weight belongs to neither",
    ),
    "six stages": (
        {k: v for k, v in efficientnet_lite().items() if not k.startswith("_blocks.8.")},
        "widths.6 is missing",
    ),
    "patch of 8": (vit(patch=8), "patch must be 14 or 16"),
    "odd token": (vit(dim=72), "must be a multiple of 64, got 72"),
    "no square": (vit() | {"pos_embed": torch.zeros(1, 8, 64)}, "square grid, got 8 entries"),
    "no positions": (without(vit(), "pos_embed"), "pos_embed is missing"),
    "rotary": (vit() | {"rope.freqs": torch.zeros(3)}, "rope.freqs belongs to neither"),
    "separate q": (
        without(vit(), "blocks.1.attn.qkv.weight") | {"blocks.1.attn.q.weight": torch.zeros(1)},
        "blocks.1.attn.qkv.weight is missing",
    ),
    "no last norm": (without(vit(), "norm.bias"), "norm.bias is missing"),
    "flat patches": (
        vit() | {"patch_embed.proj.weight": torch.zeros(64, 768)},
        "not enough values to unpack",
    ),
}


@pytest.mark.parametrize(("tensors", "why"), WRONG.values(), ids=WRONG.keys())
@pytest.mark.parametrize("ending", [".safetensors", ".bin"])
def test_another_network_is_refused_by_name_rule_and_next_move(tmp_path, tensors, why, ending):
    path = written(tmp_path / f"other{ending}", tensors)
    with pytest.raises(CheckpointError, match=rf"encoder in other{ending}.*{why}.*Choose another"):
        network_around(path, SETTINGS)


class Harmful:
    def __reduce__(self):
        return (open, ("harm", "w"))


def test_damaged_missing_and_harmful_files_are_refused_and_nothing_in_them_runs(
    tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    for ending in (".safetensors", ".bin", ".pth"):
        with pytest.raises(CheckpointError, match="does not exist"):
            read_encoder(tmp_path / f"none{ending}")
        path = written(tmp_path / f"cut{ending}", resnet())
        path.write_bytes(path.read_bytes()[:500])
        with pytest.raises(CheckpointError, match="damaged"):
            read_encoder(path)
        for content in (b"", b"a text\n", bytes(range(256)) * 20):
            path.write_bytes(content)
            with pytest.raises(CheckpointError, match="damaged"):
                read_encoder(path)
    torch.save({"conv1.weight": Harmful()}, tmp_path / "bad.pth")
    with pytest.raises(CheckpointError, match="holds more than tensors"):
        read_encoder(tmp_path / "bad.pth")
    assert not (tmp_path / "harm").exists()


# -- the network around it


def test_the_network_gives_logits_of_the_images_size_at_every_stride(tmp_path, kind):
    model = around(KINDS[kind], tmp_path / "e.safetensors").eval()
    with torch.no_grad():
        for size in ((16, 16), (48, 80), (64, 32)):  # 48 and 80 px are no multiples of 32
            outputs = model(torch.rand(2, 3, *size))
            assert outputs.gated["segmentation"].shape == (2, 2, *size)
            assert outputs.experts["boundary"].shape == (2, 2, *size)
            assert torch.isfinite(outputs.gated["distance"]).all()


@pytest.mark.parametrize(
    ("name", "mean", "std"),
    [
        ("basic", [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
        ("efficientnet-lite", [0.5, 0.5, 0.5], [0.5, 0.5, 0.5]),
    ],
)
def test_images_are_normalised_as_the_encoder_is_used_to(tmp_path, name, mean, std):
    model = around(KINDS[name], tmp_path / "e.safetensors")
    assert model.mean.flatten().tolist() == pytest.approx(mean)
    assert model.std.flatten().tolist() == pytest.approx(std)
    assert list(model.settings.mean) == pytest.approx(mean)  # a checkpoint says it


def test_the_settings_may_normalise_otherwise(tmp_path):
    other = around(resnet(), tmp_path / "e.safetensors", SETTINGS.changed(mean=GLAS_MEAN))
    assert other.mean.flatten().tolist() == pytest.approx(list(GLAS_MEAN))
    with pytest.raises(SettingsError, match="left open"):
        ModelSettings.parse({"mean": None})


def test_a_frozen_encoder_has_no_gradient_and_keeps_its_statistics(tmp_path, kind):
    model = around(KINDS[kind], tmp_path / "e.safetensors").train()
    before = {k: v.clone() for k, v in model.backbone.encoder.state_dict().items()}
    outputs = model(torch.rand(2, 3, 32, 48))
    sum(logits.sum() for logits in outputs.experts.values()).backward()
    assert all(p.grad is None for p in model.backbone.encoder.parameters())
    assert all(p.grad is not None for p in model.backbone.decoders.parameters())
    assert all(p.grad is not None for p in model.backbone.neck.parameters())
    assert not any(m.training for m in model.backbone.encoder.modules())
    assert model.backbone.decoders.training
    after = model.backbone.encoder.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)


def test_an_encoder_that_learns_too_has_gradients_and_new_statistics(tmp_path):
    settings = SETTINGS.changed(train_encoder=True)
    model = around(resnet(), tmp_path / "e.safetensors", settings).train()
    before = model.backbone.encoder.bn1.running_mean.clone()
    outputs = model(torch.rand(2, 3, 32, 48))
    sum(logits.sum() for logits in outputs.experts.values()).backward()
    assert all(p.grad is not None for p in model.backbone.encoder.parameters())
    assert not torch.equal(model.backbone.encoder.bn1.running_mean, before)
    model.eval()
    assert not any(m.training for m in model.modules())


def test_the_same_seed_gives_the_same_network_and_the_encoders_weights_are_the_files(
    tmp_path, kind
):
    one, two = (around(KINDS[kind], tmp_path / "e.safetensors").state_dict() for _ in range(2))
    assert all(torch.equal(one[key], two[key]) for key in one)
    held = {k: v for k, v in KINDS[kind].items() if f"backbone.encoder.{k}" in one}
    assert len(held) > 10
    for name, value in held.items():
        if "num_batches" not in name:
            assert torch.equal(one[f"backbone.encoder.{name}"], value)


def test_a_checkpoint_rebuilds_the_network_without_the_encoders_file(tmp_path, kind):
    path = tmp_path / "e.safetensors"
    model = around(KINDS[kind], path).eval()
    path.unlink()
    saved = tmp_path / "w.safetensors"
    save_checkpoint(saved, model, describe(model))
    loaded, info = load_checkpoint(saved)
    assert info.model == model.settings
    assert info.model.encoder is not None
    image = torch.rand(1, 3, 48, 32)
    with torch.no_grad():
        first, second, third = (
            network.eval()(image).gated["segmentation"]
            for network in (model, loaded, copy_of(model))
        )
    assert torch.equal(first, second)
    torch.testing.assert_close(first, third, rtol=1e-4, atol=1e-4)
    assert not any(p.requires_grad for p in loaded.backbone.encoder.parameters())


def test_an_encoder_can_be_taken_out_of_a_checkpoint_of_ours(tmp_path):
    model = around(vit(), tmp_path / "e.safetensors")
    save_checkpoint(tmp_path / "w.safetensors", model, describe(model))
    again = network_around(tmp_path / "w.safetensors", SETTINGS)
    assert again.settings == model.settings


def test_settings_that_contradict_each_other_are_refused(tmp_path):
    with pytest.raises(SettingsError, match="needs an encoder, and none is named"):
        SemiMoE(SETTINGS)
    with pytest.raises(SettingsError, match="need the architecture 'pretrained'"):
        ModelSettings.parse({"train_encoder": True})
    shape = {"family": "resnet", "block": "basic", "depths": (1, 1, 1, 1), "width": 4}
    with pytest.raises(SettingsError, match="need the architecture 'pretrained'"):
        ModelSettings.parse({"encoder": shape})
    with pytest.raises(SettingsError, match=re.escape("encoder")):
        ModelSettings.pretrained(encoder={"family": "swin"})


def test_a_foreign_file_is_told_from_a_checkpoint_of_ours(tmp_path):
    model = SemiMoE(ModelSettings(width=4))
    ours = tmp_path / "ours.safetensors"
    save_checkpoint(ours, model, describe(model))
    foreign = written(tmp_path / "e.safetensors", resnet())
    pickled = written(tmp_path / "e.pth", resnet())
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"no")
    found = [is_foreign(each) for each in (ours, foreign, pickled, broken, tmp_path / "none.pth")]
    assert found == [False, True, True, False, False]
