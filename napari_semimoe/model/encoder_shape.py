"""What an encoder looks like, from the names and shapes of its tensors.

What leaves no trace there is taken as usual: GELU (in a SwiGLU: SiLU) and a norm before each part
of a ViT's block, plain strides in a ResNet. timm's few others of the same names (``resnetaa50``,
``*_rpn``) cannot be told apart and would be computed wrongly.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import groupby

from napari_semimoe.core.encoders import (
    EfficientNetLiteShape,
    EncoderShape,
    ResNetShape,
    ViTShape,
)

#: Tensors by which a family is known.
RESNET_STEM = "conv1.weight"
LITE_STEM = "_conv_stem.weight"
VIT_STEM = "patch_embed.proj.weight"

#: The number of heads leaves no trace in a file. All of timm's ViTs from tiny to giant have a head
#: for every 64 channels, but these lengths of a token, which timm uses with 16 heads only.
_CHANNELS_PER_HEAD = 64
_SIXTEEN_HEADS = (1152, 1280, 1408, 1664)

Shapes = Mapping[str, tuple[int, ...]]


def shape_of(shapes: Shapes) -> EncoderShape:
    """Return the encoder that the tensors belong to, as far as a few of them tell.

    Whether all others fit is for the caller to compare.

    Raises
    ------
    KeyError
        Naming a tensor that is missing.
    ValueError
        Saying which rule a tensor breaks.
    """
    if LITE_STEM in shapes:
        return _efficientnet_lite(shapes)
    return _resnet(shapes) if RESNET_STEM in shapes else _vit(shapes)


def _efficientnet_lite(shapes: Shapes) -> EfficientNetLiteShape:
    count = _count(shapes, "_blocks.")
    outs = [shapes[f"_blocks.{number}._project_conv.weight"][0] for number in range(count)]
    stages = [(width, len(list(blocks))) for width, blocks in groupby(outs)]
    return EfficientNetLiteShape.parse(
        {
            "stem": shapes[LITE_STEM][0],
            "widths": [width for width, _ in stages],
            "depths": [depth for _, depth in stages],
        }
    )


def _resnet(shapes: Shapes) -> ResNetShape:
    return ResNetShape.parse(
        {
            "block": "bottleneck" if "layer1.0.conv3.weight" in shapes else "basic",
            "depths": [_count(shapes, f"layer{stage}.") for stage in range(1, 5)],
            "width": shapes[RESNET_STEM][0],
        }
    )


def _vit(shapes: Shapes) -> ViTShape:
    dim, _, patch, _ = shapes[VIT_STEM]
    hidden, inner = shapes["blocks.0.mlp.fc1.weight"][0], shapes["blocks.0.mlp.fc2.weight"][1]
    prefix = {
        "class_token": "cls_token" in shapes,
        "registers": shapes["reg_token"][1] if "reg_token" in shapes else 0,
    }
    return ViTShape.parse(
        {
            "dim": dim,
            "depth": _count(shapes, "blocks."),
            "heads": _heads(dim),
            "patch": patch,
            "hidden": hidden,
            "gated": hidden == 2 * inner,
            **prefix,
            **_positions(shapes["pos_embed"][1], sum(prefix.values())),
            "layer_scale": "blocks.0.ls1.gamma" in shapes,
            "qkv_bias": "blocks.0.attn.qkv.bias" in shapes,
        }
    )


def _count(shapes: Shapes, start: str) -> int:
    numbers = {name.removeprefix(start).split(".")[0] for name in shapes if name.startswith(start)}
    return len(numbers)


def _heads(dim: int) -> int:
    if dim in _SIXTEEN_HEADS:
        return 16
    if dim % _CHANNELS_PER_HEAD:
        raise ValueError(f"a token's length must be a multiple of {_CHANNELS_PER_HEAD}, got {dim}")
    return dim // _CHANNELS_PER_HEAD


def _positions(entries: int, prefix: int) -> dict[str, int | bool]:
    for placed in (False, True):
        cells = entries - prefix * placed
        if cells > 0 and math.isqrt(cells) ** 2 == cells:
            return {"grid": math.isqrt(cells), "placed_prefix": placed}
    raise ValueError(f"pos_embed must belong to a square grid, got {entries} entries")
