"""Where a network is placed, and that its layout in memory changes nothing but the speed."""

from __future__ import annotations

import pytest
import torch

from napari_semimoe.core.settings import ModelSettings
from napari_semimoe.model import semi_moe
from napari_semimoe.model.checkpoint import copy_of
from napari_semimoe.model.semi_moe import SemiMoE
from napari_semimoe.training import device

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("bfloat16", "layout"), [(True, torch.channels_last), (False, torch.contiguous_format)]
)
def test_u_nets_lie_as_the_processor_learns_fastest(monkeypatch, bfloat16, layout):
    monkeypatch.setattr(device, "gains_from_bfloat16", lambda _: bfloat16)
    model = device.place(SemiMoE(ModelSettings(width=4)), CPU)
    deep = [w for w in model.parameters() if w.ndim == 4 and w.shape[2] == 3 and w.shape[1] > 3]
    assert deep
    for twin in (model, copy_of(model)):
        assert twin.layout == layout
    assert all(weight.is_contiguous(memory_format=layout) for weight in deep)


def test_channels_come_first_on_an_apple_gpu(monkeypatch):
    placed = []
    monkeypatch.setattr(SemiMoE, "placed", lambda model, where, layout: placed.append(layout))
    for kind in ("mps", "cuda"):
        device.place(SemiMoE(ModelSettings(width=4)), torch.device(kind))
    assert placed == [torch.contiguous_format, torch.channels_last]


def test_the_layout_changes_no_number_but_its_last_bits():
    torch.manual_seed(0)
    model = SemiMoE(ModelSettings(width=4)).eval()
    image = torch.rand(2, 3, 64, 48)
    with torch.no_grad():
        found = [
            model.placed(CPU, layout)(image.contiguous(memory_format=other))
            for layout, other in [
                (torch.contiguous_format, torch.channels_last),
                (torch.channels_last, torch.contiguous_format),
            ]
        ]
    for name in model.names:
        torch.testing.assert_close(found[0].gated[name], found[1].gated[name])


def test_a_card_that_this_torch_cannot_use_is_passed_over(monkeypatch):
    def refuse(*arguments, **options):
        raise RuntimeError("CUDA error: no kernel image is available for execution on the device")

    device.works.cache_clear()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with monkeypatch.context() as patch:
        patch.setattr(torch, "ones", refuse)
        assert device.choose_device("auto").type == "cpu"
    device.works.cache_clear()
    with monkeypatch.context() as patch:  # full of another program's work
        patch.setattr(torch, "ones", lambda *_, **__: _raise(torch.OutOfMemoryError("full")))
        assert device.choose_device("auto").type == "cuda"
    device.works.cache_clear()


def _raise(error):
    raise error


def test_the_mean_of_each_channel_is_the_same_on_every_device():
    features = torch.rand(2, 5, 7, 9)
    on_card = features.to("meta")
    assert semi_moe._mean(on_card).shape == (2, 5)
    torch.testing.assert_close(semi_moe._mean(features), features.mean((2, 3)))
