"""What a pretrained encoder looks like, so that a checkpoint can rebuild it without its file."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from napari_semimoe.core.closed_settings import Settings

#: Mean and standard deviation of the three channels of an image in [0, 1].
Normalisation = tuple[tuple[float, float, float], tuple[float, float, float]]
#: What timm's ResNets and most vision transformers of pathology expect, ImageNet's own.
IMAGENET: Normalisation = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
#: What TensorFlow's encoders expect: values in [-1, 1].
SYMMETRIC: Normalisation = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


class ResNetShape(Settings):
    """A ResNet (arXiv 1512.03385) as timm and torchvision build it, stride in the 3x3 convolution.

    Its features have strides 2, 4, 8, 16 and 32.
    """

    family: Literal["resnet"] = "resnet"
    block: Literal["basic", "bottleneck"]
    depths: tuple[int, int, int, int] = Field(description="Blocks of the four stages")
    width: int = Field(gt=0, description="Channels of the stem; 64 in all published ones")

    @property
    def channels(self) -> tuple[int, int, int, int, int]:
        """Channels of the stem and of the four stages."""
        one = self.width * (4 if self.block == "bottleneck" else 1)
        return self.width, one, 2 * one, 4 * one, 8 * one


class EfficientNetLiteShape(Settings):
    """An EfficientNet-Lite (arXiv 1905.11946), as converted from TensorFlow for torch.

    Its features have strides 2, 4, 8, 16 and 32.
    """

    family: Literal["efficientnet-lite"] = "efficientnet-lite"
    stem: int = Field(gt=0, description="Channels of the stem")
    widths: tuple[int, int, int, int, int, int, int] = Field(description="Channels of the stages")
    depths: tuple[int, int, int, int, int, int, int] = Field(description="Blocks of the stages")

    @property
    def channels(self) -> tuple[int, int, int, int, int]:
        """Channels of the last stage of each stride."""
        one, two, three, _, five, _, seven = self.widths
        return one, two, three, five, seven


class ViTShape(Settings):
    """A vision transformer (arXiv 2010.11929) with learned positions, as timm builds it."""

    family: Literal["vit"] = "vit"
    dim: int = Field(gt=0, description="Length of a token")
    depth: int = Field(gt=0, description="Number of blocks")
    heads: int = Field(gt=0, description="Attention heads of a block")
    patch: Literal[14, 16] = Field(description="Side of a patch, px")
    hidden: int = Field(gt=0, description="Outputs of the first layer of a block's perceptron")
    gated: bool = Field(description="The perceptron is a SwiGLU, both halves in one layer")
    grid: int = Field(gt=0, description="Side of the square table of positions")
    placed_prefix: bool = Field(description="The table has entries for class and registers, too")
    class_token: bool
    registers: int = Field(ge=0, description="Register tokens")
    layer_scale: bool
    qkv_bias: bool

    @property
    def prefix(self) -> int:
        """Number of tokens before those of the patches."""
        return self.registers + self.class_token


def normalisation(shape: EncoderShape) -> Normalisation:
    """Return how images were normalised when encoders of this family learned."""
    return SYMMETRIC if isinstance(shape, EfficientNetLiteShape) else IMAGENET


EncoderShape = ResNetShape | EfficientNetLiteShape | ViTShape
