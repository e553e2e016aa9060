"""Averaging a network's answers over flips, quarter turns and zooms of a tile."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from napari_semimoe.model.semi_moe import STRIDE, SemiMoE
from napari_semimoe.model.tasks import TASKS

#: Flips or turns (0 to 7, see `averaged`) by scale: working pixels per pixel that the network sees.
Views = Mapping[float, Sequence[int]]

#: Two at each of four scales gain more than eight at one; who averages over fewer takes the first.
_VIEWS = ((1.0, 3), (1.28, 1), (0.8, 0), (1.6, 5), (1.0, 4), (1.28, 2), (0.8, 7), (1.6, 6))

PLAIN: Views = {1.0: (0,)}
#: As it is, and mirrored in fewer pixels: of what costs little more than one view, what gains most
#: (`benchmarks/zooms.py`).
TWICE: Views = {1.0: (0,), 1.28: (1,)}


def first_views(count: int) -> Views:
    """Return the 1 to 8 flips, turns and zooms to average over; one alone is the tile as it is."""
    if count == 1:
        return PLAIN
    found: dict[float, tuple[int, ...]] = {}
    for scale, view in _VIEWS[:count]:
        found[scale] = (*found.get(scale, ()), view)
    return found


def activated_maps(model: SemiMoE, image: Tensor) -> Tensor:
    """Run the network and stack everything it says into one tensor.

    Parameters
    ----------
    image
        ``(B, 3, H, W)`` float in [0, 1].

    Returns
    -------
    Tensor
        ``(B, K, H, W)`` float32: experts' activated maps, gated activated maps, then the gate
        table as T * E constant maps (so that windows can be blended like any map).
    """
    outputs = model(image)
    maps = [
        TASKS[name].activate(group[name].float())
        for group in (outputs.experts, outputs.gated)
        for name in model.names
    ]
    table = outputs.gates.float().flatten(1)[:, :, None, None]
    return torch.cat([*maps, table.expand(-1, -1, *image.shape[2:])], dim=1)


def map_slices(model: SemiMoE) -> dict[tuple[str, str], slice]:
    """Return where each map lies in `activated_maps`, by (``experts`` or ``gated``, task)."""
    found, start = {}, 0
    for group in ("experts", "gated"):
        for name in model.names:
            count = TASKS[name].channels(model.settings.n_classes)
            found[group, name] = slice(start, start + count)
            start += count
    found["gates", ""] = slice(start, start + len(model.names) ** 2)
    return found


def averaged(run: Callable[[Tensor], Tensor], image: Tensor, views: Sequence[int]) -> Tensor:
    """Average ``run`` over some of the flips and quarter turns 0 to 7, turned back."""
    total: Tensor | None = None
    for view in views:
        turned = torch.rot90(image.flip(3) if view % 2 else image, view // 2, (2, 3))
        result = torch.rot90(run(turned.contiguous()), -(view // 2), (2, 3))
        result = result.flip(3) if view % 2 else result
        total = result if total is None else total + result
    if total is None:
        raise ValueError("views must hold one view or more, got none")
    return total / len(views)


def padded_run(run: Callable[[Tensor], Tensor], image: Tensor) -> Tensor:
    """Run on ``(B, 3, h, w)`` of any size: mirror it up to multiples of 16, then cut back."""
    height, width = image.shape[2:]
    rows, columns = _mirrored(height), _mirrored(width)
    whole = image[:, :, rows][:, :, :, columns]
    top, left = (len(rows) - height) // 2, (len(columns) - width) // 2
    return run(whole)[:, :, top : top + height, left : left + width]


def _mirrored(length: int) -> Tensor:
    """Return indices that extend ``length`` px by reflection to a multiple of 16, >= 64."""
    padded = max(4 * STRIDE, -(-length // STRIDE) * STRIDE)
    before = (padded - length) // 2
    position = torch.arange(-before, padded - before)
    period = max(1, 2 * (length - 1))
    folded = position.remainder(period)
    return torch.minimum(folded, period - folded) if length > 1 else torch.zeros_like(position)
