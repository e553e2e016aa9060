"""The vision transformers of timm, without their classifier: the same names, the same numbers.

Source: arXiv 2010.11929; layer scale and SwiGLU as in DINOv2 (arXiv 2304.07193), registers as in
arXiv 2309.16588.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_semimoe.core.encoders import ViTShape

#: Pixels of the image that become one token, whatever the patch.
TOKEN_PX = 16
#: Depths from which features are taken.
_TAKEN = 4
_EPSILON = 1e-6  # of timm's layer norms


class ViT(nn.Module):
    """Features of four depths, all of stride 16."""

    def __init__(self, shape: ViTShape) -> None:
        super().__init__()
        self.shape = shape
        dim = shape.dim
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(3, dim, shape.patch, shape.patch)})
        if shape.class_token:
            self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))
        if shape.registers:
            self.reg_token = nn.Parameter(torch.zeros(1, shape.registers, dim))
        positions = shape.grid**2 + (shape.prefix if shape.placed_prefix else 0)
        self.pos_embed = nn.Parameter(torch.zeros(1, positions, dim))
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.depth))
        self.norm = nn.LayerNorm(dim, eps=_EPSILON)

    def forward(self, image: Tensor) -> list[Tensor]:  # (B, 3, H, W)
        """Return ``(B, dim, H / 16, W / 16)`` after each quarter of the blocks, normalised.

        An image whose patches are smaller than 16 px is shrunk so that a token covers 16 px of
        the original.
        """
        grid = image.shape[2] // TOKEN_PX, image.shape[3] // TOKEN_PX
        size = [side * self.shape.patch for side in grid]
        if self.shape.patch != TOKEN_PX:
            image = functional.interpolate(image, size, mode="bilinear", align_corners=False)
        x = self._with_positions(self.patch_embed["proj"](image).flatten(2).transpose(1, 2), grid)
        after = []
        for block in self.blocks:
            x = block(x)
            after.append(x)
        quarters = [-(-len(after) * part // _TAKEN) - 1 for part in range(1, _TAKEN + 1)]
        return [self._as_map(self.norm(after[index]), grid) for index in quarters]

    def _with_positions(self, patches: Tensor, grid: tuple[int, int]) -> Tensor:
        placed = self.shape.prefix if self.shape.placed_prefix else 0
        patches = patches + _resized(self.pos_embed[:, placed:], self.shape.grid, grid)
        tokens = [token.expand(len(patches), -1, -1) for token in self._prefix(placed)]
        return torch.cat([*tokens, patches], dim=1)

    def _prefix(self, placed: int) -> list[Tensor]:
        tokens: list[Tensor] = [self.cls_token] if self.shape.class_token else []
        if self.shape.registers:
            tokens.append(self.reg_token)
        return [torch.cat(tokens, dim=1) + self.pos_embed[:, :placed]] if placed else tokens

    def _as_map(self, tokens: Tensor, grid: tuple[int, int]) -> Tensor:
        patches = tokens[:, self.shape.prefix :]
        return patches.transpose(1, 2).unflatten(2, grid)


class Block(nn.Module):
    """Attention, then a perceptron; each behind a layer norm, with its input carried around it."""

    def __init__(self, shape: ViTShape) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(shape.dim, eps=_EPSILON)
        self.attn = Attention(shape)
        self.ls1 = LayerScale(shape.dim) if shape.layer_scale else nn.Identity()
        self.norm2 = nn.LayerNorm(shape.dim, eps=_EPSILON)
        self.mlp = Perceptron(shape)
        self.ls2 = LayerScale(shape.dim) if shape.layer_scale else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:  # (B, tokens, dim)
        """Return the tokens, changed."""
        x = x + self.ls1(self.attn(self.norm1(x)))
        return x + self.ls2(self.mlp(self.norm2(x)))


class Attention(nn.Module):
    """Every token hears every other, in several heads."""

    def __init__(self, shape: ViTShape) -> None:
        super().__init__()
        self.heads = shape.heads
        self.qkv = nn.Linear(shape.dim, 3 * shape.dim, bias=shape.qkv_bias)
        self.proj = nn.Linear(shape.dim, shape.dim)

    def forward(self, x: Tensor) -> Tensor:  # (B, tokens, dim)
        """Return what each token heard."""
        q, k, v = self.qkv(x).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        heard = functional.scaled_dot_product_attention(q, k, v)
        return self.proj(heard.transpose(1, 2).flatten(2))


class Perceptron(nn.Module):
    """Two layers with a GELU between them, or a SwiGLU whose first half is the gate."""

    def __init__(self, shape: ViTShape) -> None:
        super().__init__()
        self.gated = shape.gated
        self.fc1 = nn.Linear(shape.dim, shape.hidden)
        self.fc2 = nn.Linear(shape.hidden // 2 if shape.gated else shape.hidden, shape.dim)

    def forward(self, x: Tensor) -> Tensor:
        """Return the tokens, each changed by itself."""
        hidden = self.fc1(x)
        if self.gated:
            gate, value = hidden.chunk(2, dim=-1)
            return self.fc2(functional.silu(gate) * value)
        return self.fc2(functional.gelu(hidden))


class LayerScale(nn.Module):
    """A learned factor for each channel."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x`` times the factors."""
        return x * self.gamma


def _resized(table: Tensor, side: int, grid: tuple[int, int]) -> Tensor:
    """Return ``(1, h * w, dim)`` positions of a grid, from those of a square one."""
    if grid == (side, side):
        return table
    square = table.transpose(1, 2).unflatten(2, (side, side)).float()
    if table.device.type == "mps":  # which cannot learn through it; the table is small
        square = square.cpu()
    resized = functional.interpolate(square, grid, mode="bicubic", antialias=True)
    return resized.to(table.device).flatten(2).transpose(1, 2)
