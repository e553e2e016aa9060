"""Files of the released code: the same six outputs, or a refusal in words.

The network below is written from docs/method.md alone (sections 1, 2 and 9) and shares
no code with the package.
"""

import pickle

import pytest
import torch
from torch import nn

from napari_semimoe.core.checkpoint_info import read_info
from napari_semimoe.core.errors import CheckpointError
from napari_semimoe.model.authors import import_authors
from napari_semimoe.model.checkpoint import load_checkpoint

WIDTH = 8


class Block(nn.Module):
    def __init__(self, i, o):
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv2d(i, o, 3, padding=1), nn.BatchNorm2d(o), nn.ReLU(),
            nn.Conv2d(o, o, 3, padding=1), nn.BatchNorm2d(o), nn.ReLU(),
        )  # fmt: skip

    def forward(self, x):
        return self.conv(x)


class Up(nn.Module):
    def __init__(self, i, o):
        super().__init__()
        self.up = nn.Sequential(
            nn.Upsample(scale_factor=2), nn.Conv2d(i, o, 3, padding=1), nn.BatchNorm2d(o), nn.ReLU()
        )

    def forward(self, x):
        return self.up(x)


class UNet(nn.Module):
    def __init__(self, channels):
        super().__init__()
        w = [WIDTH * 2**level for level in range(5)]
        for level, (i, o) in enumerate(zip([3, *w], w, strict=False), start=1):
            setattr(self, f"Conv{level}", Block(i, o))
        for level in (5, 4, 3, 2):
            setattr(self, f"Up{level}", Up(w[level - 1], w[level - 2]))
            setattr(self, f"Up_conv{level}", Block(w[level - 1], w[level - 2]))
        self.Conv_1x1 = nn.Conv2d(WIDTH, channels, 1)

    def forward(self, x):
        skips = [self.Conv1(x)]
        for level in range(2, 6):
            skips.append(getattr(self, f"Conv{level}")(nn.functional.max_pool2d(skips[-1], 2)))
        x = skips[4]
        for level in (5, 4, 3, 2):
            up = getattr(self, f"Up{level}")(x)
            x = getattr(self, f"Up_conv{level}")(torch.cat([skips[level - 2], up], 1))
        return x, self.Conv_1x1(x)


class GateOfOneTask(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear1 = nn.Linear(3 * WIDTH, 3 * WIDTH // 2)
        self.attention = nn.Linear(3 * WIDTH // 2, 3 * WIDTH // 2)
        self.linear2 = nn.Linear(3 * WIDTH // 2, 3)

    def forward(self, pooled):
        h = torch.relu(self.linear1(pooled))
        return torch.softmax(self.linear2(h * torch.softmax(self.attention(h), 1)), 1)


class Head(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv1 = nn.Conv2d(WIDTH, channels, 1)


class Gating(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.gating1, self.gating2, self.gating3 = (GateOfOneTask() for _ in range(3))
        self.mask_head, self.sdf_head, self.bnd_head = Head(classes), Head(1), Head(2)

    def forward(self, features):
        pooled = torch.cat([f.mean((2, 3)) for f in features], 1)
        gates = [gate(pooled) for gate in (self.gating1, self.gating2, self.gating3)]
        heads = (self.mask_head, self.sdf_head, self.bnd_head)
        fused = [sum(g[:, e, None, None, None] * features[e] for e in range(3)) for g in gates]
        return [h.conv1(f) for h, f in zip(heads, fused, strict=True)], torch.stack(gates, 1)


def lived_in(module):
    """Give batch norms and biases values that only the right key can bring over."""
    for name, tensor in module.state_dict().items():
        if name.endswith("running_var"):
            tensor.uniform_(0.5, 2)
        elif tensor.is_floating_point() and tensor.ndim == 1:
            tensor.normal_(0.2, 0.3)
    return module.eval()


def networks(classes=2):
    torch.manual_seed(5)
    parts = [lived_in(UNet(channels)) for channels in (classes, 1, 2)]
    return parts, lived_in(Gating(classes))


def content_of(experts, gating):
    names = ("segment_model", "sdf_model", "boundary_model", "gating_model")
    return {
        name: {f"module.{key}": value for key, value in part.state_dict().items()}
        for name, part in zip(names, (*experts, gating), strict=True)
    }


@pytest.mark.parametrize("classes", [2, 3])
def test_an_imported_file_gives_the_same_six_outputs_and_gates(tmp_path, classes):
    experts, gating = networks(classes)
    torch.save(content_of(experts, gating), tmp_path / "authors.pth")
    import_authors(tmp_path / "authors.pth", tmp_path / "w.safetensors")
    model, info = load_checkpoint(tmp_path / "w.safetensors")
    assert info.model.architecture == "paper"
    assert info.model.width == WIDTH
    assert info.model.gate_attention == "released"
    image = torch.rand(2, 3, 48, 32)
    with torch.no_grad():
        ours = model(image)
        found = [expert((image - model.mean) / model.std) for expert in experts]
        gated, gates = gating([features for features, _ in found])
    for task, (_, logits), mixed in zip(model.names, found, gated, strict=True):
        torch.testing.assert_close(ours.experts[task], logits, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(ours.gated[task], mixed, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(ours.gates, gates, atol=1e-5, rtol=1e-5)


def test_the_imported_file_says_where_it_comes_from(tmp_path):
    torch.save(content_of(*networks()), tmp_path / "best.pth")
    import_authors(tmp_path / "best.pth", tmp_path / "w.safetensors")
    assert "best.pth" in read_info(tmp_path / "w.safetensors").note


def without(content, part, key):
    del content[part][key]
    return content


def shrunk(content, part, key):
    content[part][key] = content[part][key][:1]
    return content


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda c: c["segment_model"], "it must hold"),
        (lambda c: [1, 2], "it must hold"),
        (lambda c: c | {"sdf_model": torch.zeros(3)}, "it must hold"),
        (lambda c: without(c, "segment_model", "module.Conv_1x1.weight"), "Conv_1x1.weight"),
        (lambda c: without(c, "gating_model", "module.gating2.linear1.bias"), "gating2"),
        (lambda c: shrunk(c, "sdf_model", "module.Up3.up.1.weight"), "Error"),
    ],
    ids=["one part", "a list", "a tensor", "no head", "no gate", "other shape"],
)
def test_other_torch_files_are_refused_in_words(tmp_path, change, why):
    torch.save(change(content_of(*networks())), tmp_path / "x.pth")
    with pytest.raises(CheckpointError, match=f"(?s)not a checkpoint of the released.*{why}"):
        import_authors(tmp_path / "x.pth", tmp_path / "w.safetensors")
    assert not (tmp_path / "w.safetensors").exists()


class Harmful:
    ran = False

    def __reduce__(self):
        return setattr, (Harmful, "ran", True)


@pytest.mark.parametrize("kind", ["code", "torch code", "text", "empty", "folder"])
def test_files_that_are_no_tensors_are_refused_and_never_run(tmp_path, kind):
    path = tmp_path / "x.pth"
    if kind == "code":
        path.write_bytes(pickle.dumps(Harmful()))
    elif kind == "torch code":
        torch.save({"segment_model": Harmful()}, path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.write_text("not weights" if kind == "text" else "")
    with pytest.raises(CheckpointError, match=r"not a checkpoint of the released"):
        import_authors(path, tmp_path / "w.safetensors")
    assert not Harmful.ran


def test_a_safetensors_file_that_is_none_is_refused_in_the_same_words(tmp_path):
    path = tmp_path / "junk.safetensors"
    path.write_text("junk")
    with pytest.raises(CheckpointError, match=r"not a checkpoint of the released.*damaged"):
        import_authors(path, tmp_path / "w.safetensors")


def test_a_missing_file_is_said(tmp_path):
    with pytest.raises(CheckpointError, match="does not exist"):
        import_authors(tmp_path / "none.pth", tmp_path / "w.safetensors")
