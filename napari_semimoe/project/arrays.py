"""zarr arrays on disk: written whole or not at all, readable without a project."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_semimoe.core.disk import discard, storing, written_whole
from napari_semimoe.core.errors import ProjectError, ProjectFormatError
from napari_semimoe.core.values import Box, Prediction

if TYPE_CHECKING:
    import zarr

#: Side of a file's block in pixels: one file per default tile, so few files are flushed.
FILE_PX = 2048
#: Side of the smallest block that is read by itself.
CHUNK_PX = 512
#: What zarr is known to raise on files that are gone, cut off or changed.
_DAMAGE = (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    RuntimeError,
    StopIteration,
)
#: Numbers of errors that say nothing about a file.
_SHORTAGE = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN)


def content_hash(values: NDArray[np.integer]) -> str:
    """Hash an array's size and values, on every computer alike: whatever file they came from."""
    digest = hashlib.sha256(repr(values.shape).encode())
    digest.update(np.ascontiguousarray(values, values.dtype.newbyteorder("<")).data)
    return digest.hexdigest()


def write_array(path: Path, array: NDArray[Any]) -> None:
    """Write an array under a new name: complete and flushed, or absent.

    Parameters
    ----------
    path
        New folder, usually ``*.zarr``; its parent exists.
    array
        ``(H, W)`` or ``(H, W, C)``, any numeric or boolean dtype.
    """
    with written_whole(Path(path)) as temporary:
        _create(str(temporary), array, pixel_axis=0)


def read_array(path: Path, box: Box | None = None) -> NDArray[Any]:
    """Read an array, or the part of it inside ``box`` (level-0 pixels).

    Raises
    ------
    ProjectFormatError
        If the array is missing, incomplete or damaged.
    """
    with _damage_in_words(Path(path)):
        array = _open(str(path))
        return np.asarray(array[box.slices] if box is not None else array[...])


def mend(path: Path, array: NDArray[Any], what: str) -> bool:
    """Write an array again where it is gone or damaged; return whether it was.

    Raises
    ------
    StorageError
        If the disk refused; it names ``what``.
    """
    try:
        read_array(path)
    except ProjectFormatError:
        with storing(what):
            discard(path)
            write_array(path, array)
        return True
    return False


def write_prediction(path: Path, prediction: Prediction) -> None:
    """Write a prediction under a new name: complete and flushed, or absent.

    Maps are kept as 16-bit floats: steps of 0.0005 near 1, half the space of 32 bits.
    """
    import zarr

    names = tuple(prediction.experts)
    maps = [prediction.experts[name] for name in names]
    maps += [prediction.gated[name] for name in prediction.gated]
    maps += [*prediction.class_probabilities, prediction.disagreement]
    about = {
        "experts": list(names),
        "gated": list(prediction.gated),
        "class_count": len(prediction.class_probabilities),
        "classes": {str(key): int(value) for key, value in prediction.classes.items()},
        "gates": np.asarray(prediction.gates, dtype=float).tolist(),
        "expert_names": list(prediction.expert_names),
    }
    with written_whole(Path(path)) as temporary:
        # at once: what is set later replaces a file, which Windows refuses now and then
        zarr.open_group(str(temporary), mode="w", attributes=about)
        _create(f"{temporary}/maps", np.stack(maps).astype(np.float16), pixel_axis=1)
        _create(f"{temporary}/instances", prediction.instances, pixel_axis=0)


def read_prediction(path: Path) -> Prediction:
    """Read what `write_prediction` wrote.

    Raises
    ------
    ProjectFormatError
        If it is missing, incomplete or damaged.
    """
    import zarr

    with _damage_in_words(Path(path)):
        about: dict[str, Any] = dict(zarr.open_group(str(path), mode="r").attrs)
        maps = iter(np.asarray(_open(f"{path}/maps")[...]).astype(np.float32))
        return Prediction(
            experts={name: next(maps) for name in about["experts"]},
            gated={name: next(maps) for name in about["gated"]},
            class_probabilities=np.stack([next(maps) for _ in range(about["class_count"])]),
            instances=np.asarray(_open(f"{path}/instances")[...]),
            classes={int(key): value for key, value in about["classes"].items()},
            disagreement=next(maps),
            gates=np.asarray(about["gates"], dtype=np.float32),
            expert_names=tuple(about["expert_names"]),
        )


@contextlib.contextmanager
def _damage_in_words(path: Path) -> Iterator[None]:
    try:
        yield
    except PermissionError as error:
        raise ProjectFormatError(
            f"{path.name} cannot be read: you have no rights to {error.filename or path}. Ask for "
            "them, or copy the project to a place that you may read."
        ) from error
    except _DAMAGE as error:
        if getattr(error, "errno", None) in _SHORTAGE or "start new thread" in str(error):
            raise ProjectError(
                f"{path.name} cannot be read now ({error}): the computer is short of memory, "
                "processes or open files. Close other programs and try again."
            ) from error
        raise ProjectFormatError(
            f"The stored array {path.name} is missing or damaged "
            f"({error or type(error).__name__}). Restore {path} from a backup of the project."
        ) from error


def _create(path: str, array: NDArray[Any], *, pixel_axis: int) -> None:
    import zarr
    from zarr.codecs import ZstdCodec

    chunk, shard = _blocks(array.shape, pixel_axis)
    target = zarr.create_array(
        path,
        shape=array.shape,
        dtype=array.dtype,
        chunks=chunk,
        shards=shard,
        compressors=ZstdCodec(level=1, checksum=True),  # a changed byte is no other mask
        # an absent file must mean damage, never "all background"
        config={"write_empty_chunks": True},
    )
    target[...] = array


def _blocks(shape: tuple[int, ...], pixel_axis: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    pixels = (pixel_axis, pixel_axis + 1)

    def sides(of: Callable[[int], int], other: Callable[[int], int]) -> tuple[int, ...]:
        return tuple(of(size) if axis in pixels else other(size) for axis, size in enumerate(shape))

    # one map per chunk when maps are stacked before the pixels, all channels when after them
    chunk = sides(lambda size: min(size, CHUNK_PX), lambda size: 1 if pixel_axis else size)
    # a file holds whole chunks
    shard = sides(
        lambda size: FILE_PX if size >= FILE_PX else -(-size // CHUNK_PX) * min(size, CHUNK_PX),
        lambda size: size,
    )
    return chunk, shard


def _open(path: str) -> zarr.Array:
    import zarr

    array = zarr.open_array(path, mode="r")
    chunks = Path(path, "c")
    files = sum(  # not what other programs leave there, such as ._0 or desktop.ini
        part.is_file() and all(map(str.isdigit, part.relative_to(chunks).parts))
        for part in chunks.rglob("*")
    )
    sides = array.shards or array.chunks
    expected = math.prod(-(-size // side) for size, side in zip(array.shape, sides, strict=True))
    if files < expected:
        raise OSError(f"{expected - files} of {expected} parts are gone")
    return array
