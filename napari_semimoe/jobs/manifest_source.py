"""The tiles of a round, read from the project's manifest without opening the project."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path, PureWindowsPath
from typing import Any

from napari_semimoe.core.errors import ProjectFormatError
from napari_semimoe.core.values import Box, Patch
from napari_semimoe.project.arrays import read_array

_ROLES = ("labelled", "unlabelled", "validation")


class ManifestSource:
    """The patch source of a round: tile names by role, and their pixels when asked.

    Parameters
    ----------
    path
        ``manifest.json`` as `Project.start_round` wrote it: fixed when the round began, so
        that corrections accepted meanwhile belong to the next round.

    Attributes
    ----------
    labelled, unlabelled, validation
        Tile names, each in the manifest's order.
    """

    def __init__(self, path: Path) -> None:
        self._project = Path(path).absolute().parents[2]  # <project>/rounds/<n>/manifest.json
        self._tiles = {tile["name"]: tile for tile in _read_tiles(path)}
        self.labelled = self._names("labelled")
        self.unlabelled = self._names("unlabelled")
        self.validation = self._names("validation")

    def read(self, name: str) -> Patch:
        """Read one tile; only labelled and validation tiles come with their mask."""
        tile = self._tiles[name]
        image = tile["image"]
        labels = None
        if tile["role"] != "unlabelled" and tile["labels"] is not None:
            labels = read_array(self._located(tile["labels"]["array"]))
        return Patch(
            image=read_array(self._located(image["array"]), Box(*image["box"])),
            labels=labels,
            um_per_px=float(image["um_per_px"]),
            name=name,
            classes={int(key): int(value) for key, value in tile["classes"].items()},
        )

    def _located(self, array: str) -> Path:
        """Return where an array lies now: the project may be a copy, or moved since then."""
        folder, name = PureWindowsPath(array).parts[-2:]  # splits the paths of all systems
        path = self._project / folder / name
        return path if path.exists() else self._project / array

    def _names(self, role: str) -> Sequence[str]:
        return tuple(name for name, tile in self._tiles.items() if tile["role"] == role)


def _read_tiles(path: Path) -> list[dict[str, Any]]:
    try:
        tiles = json.loads(Path(path).read_text(encoding="utf-8"))["tiles"]
        roles = {tile["role"] for tile in tiles}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ProjectFormatError(
            f"The list of tiles {path} is missing or damaged ({error}). Start a new round."
        ) from error
    if not roles <= set(_ROLES):
        raise ProjectFormatError(
            f"The list of tiles {path} has the unknown roles {sorted(roles - set(_ROLES))}. "
            "Start a new round with this version."
        )
    return tiles
