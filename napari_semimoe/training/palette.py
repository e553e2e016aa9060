"""The colours that a round teaches beside those that its network knows.

A tile with a mask teaches in its own colours. Whether the network shall *see* a new stain in them,
or still in the nearest colours it knew, is another question: after a few steps it may mark nothing
there yet, where it marks what it must in known ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from napari_semimoe.core.settings import Colour, PredictSettings, RoundSettings
from napari_semimoe.core.values import IGNORE
from napari_semimoe.data.colours import colour_of, different, is_unlike
from napari_semimoe.data.prepare import PreparedTile
from napari_semimoe.data.sampling import draw
from napari_semimoe.model.semi_moe import SemiMoE
from napari_semimoe.training.predict import Predictor
from napari_semimoe.training.source import PatchSource
from napari_semimoe.training.views import first_views, map_slices

#: So many tiles of another stain tell in which colours the network marks better.
_ASKED = 4
#: Seen in its own colours a stain may have so much less of its pixels right: where the two are this
#: close, other tiles are marked no worse so (``docs/choices.md``).
LEEWAY = 0.05


@dataclass(frozen=True, slots=True)
class Palette:
    """Colours of a round.

    Attributes
    ----------
    known
        Those that the network knew, and those of tiles with a mask that are like them.
    taught
        All of these, and those of tiles with a mask of other stains.
    strangers
        Names of a few tiles with a mask of other stains, by which to choose between the two.
    """

    known: tuple[Colour, ...] = ()
    taught: tuple[Colour, ...] = ()
    strangers: tuple[str, ...] = ()


def palette_of(
    source: PatchSource, known: Sequence[Colour], seed: int, check: Callable[[], None]
) -> Palette:
    """Sort the colours of the tiles with a mask by what a network knows.

    Parameters
    ----------
    known
        Without any, the network knows whatever teaches it now.
    check
        Called before every tile that is read; may raise to end the work.
    """
    own = {}
    for name in source.labelled:
        check()
        own[name] = colour_of(source.read(name).image)
    taught = different([*known, *own.values()])
    strange = [name for name, its in own.items() if known and its and is_unlike(its, known)]
    if not strange:
        return Palette(taught, taught)
    asked = sorted(draw(len(strange), min(_ASKED, len(strange)), 0, seed, "strangers"))
    alike = (its for name, its in own.items() if name not in strange)
    return Palette(different([*known, *alike]), taught, tuple(strange[index] for index in asked))


def share_right(
    model: SemiMoE,
    tiles: Sequence[PreparedTile],
    settings: RoundSettings,
    check: Callable[[], None],
) -> float:
    """Return which share of the pixels of labelled tiles gets its class, in [0, 1].

    The tiles are seen once, in colours that the network knows. Ignored pixels do not count.

    Parameters
    ----------
    settings
        Device and precision, and whether to fit to each tile.
    check
        Called before every tile; may raise to end the work.
    """
    how = PredictSettings(device=settings.device, adapt=settings.adapt)
    predictor = Predictor(model, how, mixed_precision=settings.mixed_precision)
    predictor.views = first_views(1)
    marked = map_slices(model)["gated", "segmentation"]
    right = counted = 0
    for tile in tiles:
        check()
        assert tile.index is not None, "labelled tiles have masks"
        image = np.ascontiguousarray(tile.image.cpu().numpy().transpose(1, 2, 0))
        found = predictor.working_maps(image, model.settings.um_per_px)[marked].argmax(0)
        labels, kinds = tile.index.cpu()
        counts = labels != IGNORE
        right += int(((found == kinds) & counts).sum())
        counted += int(counts.sum())
    return right / max(1, counted)
