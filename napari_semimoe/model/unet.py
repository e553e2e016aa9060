"""U-Net parts: the published expert, and the shared encoder with light decoders.

Source: docs/method.md sections 1-2. All modules keep height
and width; both must be multiples of 16.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

LEVELS = 5


def conv_bn_relu(
    channels_in: int, channels_out: int, kernel: int = 3, *, stride: int = 1
) -> nn.Sequential:
    """Build a padded convolution with bias, batch normalisation and ReLU."""
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, kernel, stride, padding=kernel // 2),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(inplace=True),
    )


def double_conv(channels_in: int, channels_out: int) -> nn.Sequential:
    """Build the two convolutions of one U-Net level."""
    return nn.Sequential(
        conv_bn_relu(channels_in, channels_out), conv_bn_relu(channels_out, channels_out)
    )


def upsample(features: Tensor) -> Tensor:
    """Double height and width by repeating pixels."""
    return functional.interpolate(features, scale_factor=2.0, mode="nearest")


class Encoder(nn.Module):
    """Five levels of w, 2w, 4w, 8w and 16w channels with max-pooling between them."""

    def __init__(self, width: int) -> None:
        super().__init__()
        widths = encoder_widths(width)
        self.levels = nn.ModuleList(
            double_conv(i, o) for i, o in zip((3, *widths[:-1]), widths, strict=True)
        )

    def forward(self, image: Tensor) -> list[Tensor]:  # (B, 3, H, W)
        """Return the features of each level, finest first."""
        features = [self.levels[0](image)]
        for level in self.levels[1:]:
            features.append(level(functional.max_pool2d(features[-1], 2)))
        return features


class Decoder(nn.Module):
    """The published decoder: up-convolution, concatenation [skip, up], two convolutions."""

    def __init__(self, width: int) -> None:
        super().__init__()
        widths = encoder_widths(width)[::-1]
        pairs = list(pairwise(widths))
        self.ups = nn.ModuleList(conv_bn_relu(deep, shallow) for deep, shallow in pairs)
        self.blocks = nn.ModuleList(double_conv(2 * shallow, shallow) for _, shallow in pairs)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Return ``(B, w, H, W)`` from the encoder's features."""
        x = features[-1]
        for up, block, skip in zip(self.ups, self.blocks, reversed(features[:-1]), strict=True):
            x = block(torch.cat([skip, up(upsample(x))], dim=1))
        return x


class LightDecoder(nn.Module):
    """A decoder with few channels, so that three of them cost about one encoder.

    Differs from the published decoder: a 1x1 convolution narrows the deep features before they
    are enlarged, and each level has fewer channels than the encoder's.
    """

    def __init__(self, width: int, levels: int = LEVELS) -> None:
        super().__init__()
        deepest, *skips = encoder_widths(width, levels)[::-1]
        outs = (skips[0] // 2, *(2 * skip // 3 for skip in skips[1:-1]), width)
        ins = (deepest // 3, *outs[:-1])
        self.narrow = conv_bn_relu(deepest, ins[0], kernel=1)
        self.blocks = nn.ModuleList(
            self._level(i + s, o, last=s == width) for i, s, o in zip(ins, skips, outs, strict=True)
        )

    @staticmethod
    def _level(channels_in: int, channels_out: int, *, last: bool) -> nn.Module:
        return (conv_bn_relu if last else double_conv)(channels_in, channels_out)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Return ``(B, w, H, W)``, H and W those of the encoder's finest features."""
        x = self.narrow(features[-1])
        for block, skip in zip(self.blocks, reversed(features[:-1]), strict=True):
            x = block(torch.cat([skip, upsample(x)], dim=1))
        return x


class SeparateExperts(nn.Module):
    """One whole U-Net per expert, no shared weights (the published network)."""

    def __init__(self, width: int, experts: Sequence[str]) -> None:
        super().__init__()
        self.encoders = nn.ModuleDict({name: Encoder(width) for name in experts})
        self.decoders = nn.ModuleDict({name: Decoder(width) for name in experts})

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Return each expert's last feature map ``(B, w, H, W)``."""
        return {
            name: decoder(self.encoders[name](image)) for name, decoder in self.decoders.items()
        }


class SharedExperts(nn.Module):
    """One encoder for all experts and a light decoder for each."""

    def __init__(self, width: int, experts: Sequence[str]) -> None:
        super().__init__()
        self.encoder = Encoder(width)
        self.decoders = nn.ModuleDict({name: LightDecoder(width) for name in experts})

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Return each expert's last feature map ``(B, w, H, W)``."""
        features = self.encoder(image)
        return {name: decoder(features) for name, decoder in self.decoders.items()}


def encoder_widths(width: int, levels: int = LEVELS) -> tuple[int, ...]:
    """Return the channels of the encoder's levels, finest first."""
    return tuple(width * 2**level for level in range(levels))
