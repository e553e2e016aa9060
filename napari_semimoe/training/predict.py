"""Predict a tile of any size, at its own resolution, with a checkpoint's network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import reduce
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from napari_semimoe.core.settings import PredictSettings
from napari_semimoe.core.values import Prediction
from napari_semimoe.data.colours import in_known_colours
from napari_semimoe.data.resample import resample_image, resample_maps, scaled, working_size
from napari_semimoe.data.targets import BOUNDARY_PX
from napari_semimoe.model.checkpoint import load_checkpoint
from napari_semimoe.model.semi_moe import SemiMoE
from napari_semimoe.training.adapt import SHARE, adapted
from napari_semimoe.training.agreement import disagreement
from napari_semimoe.training.device import autocast, choose_device, place
from napari_semimoe.training.instances import drop_unsure, to_instances
from napari_semimoe.training.views import (
    TWICE,
    activated_maps,
    averaged,
    first_views,
    map_slices,
    padded_run,
)

#: What is averaged with ``flips``.
FLIPS = first_views(8)
#: Windows of a large tile, along each side, whose statistics stand for all of it.
_SEEN = 3


class Predictor:
    """A network ready to predict.

    A tile is seen in colours that the network knows (`data.colours`). It is resampled to the
    working resolution and to a coarser one (with ``flips`` to two more), mirrored up to a multiple
    of 16 px, run in one piece or in overlapping windows blended with a Gaussian, and everything
    comes back averaged and at the tile's own size.

    Parameters
    ----------
    model
        In evaluation mode or not: it is switched to it and moved to the device.
    settings
        Device, windows, flips, threshold and object size.
    mixed_precision
        Whether bfloat16 may be used where the device gains from it.

    Attributes
    ----------
    views
        Flips, turns and zooms to average over.
    share
        Weight of a tile's own statistics, see `adapted`.
    """

    def __init__(
        self, model: SemiMoE, settings: PredictSettings, *, mixed_precision: bool = True
    ) -> None:
        self.settings = settings
        self._mixed_precision = mixed_precision
        self._device = choose_device(settings.device)
        self.model = place(model, self._device).eval()
        self.views = FLIPS if settings.flips else TWICE
        self.share = SHARE if settings.adapt else 0.0
        self._slices = map_slices(model)

    @property
    def device(self) -> str:
        """Kind of device: ``cpu``, ``cuda`` or ``mps``."""
        return self._device.type

    def predict(self, image: NDArray[np.uint8], um_per_px: float) -> Prediction:
        """Predict one tile.

        Parameters
        ----------
        image
            ``(H, W, 3)`` uint8 RGB, any size from 1 x 1.
        um_per_px
            Microns per pixel of the tile.

        Returns
        -------
        Prediction
            Everything at the tile's native size.
        """
        maps = self.working_maps(image, um_per_px)
        gates = self._part(maps, "gates", "").mean((1, 2)).reshape(len(self.model.names), -1)
        native = resample_maps(maps[: self._slices["gates", ""].start], image.shape[:2])
        return self._assemble(native, gates, um_per_px)

    def working_maps(self, image: NDArray[np.uint8], um_per_px: float) -> Tensor:
        """Return what `activated_maps` are of a tile: ``(K, h, w)`` at working resolution."""
        size = working_size(image.shape[:2], um_per_px, self.model.settings.um_per_px)
        if self.settings.adapt:
            image = in_known_colours(image, self.model.settings.colours)
        parts = self._parts(image, size)
        with adapted(self.model, self._once, parts, size[0] * size[1], self.share):
            return self._maps(image, size)

    def _parts(self, image: NDArray[np.uint8], size: tuple[int, int]) -> Iterator[Tensor]:
        """Yield the whole of a tile, or a few windows that are spread over a large one."""
        batch, window = self._batch(resample_image(image, size)), self.settings.window_px
        tops, lefts = (_starts(side, window) for side in size)
        for top in tops:
            for left in lefts:
                yield batch[:, :, top : top + window, left : left + window]

    def _maps(self, image: NDArray[np.uint8], size: tuple[int, int]) -> Tensor:
        """Return the maps at the working ``size``, averaged over the views of each scale."""
        found = (
            resample_maps(self._seen(resample_image(image, scaled(size, scale)), views), size)
            for scale, views in self.views.items()
        )
        with torch.inference_mode():  # in place: those of a large tile are large
            return reduce(Tensor.add_, found).div_(len(self.views))

    def _seen(self, image: Tensor, views: Sequence[int]) -> Tensor:
        whole = max(image.shape[1:]) <= self.settings.window_px
        run = self._once if whole else self._windows
        return averaged(run, self._batch(image), views)[0].float().cpu()

    def _batch(self, image: Tensor) -> Tensor:
        return image[None].to(self._device).float() / 255

    def _once(self, batch: Tensor) -> Tensor:
        return padded_run(self._run, batch)

    def _run(self, batch: Tensor) -> Tensor:
        with autocast(self._device, self._mixed_precision):
            return activated_maps(self.model, batch)

    def _windows(self, batch: Tensor) -> Tensor:
        from monai.inferers import sliding_window_inference  # slow to import; large tiles only

        window = self.settings.window_px

        def run(image: Tensor) -> Tensor:
            found = sliding_window_inference(
                image,
                roi_size=tuple(min(window, side) for side in image.shape[2:]),
                sw_batch_size=1,
                predictor=self._run,
                overlap=self.settings.overlap,
                mode="gaussian",
            )
            assert isinstance(found, Tensor)  # as the predictor returns
            return found

        return padded_run(run, batch)

    def _part(self, maps: Tensor, group: str, name: str) -> Tensor:
        return maps[self._slices[group, name]]

    def _group(self, maps: Tensor, group: str) -> dict[str, NDArray[np.float32]]:
        return {
            name: as_shown(name, self._part(maps, group, name).numpy()) for name in self.model.names
        }

    def _assemble(self, maps: Tensor, gates: Tensor, um_per_px: float) -> Prediction:
        experts, gated = self._group(maps, "experts"), self._group(maps, "gated")
        probabilities = self._part(maps, "gated", "segmentation").numpy()
        objects = to_instances(
            gated["segmentation"],
            gated.get("distance"),
            gated.get("boundary"),
            classes=probabilities[1:] if len(probabilities) > 2 else None,
            threshold=self.settings.threshold,
            min_object_px=self.settings.min_object_um2 / um_per_px**2,
            split_touching=self.settings.split_touching,
        )
        instances = drop_unsure(
            objects,
            gated["segmentation"],
            threshold=self.settings.threshold,
            min_confidence=self.settings.min_confidence,
        )
        return Prediction(
            experts=experts,
            gated=gated,
            class_probabilities=probabilities,
            instances=instances,
            classes=classes_of(instances, probabilities),
            disagreement=disagreement(experts, objects, self._tolerance_px(um_per_px)),
            gates=gates.numpy(),
            expert_names=self.model.names,
        )

    def _tolerance_px(self, um_per_px: float) -> int:
        """Return a boundary's width and one pixel, at working resolution, in native pixels."""
        width = (BOUNDARY_PX + 1) * self.model.settings.um_per_px
        return max(1, round(width / um_per_px))


def _starts(side: int, window: int) -> list[int]:
    count = min(_SEEN, -(-side // window))
    return [round(start) for start in np.linspace(0, max(0, side - window), count)]


def load_predictor(weights: Path, settings: PredictSettings) -> Predictor:
    """Load a checkpoint for prediction; see `load_checkpoint` for what is refused."""
    model, _ = load_checkpoint(weights)
    return Predictor(model, settings)


def as_shown(name: str, activated: NDArray[np.float32]) -> NDArray[np.float32]:
    """Reduce a task's activated channels ``(K, H, W)`` to the one map that a person sees.

    Segmentation: probability of not being background. Distance: as it is. Boundary: probability.
    """
    if name == "segmentation":
        return 1 - activated[0]
    return activated[-1]


def classes_of(instances: NDArray[np.uint16], probabilities: NDArray[np.float32]) -> dict[int, int]:
    """Return the most likely foreground class of each instance; ``(C, H, W)`` probabilities."""
    ids = np.arange(1, int(instances.max()) + 1)
    if not len(ids):
        return {}
    means = np.stack([np.atleast_1d(ndimage.mean(p, instances, ids)) for p in probabilities[1:]])
    return dict(zip(ids.tolist(), (means.argmax(0) + 1).tolist(), strict=True))
