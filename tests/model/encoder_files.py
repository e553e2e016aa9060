"""Small random encoders under their files' names, written out so that ours are checked by them."""

import torch


class Tensors(dict):
    """Named random tensors."""

    def __init__(self, seed):
        super().__init__()
        self.generator = torch.Generator().manual_seed(seed)

    def draw(self, name, *shape, around=0.0, scale=0.2):
        self[name] = around + scale * torch.randn(shape, generator=self.generator)

    def norm(self, name, channels, *, statistics):
        self.draw(f"{name}.weight", channels, around=1.0)
        self.draw(f"{name}.bias", channels)
        if statistics:
            self.draw(f"{name}.running_mean", channels)
            self.draw(f"{name}.running_var", channels)
            self[f"{name}.running_var"] = 0.5 + self[f"{name}.running_var"].abs()
            self[f"{name}.num_batches_tracked"] = torch.tensor(17)

    def linear(self, name, channels_in, channels_out):
        self.draw(f"{name}.weight", channels_out, channels_in)
        self.draw(f"{name}.bias", channels_out)


def resnet(*, bottleneck=False, depths=(1, 1, 1, 1), width=4, seed=0):
    """Return the tensors of a ResNet with a classifier for five classes."""
    found = Tensors(seed)
    found.draw("conv1.weight", width, 3, 7, 7)
    found.norm("bn1", width, statistics=True)
    before, factor = width, 4 if bottleneck else 1
    for stage, depth in enumerate(depths):
        inner = width * 2**stage
        after = inner * factor
        for index in range(depth):
            name = f"layer{stage + 1}.{index}"
            sides = [(before, inner, 3), (inner, after, 3)]
            if bottleneck:
                sides = [(before, inner, 1), (inner, inner, 3), (inner, after, 1)]
            for number, (channels_in, channels_out, side) in enumerate(sides, 1):
                found.draw(f"{name}.conv{number}.weight", channels_out, channels_in, side, side)
                found.norm(f"{name}.bn{number}", channels_out, statistics=True)
            if index == 0 and (stage or before != after):
                found.draw(f"{name}.downsample.0.weight", after, before, 1, 1)
                found.norm(f"{name}.downsample.1", after, statistics=True)
            before = after
    found.linear("fc", before, 5)
    return dict(found)


#: Kernel, stride and inner widening of an EfficientNet-Lite's stages.
LITE_STAGES = ((3, 1, 1), (3, 2, 6), (5, 2, 6), (3, 2, 6), (5, 1, 6), (5, 2, 6), (3, 1, 6))


def lite_blocks(widths, depths, stem):
    """Yield name, channels before, inside and after, kernel and stride of every block."""
    number, before = 0, stem
    for after, depth, (kernel, stride, factor) in zip(widths, depths, LITE_STAGES, strict=True):
        for index in range(depth):
            name = f"_blocks.{number}"
            yield name, before, factor * before, after, kernel, 1 if index else stride
            number, before = number + 1, after


def efficientnet_lite(
    *, widths=(2, 3, 4, 5, 6, 7, 8), depths=(1, 2, 1, 1, 2, 1, 1), stem=4, seed=0
):
    """Return the tensors of an EfficientNet-Lite with a classifier for five classes."""
    found = Tensors(seed)
    found.draw("_conv_stem.weight", stem, 3, 3, 3)
    found.norm("_bn0", stem, statistics=True)
    for name, before, inner, after, kernel, _ in lite_blocks(widths, depths, stem):
        if inner != before:
            found.draw(f"{name}._expand_conv.weight", inner, before, 1, 1)
            found.norm(f"{name}._bn0", inner, statistics=True)
        found.draw(f"{name}._depthwise_conv.weight", inner, 1, kernel, kernel)
        found.norm(f"{name}._bn1", inner, statistics=True)
        found.draw(f"{name}._project_conv.weight", after, inner, 1, 1)
        found.norm(f"{name}._bn2", after, statistics=True)
    found.draw("_conv_head.weight", 16, widths[-1], 1, 1)
    found.norm("_bn1", 16, statistics=True)
    found.linear("_fc", 16, 5)
    return dict(found)


def vit(
    *, patch=16, dim=64, depth=2, grid=3, class_token=True, registers=0, placed=True,
    gated=False, layer_scale=False, seed=0,
):  # fmt: skip
    """Return the tensors of a vision transformer with a classifier for five classes."""
    found = Tensors(seed)
    found.draw("patch_embed.proj.weight", dim, 3, patch, patch)
    found.draw("patch_embed.proj.bias", dim)
    if class_token:
        found.draw("cls_token", 1, 1, dim)
    if registers:
        found.draw("reg_token", 1, registers, dim)
    found.draw("pos_embed", 1, grid**2 + placed * (class_token + registers), dim)
    hidden = 2 * dim
    for index in range(depth):
        name = f"blocks.{index}"
        found.norm(f"{name}.norm1", dim, statistics=False)
        found.linear(f"{name}.attn.qkv", dim, 3 * dim)
        found.linear(f"{name}.attn.proj", dim, dim)
        found.norm(f"{name}.norm2", dim, statistics=False)
        found.linear(f"{name}.mlp.fc1", dim, hidden)
        found.linear(f"{name}.mlp.fc2", hidden // 2 if gated else hidden, dim)
        if layer_scale:
            found.draw(f"{name}.ls1.gamma", dim, around=1.0)
            found.draw(f"{name}.ls2.gamma", dim, around=1.0)
    found.norm("norm", dim, statistics=False)
    found.linear("head", dim, 5)
    return dict(found)
