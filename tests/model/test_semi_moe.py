"""The network: its size, its gates, its fused heads, and settings that act."""

import math

import pytest
import torch

from napari_semimoe.core.errors import ShapeError
from napari_semimoe.core.settings import ModelSettings
from napari_semimoe.model.semi_moe import SemiMoE


def built(settings=None, seed=0):
    torch.manual_seed(seed)
    return SemiMoE(settings or ModelSettings(width=4)).eval()


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


def sized(settings):
    """Build without memory: only the shapes matter."""
    with torch.device("meta"):
        return SemiMoE(settings)


def test_the_paper_network_has_the_published_size():
    model = sized(ModelSettings.paper())
    assert count(model) == 103_665_971
    assert count(model.gates) + count(model.gated_heads) == 84_718
    experts = count(model.backbone) + count(model.expert_heads)
    assert experts == 103_581_253
    assert experts / 3 == pytest.approx(34.527e6, rel=1e-5)


def test_the_compact_network_has_four_to_five_million_parameters():
    assert 4e6 <= count(sized(ModelSettings())) <= 5e6


@pytest.mark.parametrize("attention", ["scaled", "released"])
@pytest.mark.parametrize("half", [False, True], ids=["float32", "bfloat16"])
def test_each_row_of_the_gate_table_sums_to_one(attention, half):
    model = built(ModelSettings(width=4, gate_attention=attention))
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
        gates = model(torch.rand(2, 3, 32, 48)).gates
    assert gates.shape == (2, 3, 3)
    assert gates.dtype == torch.float32
    torch.testing.assert_close(gates.sum(2), torch.ones(2, 3))


def test_a_new_gate_weighs_its_own_expert_most_whatever_the_tile_shows():
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        gates = built()(images).gates
        released = built(ModelSettings(width=4, gate_attention="released"))(images).gates
    own, other = math.exp(2) / (math.exp(2) + 2), 1 / (math.exp(2) + 2)
    expected = torch.full((3, 3), other).fill_diagonal_(own)
    torch.testing.assert_close(gates, expected.expand(2, 3, 3))
    assert released.max() < 0.5  # held together, as it was released


def test_scaled_attention_lets_gates_move_where_the_released_one_holds_them_together():
    spread = {}
    image = torch.rand(4, 3, 32, 32)
    for attention in ("scaled", "released"):
        model = built(ModelSettings(width=8, gate_attention=attention))
        with torch.no_grad():
            for gate in model.gates.values():  # as after learning, leaning to no expert
                torch.nn.init.kaiming_normal_(gate.choose.weight, mode="fan_in")
                gate.choose.bias.zero_()
            spread[attention] = float(model(image).gates.std(2).mean())
    assert spread["scaled"] > 3 * spread["released"]


@pytest.mark.parametrize("shape", [(1, 3, 30, 32), (1, 3, 32, 40), (1, 1, 32, 32), (3, 32, 32)])
def test_batches_that_do_not_fit_are_refused_in_words(shape):
    with pytest.raises(ShapeError, match=r"multiples of 16, got .* Pad the tile first"):
        built()(torch.zeros(shape))


@pytest.mark.parametrize("architecture", ["compact", "paper"])
def test_fused_heads_equal_mixing_all_features_and_then_the_head(architecture):
    model = built(ModelSettings(architecture=architecture, width=8, classes=("a", "b", "c")))
    for head in model.gated_heads.values():  # biases start at 0, which would prove nothing
        torch.nn.init.normal_(head.bias)
    image = torch.rand(2, 3, 32, 48)
    with torch.no_grad():
        outputs = model(image)
        features = model.backbone((image - model.mean) / model.std)
        for t, task in enumerate(model.names):
            mixed = sum(
                outputs.gates[:, t, e, None, None, None] * features[expert]
                for e, expert in enumerate(model.names)
            )
            plain = model.gated_heads[task](mixed)
            torch.testing.assert_close(outputs.gated[task], plain, atol=1e-5, rtol=1e-5)


def test_channels_follow_task_and_number_of_classes():
    model = built(ModelSettings(width=4, classes=("background", "gland", "vessel")))
    outputs = model(torch.rand(2, 3, 16, 32))
    for group in (outputs.experts, outputs.gated):
        assert {name: tuple(logits.shape) for name, logits in group.items()} == {
            "segmentation": (2, 3, 16, 32),
            "distance": (2, 1, 16, 32),
            "boundary": (2, 2, 16, 32),
        }


def test_a_subset_of_experts_is_all_there_is():
    model = built(ModelSettings(width=4, experts=("segmentation", "boundary")))
    outputs = model(torch.rand(1, 3, 16, 16))
    assert list(outputs.experts) == list(outputs.gated) == ["segmentation", "boundary"]
    assert outputs.gates.shape == (1, 2, 2)
    assert not any("distance" in name for name in model.state_dict())


@pytest.mark.parametrize("width", [4, 8])
def test_width_is_the_first_levels_channels(width):
    model = built(ModelSettings(architecture="paper", width=width))
    assert [level[0][0].out_channels for level in model.backbone.encoders["distance"].levels] == [
        width * 2**level for level in range(5)
    ]


def test_experts_of_the_paper_network_share_no_weights():
    model = built(ModelSettings.paper(width=4))
    before = model(torch.ones(1, 3, 16, 16)).experts
    torch.nn.init.zeros_(model.backbone.encoders["distance"].levels[0][0][0].weight)
    after = model(torch.ones(1, 3, 16, 16)).experts
    assert torch.equal(before["segmentation"], after["segmentation"])
    assert not torch.equal(before["distance"], after["distance"])


def test_normalisation_follows_the_settings():
    image = torch.rand(1, 3, 16, 16)
    plain = ModelSettings(width=4, mean=(0, 0, 0), std=(1, 1, 1))
    shifted = ModelSettings(width=4, mean=(0.5, 0.5, 0.5), std=(2, 2, 2))
    one, two = built(plain)(image), built(shifted)(image * 2 + 0.5)
    torch.testing.assert_close(one.gated["segmentation"], two.gated["segmentation"])


def test_slices_of_a_batch_are_its_samples():
    outputs = built()(torch.rand(3, 3, 16, 16))
    last = outputs.sliced(slice(2, None))
    assert torch.equal(last.experts["distance"], outputs.experts["distance"][2:])
    assert torch.equal(last.gated["boundary"], outputs.gated["boundary"][2:])
    assert torch.equal(last.gates, outputs.gates[2:])
