"""Pseudo-labels: what the gated heads say of an unlabelled tile, made to teach.

Made once per stage by a `Predictor`, as what a person sees is, but averaged over eight flips,
turns and zooms. Differs from the released method, which makes them at every step in training mode
from the same view (docs/method.md 8, 7); that way is available as ``pseudo_labels="step"``.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_semimoe.core.settings import PredictSettings, RoundSettings
from napari_semimoe.core.values import Patch
from napari_semimoe.data.targets import BOUNDARY_PX, TARGETS, Targets
from napari_semimoe.model.semi_moe import MoEOutputs, SemiMoE
from napari_semimoe.model.tasks import TASKS
from napari_semimoe.training.agreement import disagreement
from napari_semimoe.training.instances import to_instances
from napari_semimoe.training.predict import Predictor, as_shown
from napari_semimoe.training.views import first_views, map_slices


def pseudo_maps(model: SemiMoE, tile: Patch, settings: RoundSettings, *, views: int) -> Tensor:
    """Return the gated activated maps of a whole tile and the experts' agreement on them.

    Parameters
    ----------
    model
        It is switched to evaluation mode.
    settings
        Its device and precision, whether to fit the network to the tile, and the smallest object.
    views
        Number of flips, turns and zooms to average over, 1 to 8.

    Returns
    -------
    Tensor
        ``(K + 1, h, w)`` float16 at working resolution; the last map is the agreement in [0, 1],
        one minus the disagreement that a person sees.
    """
    how = PredictSettings(device=settings.device, adapt=settings.adapt)
    predictor = Predictor(model, how, mixed_precision=settings.mixed_precision)
    predictor.views = first_views(views)
    found = predictor.working_maps(tile.image, tile.um_per_px)
    agreement = _agreement(model, found, settings.min_object_um2)
    return torch.cat([found[gated_slice(model)], agreement[None]]).half()


def _agreement(model: SemiMoE, maps: Tensor, min_object_um2: float) -> Tensor:
    slices = map_slices(model)
    shown = {
        group: {name: as_shown(name, maps[slices[group, name]].numpy()) for name in model.names}
        for group in ("experts", "gated")
    }
    gated, um_per_px = shown["gated"], model.settings.um_per_px
    instances = to_instances(
        gated["segmentation"],
        gated.get("distance"),
        gated.get("boundary"),
        min_object_px=min_object_um2 / um_per_px**2,
    )
    return 1 - torch.from_numpy(disagreement(shown["experts"], instances, BOUNDARY_PX + 1))


def gated_slice(model: SemiMoE) -> slice:
    """Return where the gated maps lie in `activated_maps`."""
    slices = map_slices(model)
    return slice(slices["gated", model.names[0]].start, slices["gates", ""].start)


def targets_from_maps(
    model: SemiMoE, maps: Tensor, *, confidence: bool, agreement: float = 0.0
) -> Targets:
    """Turn crops of pseudo-label maps ``(B, K + 1, H, W)`` into hard targets with a weight.

    The weight is the square of the gated segmentation's confidence ``(p_max - 1/C) / (1 - 1/C)``,
    or 1; it is 0 where the experts agree less than ``agreement``. Not squared, it lets more through
    that is wrong: 5.8 % of what teaches instead of 4.1 % (``docs/choices.md``).
    """
    targets = _targets(model, maps[:, :-1], confidence)
    return replace(targets, valid=targets.valid * (maps[:, -1:] >= agreement))


def targets_from_outputs(model: SemiMoE, outputs: MoEOutputs, *, confidence: bool) -> Targets:
    """Make targets from a batch's own gated outputs, detached (the released way)."""
    maps = [TASKS[name].activate(outputs.gated[name].detach().float()) for name in model.names]
    return _targets(model, torch.cat(maps, dim=1), confidence)


def taught(
    model: SemiMoE, maps: Tensor, *, confidence: bool, agreement: float
) -> tuple[dict[str, float], NDArray[np.bool_]]:
    """Return what one tile's pseudo-label ``(K + 1, h, w)`` teaches, in numbers and as a mask.

    Returns
    -------
    dict
        ``foreground``, ``coverage`` (share of the pixels that may teach) and ``weight`` (mean
        over all pixels), in [0, 1].
    ndarray
        ``(h, w)`` bool at working resolution: foreground.
    """
    whole = maps[None].float()
    weight = targets_from_maps(model, whole, confidence=confidence, agreement=agreement).valid
    found = whole[0, _segmentation(model)].argmax(0) > 0
    passing = whole[0, -1] >= agreement
    shares = {"foreground": found, "coverage": passing, "weight": weight}
    return {name: float(each.float().mean()) for name, each in shares.items()}, found.numpy()


def _segmentation(model: SemiMoE) -> slice:
    start = sum(_channels(model)[: model.names.index("segmentation")])
    return slice(start, start + model.settings.n_classes)


def _targets(model: SemiMoE, maps: Tensor, confidence: bool) -> Targets:
    parts = dict(zip(model.names, maps.split(_channels(model), dim=1), strict=True))
    found = {name: TARGETS[name].of_maps(part) for name, part in parts.items()}
    weight = torch.ones_like(maps[:, :1])
    if confidence:
        chance = 1 / model.settings.n_classes
        certain = parts["segmentation"].amax(1, keepdim=True)
        weight = ((certain - chance) / (1 - chance)).clamp(0, 1).square()
    return Targets(found, weight)


def _channels(model: SemiMoE) -> list[int]:
    return [TASKS[name].channels(model.settings.n_classes) for name in model.names]
