"""Experts on a pretrained encoder: its features, a few of our own where it has none, decoders.

Source of the pyramid from one stride: ViTDet (arXiv 2203.16527); differs: each level takes another
depth, and the two finest come from two small convolutions on the image.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional

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
    double_conv,
    encoder_widths,
    upsample,
)
from napari_semimoe.model.vit import ViT


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
        widths = encoder_widths(width)
        if isinstance(shape, ViTShape):
            self.stem = FineStem(widths[:2])
            self.neck: nn.Module = ViTNeck(shape.dim, widths[2:])
        else:
            self.stem = FineStem(widths[:1])
            self.neck = PyramidNeck(shape.channels, widths[1:])
        self.decoders = nn.ModuleDict({name: LightDecoder(width) for name in experts})

    def train(self, mode: bool = True) -> Self:
        """Switch everything that learns between training and evaluation."""
        super().train(mode)
        self.encoder.train(mode and self.learns)
        return self

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Return each expert's last feature map ``(B, w, H, W)``."""
        with torch.set_grad_enabled(self.learns and torch.is_grad_enabled()):
            encoded = self.encoder(image)
        features = [*self.stem(image), *self.neck(encoded)]
        return {name: decoder(features) for name, decoder in self.decoders.items()}


class FineStem(nn.Module):
    """The finest levels of a small U-Net encoder."""

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        ins = (3, *widths[:-1])
        self.levels = nn.ModuleList(double_conv(i, o) for i, o in zip(ins, widths, strict=True))

    def forward(self, image: Tensor) -> list[Tensor]:
        """Return the features of stride 1, and of 2 if there are two levels."""
        features = [self.levels[0](image)]
        for level in self.levels[1:]:
            features.append(level(functional.max_pool2d(features[-1], 2)))
        return features


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
        merged = [*features[:2], torch.cat(features[2:], dim=1)]
        return [level(each) for level, each in zip(self.levels, merged, strict=True)]


def build_encoder(shape: EncoderShape) -> ResNet | EfficientNetLite | ViT:
    """Build an encoder without its weights."""
    if isinstance(shape, EfficientNetLiteShape):
        return EfficientNetLite(shape)
    return ResNet(shape) if isinstance(shape, ResNetShape) else ViT(shape)
