"""Curated masks as OME-Zarr: one image group per tile, with the masks in its ``labels``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Unpack

import numpy as np

from napari_semimoe.core.colours import as_bytes, class_colour, instance_colour
from napari_semimoe.core.errors import ProjectError
from napari_semimoe.core.values import IGNORE
from napari_semimoe.project.exporting import (
    CuratedTile,
    ExportReport,
    HowToExport,
    export_files,
    identity,
    read_curated,
    refuse_foreign,
    write_export,
)
from napari_semimoe.project.project import Project
from napari_semimoe.project.records import TileRecord

if TYPE_CHECKING:
    import zarr

Version = Literal["0.4", "0.5"]

#: Name of the label image inside ``labels``.
LABEL_NAME = "curated"
#: Attribute that holds where a mask comes from; also how an export knows its own files.
PROVENANCE = "semimoe"

CHUNK_PX = 512
SHARD_PX = 2048
#: The smallest level of a pyramid has about this many pixels per side.
SMALLEST_PX = 256


@dataclass(frozen=True, slots=True)
class _Place:
    """What the image and its labels have in common."""

    version: Version
    um_per_px: float
    factors: tuple[int, ...]

    def arguments(self, axes: str) -> dict[str, Any]:
        """Return arguments of both writers of ome-zarr."""
        from ome_zarr.format import FormatV04, FormatV05

        return {
            "axes": axes,
            "fmt": FormatV04() if self.version == "0.4" else FormatV05(),
            "scaler": None,  # the default of write_labels overrides scale_factors
            "scale_factors": list(self.factors),
            "scale": {axis: self.um_per_px if axis in "yx" else 1.0 for axis in axes},
            "axes_units": {"y": "micrometer", "x": "micrometer"},
            "storage_options": self._storage(axes),
        }

    def _storage(self, axes: str) -> dict[str, Any]:
        before = (1,) * (len(axes) - 2)
        if self.version == "0.4":  # zarr 2 has no shards
            return {"chunks": (*before, CHUNK_PX, CHUNK_PX)}
        return {
            "chunks": (*before, CHUNK_PX, CHUNK_PX),
            "shards": (*before, SHARD_PX, SHARD_PX),
        }


def export_ome_zarr(
    project: Project,
    out: Path | str,
    *,
    version: Version = "0.5",
    **how: Unpack[HowToExport],
) -> ExportReport:
    """Write ``<tile>.zarr`` for each curated tile.

    Each holds the RGB image and ``labels/curated`` (uint16 instance ids at native size, with
    colours, class and size of every object, and the mask's provenance). 65535 marks pixels
    that must not teach. An earlier export of the same tile is replaced in one step.

    Parameters
    ----------
    version
        OME-Zarr version; "0.4" for programs that do not read zarr 3 yet.
    how
        See `HowToExport`.

    Raises
    ------
    ProjectError
        If there is nothing to export, or a file of another program is in the way.
    StorageError
        If the disk refused.
    """
    if version not in ("0.4", "0.5"):
        raise ProjectError(f"OME-Zarr can be written as 0.4 or 0.5, got {version!r}.")

    def write(path: Path, tiles: Sequence[TileRecord]) -> None:
        curated = read_curated(project, tiles[0])
        write_export(path, lambda target: write_tile(project, curated, target, version))

    def refuse(path: Path, tiles: Sequence[TileRecord]) -> None:
        own = identity(project, tiles[0]).items() <= _provenance(path).items()
        refuse_foreign(path, is_own=own)

    return export_files(project, out, ".zarr", write, refuse=refuse, **how)


def write_tile(project: Project, curated: CuratedTile, path: Path, version: Version) -> None:
    """Write one tile's image and mask as a new OME-Zarr group."""
    import zarr
    from ome_zarr.writer import write_image

    tile = curated.tile
    place = _Place(version, tile.um_per_px, _factors(curated.labels.shape))
    root = zarr.open_group(str(path), mode="w", zarr_format=2 if version == "0.4" else 3)
    pixels = np.moveaxis(project.read_image(tile.id), -1, 0)  # (3, H, W)
    write_image(pixels, root, name=tile.name, omero=_omero(tile.name), **place.arguments("cyx"))
    root.create_group("labels")  # zarr makes a parent by a hard link, which not all disks know
    _write_labels(root, curated, project.classes, place)
    provenance = curated.provenance(project)
    root.attrs[PROVENANCE] = provenance
    root[f"labels/{LABEL_NAME}"].attrs[PROVENANCE] = provenance
    offset = {"y": tile.box.y0 * tile.um_per_px, "x": tile.box.x0 * tile.um_per_px}
    for group in (root, root[f"labels/{LABEL_NAME}"]):
        _move(group, offset)


def _move(group: zarr.Group | zarr.Array, offset: Mapping[str, float]) -> None:
    """Put a pyramid where its tile lies in the image, in micrometers."""
    if not any(offset.values()):
        return
    attributes: dict[str, Any] = dict(group.attrs)
    about = attributes.get("ome", attributes)
    for pyramid in about["multiscales"]:
        by = [offset.get(axis["name"], 0.0) for axis in pyramid["axes"]]
        for level in pyramid["datasets"]:
            scale, *rest = level["coordinateTransformations"]
            before = rest[0]["translation"] if rest else [0.0] * len(by)
            moved = [one + two for one, two in zip(before, by, strict=True)]
            told = {"type": "translation", "translation": moved}
            level["coordinateTransformations"] = [scale, told]
    group.attrs.update(attributes)


def _write_labels(
    root: zarr.Group, curated: CuratedTile, classes: tuple[str, ...], place: _Place
) -> None:
    from ome_zarr.writer import write_labels

    numbers, areas = np.unique(curated.labels, return_counts=True)
    sizes = {0: 0} | dict(zip(numbers.tolist(), areas.tolist(), strict=True))
    write_labels(
        curated.labels,
        root,
        name=LABEL_NAME,
        label_metadata={
            "colors": [{"label-value": n, "rgba": _rgba(n, curated, classes)} for n in sizes],
            "properties": _properties(sizes, curated, classes),
            "source": {"image": "../../"},
        },
        **place.arguments("yx"),
    )
    if place.version == "0.5":  # ome-zarr leaves out the version that the format asks for
        attributes = root["labels"].attrs
        about: dict[str, Any] = dict(attributes)
        attributes["ome"] = {"version": "0.5", **about["ome"]}


def _properties(
    sizes: dict[int, int], curated: CuratedTile, classes: tuple[str, ...]
) -> list[dict[str, Any]]:
    """Describe every object; the same ids as the colours, as readers demand."""
    names = {0: classes[0], IGNORE: "not to be learned from"}
    of = curated.annotation.classes
    um2 = curated.tile.um_per_px**2
    return [
        {
            "label-value": number,
            "class": names.get(number, classes[of.get(number, 1)]),
            "area_um2": round(area * um2, 3),
        }
        for number, area in sizes.items()
    ]


def _rgba(number: int, curated: CuratedTile, classes: tuple[str, ...]) -> list[int]:
    if number in (0, IGNORE):
        return [0, 0, 0, 0] if number == 0 else [128, 128, 128, 255]
    if len(classes) <= 2:
        return [*as_bytes(instance_colour(number)), 255]
    return [*as_bytes(class_colour(curated.annotation.classes.get(number, 1), number)), 255]


def _omero(name: str) -> dict[str, Any]:
    window = {"start": 0, "end": 255, "min": 0, "max": 255}
    channels = (("red", "FF0000"), ("green", "00FF00"), ("blue", "0000FF"))
    return {
        "name": name,
        "channels": [
            {"label": label, "color": colour, "window": window, "active": True}
            for label, colour in channels
        ],
    }


def _factors(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return by what the levels below the full image are smaller."""
    factors, factor = [], 2
    while max(shape) // factor >= SMALLEST_PX and min(shape) // factor >= 1:
        factors.append(factor)
        factor *= 2
    return tuple(factors)


def is_export_of(project: Project, path: Path) -> bool:
    """Whether a folder is the export of a tile of a project."""
    return _provenance(path).get("project_created") == project.created


def _provenance(path: Path) -> dict[str, Any]:
    """Return what an export says of itself; nothing where there is none of ours."""
    import zarr

    try:
        found = zarr.open_group(str(path), mode="r").attrs.get(PROVENANCE)
    except (OSError, ValueError, KeyError):
        return {}
    return dict(found) if isinstance(found, Mapping) else {}
