"""The tiles of a round, ready to teach: those with masks, and those with pseudo-labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from napari_semimoe.core.settings import ModelSettings, RoundSettings
from napari_semimoe.data.prepare import PreparedTile, prepare
from napari_semimoe.data.sampling import draw
from napari_semimoe.model.semi_moe import SemiMoE
from napari_semimoe.training.pseudo import pseudo_maps
from napari_semimoe.training.source import PatchSource


class Pools:
    """The labelled and the unlabelled tiles of a round on their device.

    Parameters
    ----------
    source
        Where they come from.
    settings
        With ``unlabelled_batch`` 0, unlabelled tiles are not read.
    model
        Its working resolution and classes.
    device
        Where they are kept.
    check
        Called before every tile that is prepared or pseudo-labelled; may raise to end the work.

    Attributes
    ----------
    labelled, unlabelled
        Tiles at working resolution; unlabelled ones have no maps before the first `teach`.
    """

    def __init__(
        self,
        source: PatchSource,
        settings: RoundSettings,
        model: ModelSettings,
        device: torch.device,
        check: Callable[[], None],
    ) -> None:
        self._source, self._model, self._device, self._check = source, model, device, check
        self.labelled = self._prepare(source.labelled)
        used = source.unlabelled if settings.unlabelled_batch else ()
        self.unlabelled = [replace(t, index=None, maps=None) for t in self._prepare(used)]

    def choose(self, settings: RoundSettings) -> None:
        """Keep only ``pseudo_tiles`` unlabelled tiles, by the round's seed."""
        count = settings.pseudo_tiles
        if 0 < count < len(self.unlabelled):
            chosen = draw(len(self.unlabelled), count, 0, settings.seed, "pseudo tiles")
            self.unlabelled = [self.unlabelled[index] for index in sorted(chosen)]

    def pseudo_labels(self, teacher: SemiMoE, settings: RoundSettings) -> dict[str, Tensor]:
        """Return what ``teacher`` says of each unlabelled tile; see `pseudo_maps`."""
        found = {}
        for tile in self.unlabelled:
            self._check()
            patch = self._source.read(tile.name)
            found[tile.name] = pseudo_maps(teacher, patch, settings, views=settings.pseudo_views)
        return found

    def teach(self, pseudo_labels: Mapping[str, Tensor]) -> None:
        """Let the unlabelled tiles teach these."""
        self.unlabelled = [
            replace(tile, maps=pseudo_labels[tile.name].to(self._device))
            for tile in self.unlabelled
        ]

    def _prepare(self, names: Sequence[str]) -> list[PreparedTile]:
        found = []
        for name in names:
            self._check()
            found.append(prepare(self._source.read(name), self._model).to(self._device))
        return found
