"""Other stains: what seeing a tile in known colours is worth (`napari_semimoe.data.colours`).

    python -m benchmarks.stains WEIGHTS... --split heldout-17-0 [--out stains.json]

The held-out tiles are recoloured, each as a whole: brown (its eosin becomes diaminobenzidine), less
eosin, bluer, stronger, paler. Prints their Dice by the honest protocol, fitted as the program does,
without known colours and with them, and how many of the tiles these changed. A checkpoint that
knows no colours gets those of the split's labelled tiles.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from skimage.color import hed2rgb, rgb2hed

from benchmarks.glas_data import held_out_tiles, load_source
from benchmarks.scoring import honest, load_plain, parser_for_weights, settings_of
from napari_semimoe.core.values import Patch
from napari_semimoe.data.colours import colour_of, different, in_known_colours

Image = NDArray[np.uint8]


def brown(image: Image) -> Image:
    """Return an H&E image as if diaminobenzidine had stained what eosin did."""
    haematoxylin, eosin, _ = np.moveaxis(rgb2hed(image), -1, 0)
    stains = np.stack([haematoxylin, np.zeros_like(eosin), eosin], axis=-1)
    return (255 * hed2rgb(stains)).round().astype(np.uint8)


def denser(*gains: float) -> Callable[[Image], Image]:
    """Return what multiplies the optical density of red, green and blue."""

    def change(image: Image) -> Image:
        density = -np.log(np.maximum(image, 1) / 255) * np.array(gains)
        return (255 * np.exp(-density)).round().astype(np.uint8)

    return change


STAINS: dict[str, Callable[[Image], Image]] = {
    "own": lambda image: image,
    "brown": brown,
    "less eosin": denser(0.8, 0.5, 0.8),
    "bluer": denser(1.6, 0.9, 0.6),
    "stronger": denser(1.5, 1.5, 1.5),
    "paler": denser(0.5, 0.5, 0.5),
}


def main() -> None:
    """Print and keep the scores of each checkpoint on each stain."""
    options = parser_for_weights(__doc__.splitlines()[0]).parse_args()
    tiles = held_out_tiles(options.data, options.split, options.role)
    source = load_source(options.data, options.split)
    taught = different(colour_of(source.read(name).image) for name in source.labelled)
    found: dict[str, dict[str, dict[str, float]]] = {}
    for path in options.weights:
        predictor = load_plain(path, settings_of(options))
        known = predictor.model.settings.colours or taught
        predictor.model.settings = predictor.model.settings.changed(colours=())
        scores = found.setdefault(path.parent.name, {})
        for stain, recolour in STAINS.items():
            stained = [replace(tile, image=recolour(tile.image)) for tile in tiles]
            seen = [replace(t, image=in_known_colours(t.image, known)) for t in stained]
            scores[stain] = {
                "as they are": honest(predictor, stained)["dice"],
                "in known colours": honest(predictor, seen)["dice"],
                "changed": _changed(stained, seen),
            }
            print(path.parent.name, stain, json.dumps(scores[stain]), flush=True)
    if options.out:
        options.out.write_text(json.dumps(found, indent=1) + "\n")


def _changed(before: list[Patch], after: list[Patch]) -> int:
    return sum(one.image is not other.image for one, other in zip(before, after, strict=True))


if __name__ == "__main__":
    main()
