"""Annotations of QuPath, one GeoJSON file for an image, as instance ids."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_semimoe.core.errors import ImageReadError
from napari_semimoe.core.values import IGNORE
from napari_semimoe.project.images import refuse_empty
from napari_semimoe.project.masks import (
    class_of,
    only_class_notes,
    refuse_other_image,
    refuse_too_many,
)
from napari_semimoe.project.polygons import Ring

SUFFIX = ".geojson"
#: Member of a collection that was written here: of which image of which project it is.
MARK = "semimoe"
#: Member of such a collection: the parts of the image that it is of, as y0, x0, y1, x1.
TILES = "semimoe_tiles"
#: How a collection begins of what a network marked here, which no person has changed.
PREDICTED_HEAD = {"type": "FeatureCollection", MARK: {"kind": "predicted"}}
#: QuPath leaves objects of this class out of measurements.
IGNORE_CLASS = "Ignore*"
#: QuPath's class of an area in which objects were drawn.
REGION_CLASS = "Region*"
#: Kinds of QuPath's objects that are places for others, in small letters.
_PLACES = ("root", "tile", "tmacore")
#: Coordinates are smaller than this, in pixels.
_FAR = 1e9

#: The name of a feature's class ("" where it has none), and its polygons.
_Object = tuple[str, list[list[Ring]]]


def is_prediction(path: Path) -> bool:
    """Whether a file holds what a network marked here; its first bytes tell."""
    head = json.dumps(PREDICTED_HEAD)[:-1].encode()
    try:
        with path.open("rb") as file:
            return file.read(len(head)) == head
    except OSError:
        return False


def read_geojson(
    path: Path, shape: tuple[int, int], class_names: Sequence[str], sha256: str | None
) -> tuple[NDArray[np.uint16], dict[int, int], list[str]]:
    """Read polygons: each feature is one instance; small ones lie over large ones.

    A pixel belongs to a polygon where its centre does, that of the first at (0.5, 0.5). What
    lies outside the image is cut off. An object of the class ``Ignore*`` must not teach,
    one of the background's class is background, and ``Region*`` marks no object; neither does a
    tile, the core of a microarray, or one without a class around others that have one. Of a file
    that was exported here only the tiles that had a mask count; the rest of the image must not
    teach.

    Parameters
    ----------
    path
        A FeatureCollection, a list of features, or one feature, in pixels of the whole image.
    shape
        Height and width of the image.
    class_names
        The project's classes, the background first.
    sha256
        Content hash of the image, or None where it is not known.

    Returns
    -------
    tuple
        ``(H, W)`` uint16 instance ids, the class index of each, and sentences about what was
        left out or taken for another class.

    Raises
    ------
    OtherImageError
        If it was exported here for another image.
    ImageReadError
        If it is no such file, marks nothing of the image, or has a class that the project lacks.
    """
    read, about = _features(path)
    refuse_other_image(path, about.get(MARK), sha256)
    unsaid = _unsaid(about, shape, path)
    if MARK in about and not read:  # an image without any object
        return np.where(unsaid, IGNORE, 0).astype(np.uint16), {}, []
    features = [_parsed(each, path, nr) for nr, each in enumerate(read, start=1)]
    places = sum(isinstance(feature, str) for feature in features)
    drawn = [feature for feature in features if isinstance(feature, tuple)]
    named = [each for each in drawn if each[0].casefold() != REGION_CLASS.casefold()]
    objects = _without_frames(named)
    if not objects:
        raise ImageReadError(
            f"The annotations {path.name} must hold at least one object with an area, got "
            f"none among {len(features)} features. Draw the objects and export them again; "
            "where there are none, give a black PNG as the mask."
        )
    refuse_too_many(len(objects), path)
    labels, classes, unseen, hidden = _painted(objects, shape, class_names, path)
    if unseen == len(objects):
        raise ImageReadError(
            f"The annotations {path.name} must lie on their image of {shape[1]} x {shape[0]} px, "
            f"got {unseen} that cover no pixel of it. Export those of this image, in pixels."
        )
    left_out = {
        "points and lines": len(features) - places - len(drawn),
        "tiles, cores and whole images of QuPath": places,
        f"regions ({REGION_CLASS})": len(drawn) - len(named),
        "areas without a class around classified objects": len(named) - len(objects),
        "objects that cover no pixel of the image": unseen,
        "objects that lie wholly under others": hidden,
    }
    notes = [f"{path.name}: {what} were left out: {n}." for what, n in left_out.items() if n]
    if MARK not in about and ((labels != 0) & (labels != IGNORE)).all():
        notes.append(
            f"{path.name}: objects cover the whole image. If one of them is only the area that "
            f"was looked at, make its class {REGION_CLASS} and add it again."
        )
    labels[unsaid] = IGNORE
    return labels, classes, notes + _taken_for_another(objects, class_names)


def _without_frames(objects: Sequence[_Object]) -> list[_Object]:
    """Leave out what has no class and lies around an object that has one: where was looked."""
    no_class = {"", IGNORE_CLASS.casefold()}
    inner = [rings for name, rings in objects if rings and name.casefold() not in no_class]
    if not inner:
        return list(objects)
    low, high = (np.array(each) for each in zip(*map(_ends, inner), strict=True))

    def is_frame(name: str, polygons: list[list[Ring]]) -> bool:
        if name or not polygons:
            return False
        first, last = _ends(polygons)
        within = np.flatnonzero(((low >= first) & (high <= last)).all(axis=1))
        return any(_encloses(polygons, inner[nr]) for nr in within)

    return [each for each in objects if not is_frame(*each)]


def _ends(polygons: Sequence[Sequence[Ring]]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the least and the greatest x and y."""
    points = np.concatenate([rings[0] for rings in polygons])
    return points.min(axis=0), points.max(axis=0)


def _encloses(outer: Sequence[Sequence[Ring]], inner: Sequence[Sequence[Ring]]) -> bool:
    """Whether most corners of some polygons lie in others and not in their holes."""
    from skimage.measure import points_in_poly

    points = np.concatenate([rings[0] for rings in inner])
    inside = np.zeros(len(points), bool)
    for ring in (ring for rings in outer for ring in rings):
        inside ^= points_in_poly(points, ring)
    return bool(inside.mean() > 0.5)


def _taken_for_another(objects: Sequence[_Object], class_names: Sequence[str]) -> list[str]:
    """Return a sentence for each class that the project lacks and whose objects count all the same.

    Those of a project of several classes are refused (`class_of`), but for those without any.
    """
    if len(class_names) == 2:
        names = {name for name, _ in objects if name.casefold() != IGNORE_CLASS.casefold()}
        return only_class_notes(names, class_names)
    sentence = (
        f"Objects without a class were added as {class_names[1]}, the project's first. If they "
        "are something else, classify them and add the annotations again."
    )
    return [sentence] if any(not name for name, _ in objects) else []


def _unsaid(about: Mapping[str, Any], shape: tuple[int, int], path: Path) -> NDArray[np.bool_]:
    """Return the pixels of which an export says nothing: those of tiles without a mask."""
    unsaid = np.full(shape, TILES in about)
    try:
        for y0, x0, y1, x1 in about.get(TILES, ()):
            unsaid[y0:y1, x0:x1] = False
    except (TypeError, ValueError) as error:
        raise ImageReadError(
            f"{TILES} in {path.name} must list y0, x0, y1, x1 of each tile, got something else "
            f"({error}). Export it again."
        ) from error
    return unsaid


def _painted(
    objects: Sequence[_Object], shape: tuple[int, int], class_names: Sequence[str], path: Path
) -> tuple[NDArray[np.uint16], dict[int, int], int, int]:
    """Return instance ids, the class of each, and how many objects cover no pixel or none left."""
    labels = np.zeros(shape, np.uint16)
    classes: dict[int, int] = {}
    unseen, painted = 0, set()
    told: list[tuple[int, list[list[Ring]]]] = []
    for name, polygons in objects:
        value = IGNORE
        if name.casefold() != IGNORE_CLASS.casefold():
            index = class_of(name, class_names, path)
            value = len(classes) + 1 if index else 0
            classes |= {value: index} if index else {}
        told.append((value, polygons))
    for value, polygons in sorted(told, key=lambda each: -_area(each[1])):
        if sum(_fill(labels, rings, value) for rings in polygons):
            painted.add(value)
        else:
            unseen += 1
    hidden = painted - {0, IGNORE} - set(np.unique(labels).tolist())
    return labels, classes, unseen, len(hidden)


def _features(path: Path) -> tuple[list[Any], dict[str, Any]]:
    """Return the features and the collection that they are in, empty without one."""
    refuse_empty(path)
    try:
        read = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise ImageReadError(
            f"{path.name} is cut off or damaged: it is no JSON ({error}). Export it again."
        ) from error
    about: dict[str, Any] = {}
    if isinstance(read, dict):
        about = {} if read.get("type") == "Feature" else read
        read = about.get("features") if about else [read]
    if not isinstance(read, list):
        raise ImageReadError(
            f"The annotations {path.name} must be GeoJSON features, got other JSON. "
            "Export the objects from QuPath as GeoJSON."
        )
    return read, about


def _parsed(feature: Any, path: Path, number: int) -> _Object | str | None:
    """Return a feature's class and polygons; its kind if it is a place; None without an area."""
    try:
        about = feature.get("properties") or {}
        if (kind := str(about.get("objectType")).lower()) in _PLACES:
            return kind
        parts = _parts_of(feature["geometry"] or {})
        if not parts:
            return None
        said = about.get("classification") or {}
        names = said.get("names") or [said.get("name") or ""]
        if not isinstance(names, list):
            raise TypeError("'names' is no list")
        name = ": ".join(names)
        return name, [[_ring(ring) for ring in part] for part in parts if part]
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise ImageReadError(
            f"Feature {number} of {path.name} must be a GeoJSON feature with coordinates in pixels "
            f"and a named class or none, got something else ({error}). Export it again."
        ) from error


def _parts_of(geometry: Mapping[str, Any]) -> Sequence[Any]:
    """Return the coordinates of each polygon."""
    kind = geometry.get("type")
    if kind == "GeometryCollection":
        return [part for each in geometry["geometries"] for part in _parts_of(each)]
    if kind == "Polygon":
        return [geometry["coordinates"]]
    return geometry["coordinates"] if kind == "MultiPolygon" else ()


def _ring(points: Sequence[Sequence[float]]) -> Ring:
    ring = np.array([point[:2] for point in points], float)
    if ring.shape != (len(points), 2) or not np.abs(ring).max() < _FAR:
        raise ValueError("these are no x and y")
    return ring


def _area(polygons: Sequence[Sequence[Ring]]) -> float:
    """Return the area of polygons, in pixels; the first ring is the outline, others are holes."""
    return sum(_enclosed(rings[0]) - sum(map(_enclosed, rings[1:])) for rings in polygons)


def _enclosed(ring: Ring) -> float:
    (x, y), (x_next, y_next) = ring.T, np.roll(ring, -1, axis=0).T
    return abs(float((x * y_next - x_next * y).sum())) / 2


def _fill(labels: NDArray[np.uint16], rings: Sequence[Ring], value: int) -> int:
    """Give the pixels of a polygon with holes a value; return how many they are."""
    points, size = np.concatenate(rings), labels.shape[::-1]
    x0, y0 = np.clip(np.floor(points.min(axis=0)), 0, size).astype(int)
    x1, y1 = np.clip(np.ceil(points.max(axis=0)), 0, size).astype(int)
    part = labels[y0:y1, x0:x1]
    inside = _inside([ring - (x0, y0) for ring in rings], part.shape)
    part[inside] = value
    return int(inside.sum())


def _inside(rings: Sequence[Ring], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return which pixels' centres lie in an odd number of rings.

    Every edge turns the pixels to the right of it over, in each row whose centre it crosses. The
    fillers of Pillow also take pixels whose centres lie outside, and scikit-image's asks every
    pixel about every edge, which takes minutes for the outline of a tissue.
    """
    height, width = shape
    ends = np.concatenate([np.stack([ring, np.roll(ring, -1, axis=0)], 1) for ring in rings])
    first, past = np.clip(np.ceil(np.sort(ends[..., 1]) - 0.5), 0, height).astype(int).T
    edge = np.repeat(np.arange(len(ends)), past - first)
    row = np.arange(len(edge)) - np.repeat(np.cumsum(past - first) - past, past - first)
    (xa, ya), (xb, yb) = ends[edge, 0].T, ends[edge, 1].T
    x = xa + (row + 0.5 - ya) * (xb - xa) / (yb - ya)
    turned = np.zeros((height, width + 1), np.uint8)
    np.bitwise_xor.at(turned, (row, np.clip(np.ceil(x - 0.5), 0, width).astype(int)), 1)
    return np.bitwise_xor.accumulate(turned, axis=1)[:, :width].astype(bool)
