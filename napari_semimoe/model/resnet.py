"""The ResNets of timm and torchvision, without their classifier: the same names, the same numbers.

Source: arXiv 1512.03385; differs as those libraries do: a bottleneck's stride is in its 3x3
convolution.
"""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from napari_semimoe.core.encoders import ResNetShape


class ResNet(nn.Module):
    """Five levels of features, of the stem and of the four stages."""

    def __init__(self, shape: ResNetShape) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, shape.width, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(shape.width)
        self.relu = nn.ReLU()
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        block = Bottleneck if shape.block == "bottleneck" else BasicBlock
        for stage, ((before, after), depth) in enumerate(
            zip(pairwise(shape.channels), shape.depths, strict=True)
        ):
            first = block(before, after, 2 if stage else 1)
            rest = (block(after, after, 1) for _ in range(depth - 1))
            self.add_module(f"layer{stage + 1}", nn.Sequential(first, *rest))

    def forward(self, image: Tensor) -> list[Tensor]:  # (B, 3, H, W)
        """Return features of stride 2, 4, 8, 16 and 32; a side's odd last pixel counts as two."""
        stem = self.relu(self.bn1(self.conv1(image)))
        features = [stem]
        x = self.maxpool(stem)
        for stage in range(1, 5):
            x = self.get_submodule(f"layer{stage}")(x)
            features.append(x)
        return features


class BasicBlock(nn.Module):
    """Two 3x3 convolutions around which the input is carried."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(after)
        self.conv2 = nn.Conv2d(after, after, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(after)
        self.downsample = _shortcut(before, after, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's features."""
        y = self.bn1(self.conv1(x)).relu()
        return (self.bn2(self.conv2(y)) + self.downsample(x)).relu()


class Bottleneck(nn.Module):
    """A 3x3 convolution between two 1x1, with a quarter of the channels."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        inner = after // 4
        self.conv1 = nn.Conv2d(before, inner, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(inner)
        self.conv2 = nn.Conv2d(inner, inner, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(inner)
        self.conv3 = nn.Conv2d(inner, after, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(after)
        self.downsample = _shortcut(before, after, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's features."""
        y = self.bn1(self.conv1(x)).relu()
        y = self.bn2(self.conv2(y)).relu()
        return (self.bn3(self.conv3(y)) + self.downsample(x)).relu()


def _shortcut(before: int, after: int, stride: int) -> nn.Module:
    if before == after and stride == 1:
        return nn.Identity()
    return nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after))
