"""Experts on a pretrained encoder: its features, a few of our own where it has none, decoders.

Decoding ends at stride 2, the finest that a CNN has: the stride of the image would cost as much as
all others together.

Source of the pyramid from one stride: ViTDet (arXiv 2203.16527); differs: each level takes another
depth, and the finest comes from two small convolutions on the image.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor, nn

from napari_semimoe.core.encoders import (
    EfficientNetLiteShape,
    EncoderShape,
    ResNetShape,
    ViTShape,
)
from napari_semimoe.model.efficientnet_lite import EfficientNetLite
from napari_semimoe.model.resnet import ResNet
from napari_semimoe.model.unet import (
    LightDecoder,
    conv_bn_relu,
    encoder_widths,
    upsample,
)
from napari_semimoe.model.vit import ViT

#: Of strides 2, 4, 8 and 16.
LEVELS = 4


class PretrainedExperts(nn.Module):
    """One pretrained encoder for all experts and a light decoder for each.

    Parameters
    ----------
    learns
        Whether the encoder learns, too. If not, it has no gradients, and the statistics of its
        batch normalisation stay as they are.
    """

    def __init__(
        self, shape: EncoderShape, width: int, experts: Sequence[str], *, learns: bool
    ) -> None:
        super().__init__()
        self.learns = learns
        self.encoder = build_encoder(shape).requires_grad_(learns)
        widths = encoder_widths(width, LEVELS)
        if isinstance(shape, ViTShape):
            self.stem: nn.Module | None = fine_stem(width)
            self.neck: nn.Module = ViTNeck(shape.dim, widths[1:])
        else:
            self.stem = None
            self.neck = PyramidNeck(shape.channels, widths)
        self.decoders = nn.ModuleDict({name: LightDecoder(width, LEVELS) for name in experts})

    def train(self, mode: bool = True) -> Self:
        """Switch everything that learns between training and evaluation."""
        super().train(mode)
        self.encoder.train(mode and self.learns)
        return self

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Return each expert's last feature map ``(B, w, H/2, W/2)``."""
        with torch.set_grad_enabled(self.learns and torch.is_grad_enabled()):
            encoded = self.encoder(image)
        features = self.neck(encoded)
        if self.stem is not None:
            features = [self.stem(image), *features]
        return {name: decoder(features) for name, decoder in self.decoders.items()}


def fine_stem(width: int) -> nn.Sequential:
    """Build the level of stride 2 where the encoder has none."""
    return nn.Sequential(conv_bn_relu(3, width, stride=2), conv_bn_relu(width, width))


class PyramidNeck(nn.Module):
    """Five levels of strides 2 to 32 narrowed to four; the two deepest become one."""

    def __init__(self, channels: Sequence[int], widths: Sequence[int]) -> None:
        super().__init__()
        ins = (*channels[:3], channels[3] + channels[4])
        self.levels = nn.ModuleList(
            conv_bn_relu(i, o, kernel=1) for i, o in zip(ins, widths, strict=True)
        )

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Return the features of stride 2, 4, 8 and 16."""
        height, width = features[3].shape[2:]
        deepest = upsample(features[4])[:, :, :height, :width]  # one more where a side is odd
        merged = [*features[:3], torch.cat([features[3], deepest], dim=1)]
        return [level(each) for level, each in zip(self.levels, merged, strict=True)]


class ViTNeck(nn.Module):
    """Three depths of stride 16, the shallowest enlarged most; a fourth depth joins the deepest."""

    def __init__(self, dim: int, widths: Sequence[int]) -> None:
        super().__init__()
        ins = (dim, dim, 2 * dim)
        self.levels = nn.ModuleList(
            self._level(i, o, doublings)
            for i, o, doublings in zip(ins, widths, (2, 1, 0), strict=True)
        )

    @staticmethod
    def _level(channels_in: int, channels_out: int, doublings: int) -> nn.Sequential:
        layers: list[nn.Module] = [conv_bn_relu(channels_in, channels_out, kernel=1)]
        for _ in range(doublings):
            layers += [nn.Upsample(scale_factor=2.0), conv_bn_relu(channels_out, channels_out)]
        return nn.Sequential(*layers)

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Return the features of stride 4, 8 and 16."""
        merged = [*features[:2], torch.cat(list(features[2:]), dim=1)]
        return [level(each) for level, each in zip(self.levels, merged, strict=True)]


def build_encoder(shape: EncoderShape) -> ResNet | EfficientNetLite | ViT:
    """Build an encoder without its weights."""
    if isinstance(shape, EfficientNetLiteShape):
        return EfficientNetLite(shape)
    return ResNet(shape) if isinstance(shape, ResNetShape) else ViT(shape)
