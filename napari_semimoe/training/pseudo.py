"""Pseudo-labels: what the gated heads say of an unlabelled tile, made to teach.

Made once per stage in evaluation mode, averaged over flips and quarter turns: what teaches is
what a person sees. Differs from the released method, which makes them at every step in training
mode from the same view (defect 7); that way is available as ``pseudo_labels="step"``.
"""

from __future__ import annotations

import torch
from torch import Tensor

from napari_semimoe.data.prepare import PreparedTile
from napari_semimoe.data.targets import Targets, normalise_distance
from napari_semimoe.model.semi_moe import MoEOutputs, SemiMoE
from napari_semimoe.model.tasks import TASKS, harden
from napari_semimoe.training.device import autocast
from napari_semimoe.training.views import activated_maps, averaged, map_slices, padded_run

#: Smallest furthest distance in a crop that is stretched to 1 again.
_FLOOR = 0.1


def pseudo_maps(
    model: SemiMoE, tile: PreparedTile, device: torch.device, *, views: int, mixed: bool
) -> Tensor:
    """Return the gated activated maps of a whole tile, ``(K, h, w)`` float16.

    Parameters
    ----------
    model
        In evaluation mode.
    views
        Number of flips and turns to average over, 1 to 8.
    """
    image = tile.image[None].to(device).float() / 255
    image = image.contiguous(memory_format=torch.channels_last)
    with torch.no_grad(), autocast(device, mixed):
        maps = averaged(lambda x: padded_run(lambda y: activated_maps(model, y), x), image, views)
    return maps[0, gated_slice(model)].half().cpu()


def gated_slice(model: SemiMoE) -> slice:
    """Return where the gated maps lie in `activated_maps`."""
    slices = map_slices(model)
    return slice(slices["gated", model.names[0]].start, slices["gates", ""].start)


def targets_from_maps(model: SemiMoE, maps: Tensor, *, confidence: bool) -> Targets:
    """Turn crops of pseudo-label maps ``(B, K, H, W)`` into hard targets with a weight.

    The weight is the confidence ``(p_max - 1/C) / (1 - 1/C)`` of the gated segmentation, or 1.
    """
    parts = dict(zip(model.names, maps.split(_channels(model), dim=1), strict=True))
    found = {name: _as_target(name, part) for name, part in parts.items()}
    weight = torch.ones_like(maps[:, :1])
    if confidence:
        chance = 1 / model.settings.n_classes
        certain = parts["segmentation"].amax(1, keepdim=True)
        weight = ((certain - chance) / (1 - chance)).clamp(0, 1)
    return Targets(found, weight)


def targets_from_outputs(model: SemiMoE, outputs: MoEOutputs, *, confidence: bool) -> Targets:
    """Make targets from a batch's own gated outputs, detached (the released way)."""
    maps = [TASKS[name].activate(outputs.gated[name].detach().float()) for name in model.names]
    return targets_from_maps(model, torch.cat(maps, dim=1), confidence=confidence)


def _channels(model: SemiMoE) -> list[int]:
    return [TASKS[name].channels(model.settings.n_classes) for name in model.names]


def _as_target(name: str, part: Tensor) -> Tensor:
    if name != "distance":
        return harden(part)
    return normalise_distance(part, _FLOOR)
