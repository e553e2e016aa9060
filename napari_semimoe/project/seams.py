"""Objects that were cut where a large image was cut into tiles, whole again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from napari_semimoe.core.values import IGNORE, Box

#: A tile of the sequence, and the id of an object in it.
Piece = tuple[int, int]


def whole_objects(
    boxes: Sequence[Box], labels: Sequence[NDArray[np.uint16]], classes: Sequence[Mapping[int, int]]
) -> Iterator[tuple[Piece, ...]]:
    """Yield which pieces are one object each: those of one class that meet at a seam.

    Two pieces meet where each is the longest neighbour of the other, and at least half of what the
    smaller shows at the seam lies beside the other: what was kept apart in a tile stays apart.

    Parameters
    ----------
    boxes
        Where the tiles of one image lie in it.
    labels
        ``(H, W)`` instance ids of each tile; `IGNORE` is no object, but each tile's is yielded.
    classes
        Class of the ids of each tile; absent ids are class 1.
    """
    pieces = [
        (tile, int(number))
        for tile, each in enumerate(labels)
        for number in np.unique(each[each > 0])
    ]
    first: dict[Piece, Piece] = {piece: piece for piece in pieces}

    def root(piece: Piece) -> Piece:
        while first[piece] != piece:
            piece = first[piece]
        return piece

    for one, other, beside in _seams(boxes, labels):
        for a, b in _meeting(*beside):
            same = classes[one].get(a, 1) == classes[other].get(b, 1)
            if same and IGNORE not in (a, b):
                ends = sorted((root((one, a)), root((other, b))))
                first[ends[1]] = ends[0]
    groups: dict[Piece, list[Piece]] = {}
    for piece in pieces:
        groups.setdefault(root(piece), []).append(piece)
    yield from map(tuple, groups.values())


def whole_arrays(
    boxes: Sequence[Box], labels: Sequence[NDArray[np.uint16]], classes: Sequence[Mapping[int, int]]
) -> Iterator[tuple[int, NDArray[np.uint16], tuple[int, int]]]:
    """Yield arrays that together show each object once, and whole, see `whole_objects`.

    Yields
    ------
    tuple
        A tile of the sequence; the ids of its objects, either of all that end in it or of one that
        begins in it and goes on in others; the x and y of that array's corner in the image.
    """
    rest = [each.copy() for each in labels]
    for pieces in whole_objects(boxes, labels, classes):
        if len(pieces) > 1:
            yield pieces[0][0], *_mosaic(pieces, boxes, labels)
            for tile, number in pieces:
                rest[tile][labels[tile] == number] = 0
    for tile, each in enumerate(rest):
        yield tile, each, (boxes[tile].x0, boxes[tile].y0)


def unknown_pixels(boxes: Sequence[Box], labels: Sequence[NDArray[np.uint16]]) -> NDArray[np.bool_]:
    """Return ``(H + 2, W + 2)``: where no tile says anything, in the image and a pixel around it.

    Beyond the last tiles the image may go on: there is nothing known of that, either.
    """
    height, width = max(box.y1 for box in boxes), max(box.x1 for box in boxes)
    unknown = np.ones((height + 2, width + 2), bool)
    for box, each in zip(boxes, labels, strict=True):
        unknown[1:-1, 1:-1][box.slices] = each == IGNORE
    return unknown


def _mosaic(
    pieces: Sequence[Piece], boxes: Sequence[Box], labels: Sequence[NDArray[np.uint16]]
) -> tuple[NDArray[np.uint16], tuple[int, int]]:
    """Return an object with the id of its first piece, and the x and y of the array's corner."""
    parts = [boxes[tile] for tile, _ in pieces]
    y0, x0 = min(box.y0 for box in parts), min(box.x0 for box in parts)
    y1, x1 = max(box.y1 for box in parts), max(box.x1 for box in parts)
    found = np.zeros((y1 - y0, x1 - x0), np.uint16)
    for tile, number in pieces:
        box = boxes[tile]
        part = found[box.y0 - y0 : box.y1 - y0, box.x0 - x0 : box.x1 - x0]
        part[labels[tile] == number] = pieces[0][1]
    return found, (x0, y0)


def _seams(
    boxes: Sequence[Box], labels: Sequence[NDArray[np.uint16]]
) -> Iterator[tuple[int, int, tuple[NDArray[np.uint16], NDArray[np.uint16]]]]:
    """Yield two tiles and the ids along both sides of their seam."""
    for one, a in enumerate(boxes):
        for other, b in enumerate(boxes):
            if a.x1 == b.x0 and (rows := _shared(a.y0, a.y1, b.y0, b.y1)):
                left = labels[one][rows.start - a.y0 : rows.stop - a.y0, -1]
                yield one, other, (left, labels[other][rows.start - b.y0 : rows.stop - b.y0, 0])
            if a.y1 == b.y0 and (columns := _shared(a.x0, a.x1, b.x0, b.x1)):
                above = labels[one][-1, columns.start - a.x0 : columns.stop - a.x0]
                below = labels[other][0, columns.start - b.x0 : columns.stop - b.x0]
                yield one, other, (above, below)


def _shared(a0: int, a1: int, b0: int, b1: int) -> range:
    return range(max(a0, b0), min(a1, b1))


def _meeting(a: NDArray[np.uint16], b: NDArray[np.uint16]) -> Iterator[tuple[int, int]]:
    """Yield pairs of ids that are each other's longest neighbour, and long enough."""
    both = (a > 0) & (b > 0)
    pairs, counts = np.unique(np.stack([a[both], b[both]]), axis=1, return_counts=True)
    beside = dict(zip(map(tuple, pairs.T.tolist()), counts.tolist(), strict=True))
    for (one, other), count in beside.items():
        longest = max(c for (i, j), c in beside.items() if i == one or j == other)
        if count == longest and 2 * count >= min((a == one).sum(), (b == other).sum()):
            yield one, other
