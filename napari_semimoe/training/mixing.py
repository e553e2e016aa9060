"""CutMix: crops of a batch swap a rectangle, targets and all (Yun et al. 2019)."""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from napari_semimoe.data.targets import Targets


def swap_rectangles(
    image: Tensor, targets: Targets, chance: float, generator: Generator
) -> tuple[Tensor, Targets]:
    """Paste a random rectangle of the next crop into each crop, with probability ``chance``.

    Parameters
    ----------
    image
        ``(B, 3, H, W)``; targets of the same batch and size.
    """
    mask = torch.zeros((len(image), 1, *image.shape[2:]), dtype=torch.bool)
    for sample in mask:
        if float(torch.rand((), generator=generator)) < chance:
            rows = _span(image.shape[2], generator)
            columns = _span(image.shape[3], generator)
            sample[:, rows, columns] = True
    mask = mask.to(image.device)

    def mixed(values: Tensor) -> Tensor:
        return torch.where(mask, values.roll(1, 0), values)

    maps = {name: mixed(value) for name, value in targets.maps.items()}
    return mixed(image), Targets(maps, mixed(targets.valid))


def _span(length: int, generator: Generator) -> slice:
    size = int(length * (0.25 + 0.5 * float(torch.rand((), generator=generator))))
    start = int((length - size) * float(torch.rand((), generator=generator)))
    return slice(start, start + size)
