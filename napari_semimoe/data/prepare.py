"""A tile made ready for training: at the working resolution, with its distance computed once.

The distance is measured in the whole tile, so a crop knows objects that lie just outside it;
normalisation to [-1, 1] is done per crop, which makes it independent of zoom.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from napari_semimoe.core.settings import ModelSettings
from napari_semimoe.core.values import Patch
from napari_semimoe.data.colours import in_known_colours
from napari_semimoe.data.resample import resample_image, resample_labels, working_size
from napari_semimoe.data.targets import class_map, signed_distance


@dataclass(frozen=True, slots=True)
class PreparedTile:
    """Tensors of one tile at the working resolution, h x w pixels.

    Attributes
    ----------
    image
        ``(3, h, w)`` uint8.
    index
        ``(2, h, w)`` int32: instance ids and class of each pixel; ``None`` if unlabelled.
    maps
        ``(K, h, w)`` float16 or float32, sampled smoothly: a labelled tile's signed distance
        (K = 1), or a tile's pseudo-label (`pseudo`), or ``None``.
    """

    name: str
    image: Tensor
    index: Tensor | None = None
    maps: Tensor | None = None

    def to(self, device: torch.device) -> PreparedTile:
        """Move all tensors."""
        return replace(
            self,
            image=self.image.to(device),
            index=None if self.index is None else self.index.to(device),
            maps=None if self.maps is None else self.maps.to(device),
        )


def prepare(patch: Patch, model: ModelSettings) -> PreparedTile:
    """Resample a tile and its mask to the working resolution of ``model``, in colours it knows."""
    size = working_size(patch.image.shape[:2], patch.um_per_px, model.um_per_px)
    image = resample_image(in_known_colours(patch.image, model.colours), size)
    if patch.labels is None:
        return PreparedTile(patch.name, image)
    labels = resample_labels(patch.labels, size)
    kinds = torch.from_numpy(class_map(labels, patch.classes).astype("int32"))
    distance = torch.from_numpy(signed_distance(labels))[None]
    return PreparedTile(patch.name, image, torch.stack([torch.from_numpy(labels), kinds]), distance)
