"""The Semi-MoE network: experts, gates, gated heads. Settings decide everything.

Source: arXiv 2509.13834; docs/method.md sections 1-2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_semimoe.core.errors import SettingsError, ShapeError
from napari_semimoe.core.settings import ModelSettings
from napari_semimoe.model.gating import Gate
from napari_semimoe.model.pretrained import PretrainedExperts
from napari_semimoe.model.tasks import TASKS, check_experts
from napari_semimoe.model.unet import SeparateExperts, SharedExperts

STRIDE = 16


@dataclass(frozen=True, slots=True)
class MoEOutputs:
    """Logits by task name, and the gate table.

    Attributes
    ----------
    experts, gated
        ``(B, channels, H, W)`` logits: each expert's own head, and the gated head of each task.
    gates
        ``(B, task, expert)``, rows sum to 1, order as in the settings.
    """

    experts: dict[str, Tensor]
    gated: dict[str, Tensor]
    gates: Tensor

    def sliced(self, part: slice) -> MoEOutputs:
        """Return the outputs of some samples of the batch."""
        return MoEOutputs(
            {name: logits[part] for name, logits in self.experts.items()},
            {name: logits[part] for name, logits in self.gated.items()},
            self.gates[part],
        )


class SemiMoE(nn.Module):
    """Three experts, one gate and one gated head per task.

    The gated feature of a task is a weighted sum of the experts' features followed by a 1x1
    convolution. Both are linear, so the convolution is applied to each expert first and the few
    logits are mixed instead of the many features: the same numbers with far less memory traffic.

    Attributes
    ----------
    layout
        How weights and images lie in memory.
    """

    layout: torch.memory_format = torch.contiguous_format
    mean: Tensor
    std: Tensor

    def __init__(self, settings: ModelSettings) -> None:
        super().__init__()
        check_experts(settings.experts)
        self.settings = settings
        self.names: tuple[str, ...] = settings.experts
        self.backbone = _build_backbone(settings)
        channels = {name: TASKS[name].channels(settings.n_classes) for name in self.names}
        self.expert_heads = nn.ModuleDict(
            {name: nn.Conv2d(settings.width, count, 1) for name, count in channels.items()}
        )
        self.gated_heads = nn.ModuleDict(
            {name: nn.Conv2d(settings.width, count, 1) for name, count in channels.items()}
        )
        features = settings.width * len(self.names)
        scaled = settings.gate_attention == "scaled"
        gates = [Gate(features, len(self.names), scaled=scaled) for _ in self.names]
        self.gates = nn.ModuleDict(dict(zip(self.names, gates, strict=True)))
        mean, std = torch.tensor(settings.mean), torch.tensor(settings.std)
        self.register_buffer("mean", mean.view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", std.view(1, 3, 1, 1), persistent=False)
        self.apply(_initialise)
        for index, gate in enumerate(gates if scaled else ()):
            gate.lean_to(index)

    def forward(self, image: Tensor) -> MoEOutputs:
        """Run experts, gates and heads.

        Parameters
        ----------
        image
            ``(B, 3, H, W)`` float in [0, 1] at the working resolution; H and W multiples of 16.

        Raises
        ------
        ShapeError
            If the batch has another shape.
        """
        _check_batch(image)
        image = ((image - self.mean) / self.std).contiguous(memory_format=self.layout)
        features = self.backbone(image)
        gates = self._gate_table(features)
        experts = {name: self.expert_heads[name](features[name]) for name in self.names}
        size = image.shape[2:]
        return MoEOutputs(
            _enlarged(experts, size), _enlarged(self._gated(features, gates), size), gates
        )

    def placed(self, device: torch.device, layout: torch.memory_format) -> Self:
        """Move to a device, and lay weights and images there as ``layout`` says."""
        self.layout = layout
        return self.to(device, memory_format=layout)  # type: ignore[call-overload]

    def _gate_table(self, features: dict[str, Tensor]) -> Tensor:
        # pooled before the cast: the backward pass then spreads no 32-bit copy of the features
        pooled = torch.cat([_mean(each) for each in features.values()], dim=1).float()
        with torch.autocast(pooled.device.type, enabled=False):
            return torch.stack([self.gates[name](pooled) for name in self.names], dim=1)

    def _gated(self, features: dict[str, Tensor], gates: Tensor) -> dict[str, Tensor]:
        heads = [self.gated_heads[name] for name in self.names]
        weight = torch.cat([head.get_parameter("weight") for head in heads])
        sizes = [TASKS[name].channels(self.settings.n_classes) for name in self.names]
        expanded = gates.repeat_interleave(torch.tensor(sizes, device=gates.device), dim=1)
        mixed = torch.cat([head.get_parameter("bias") for head in heads]).view(1, -1, 1, 1)
        for index, name in enumerate(self.names):
            logits = functional.conv2d(features[name], weight)  # (B, sum of sizes, H, W)
            mixed = mixed + logits * expanded[:, :, index, None, None]
        return dict(zip(self.names, mixed.split(sizes, dim=1), strict=True))


def _build_backbone(settings: ModelSettings) -> nn.Module:
    if settings.awaits_encoder:
        raise SettingsError(
            "A network of the architecture 'pretrained' needs an encoder, and none is named. "
            "Give its file with --encoder, or choose another architecture."
        )
    if settings.encoder is not None:
        return PretrainedExperts(
            settings.encoder, settings.width, settings.experts, learns=settings.train_encoder
        )
    build = SeparateExperts if settings.architecture == "paper" else SharedExperts
    return build(settings.width, settings.experts)


def _mean(features: Tensor) -> Tensor:
    """Return the mean of each channel ``(B, C)``, the way that is fast on each device.

    A graphics card pools a whole image with one thread for each channel; a processor's mean
    makes a 32-bit copy first.
    """
    if features.device.type == "cpu":
        return functional.avg_pool2d(features, features.shape[2:]).flatten(1)
    return features.mean((2, 3))


def _enlarged(maps: dict[str, Tensor], size: torch.Size) -> dict[str, Tensor]:
    """Bring logits to the image's size, where the backbone's finest features are coarser."""
    if all(logits.shape[2:] == size for logits in maps.values()):
        return maps
    return {
        name: functional.interpolate(each, size, mode="bilinear") for name, each in maps.items()
    }


def _check_batch(image: Tensor) -> None:
    if image.ndim != 4 or image.shape[1] != 3 or image.shape[2] % STRIDE or image.shape[3] % STRIDE:
        raise ShapeError(
            f"The network needs a (B, 3, H, W) batch with H and W multiples of {STRIDE}, got "
            f"{tuple(image.shape)}. Pad the tile first."
        )


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.kaiming_normal_(module.weight, a=0, mode="fan_in")
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)
        nn.init.zeros_(module.bias)
