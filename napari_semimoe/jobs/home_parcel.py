"""The person's computer packs a job and takes its answer home."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
from numpy.typing import NDArray

from napari_semimoe import __version__
from napari_semimoe.core.disk import discard, storing, written_whole
from napari_semimoe.core.errors import JobError
from napari_semimoe.core.values import Box
from napari_semimoe.jobs.manifest_source import ManifestSource
from napari_semimoe.jobs.parcel import (
    ANSWER,
    JOB,
    ROUND,
    WEIGHT_KEYS,
    add_json,
    inside,
    round_files,
    write_file,
)
from napari_semimoe.project.arrays import read_array

#: More than this does not travel in one piece: it would fill the scheduler's memory.
LIMIT_BYTES = 2 * 1024**3


def pack_job(kind: str, payload: Mapping[str, Any], wanted: Collection[str] = ()) -> bytes:
    """Return a job with everything that it reads.

    Parameters
    ----------
    payload
        As the local worker takes it: paths of this computer.
    wanted
        SHA-256 of the weights that the other machine lacks; others travel by name only.
    """
    far = dict(payload)
    stream = io.BytesIO()
    with ZipFile(stream, "w") as parcel:
        for key in WEIGHT_KEYS:
            if payload.get(key):
                far[key] = _add_weights(parcel, Path(payload[key]), wanted)
        if "image" in payload:
            far["image"] = _add_image(parcel, payload["image"])
        if "files" in payload:
            far["files"] = [_add_file(parcel, i, Path(f)) for i, f in enumerate(payload["files"])]
        if "manifest" in payload:
            far["manifest"] = _add_tiles(parcel, Path(payload["manifest"]))
            far["out_dir"] = _add_round(parcel, Path(payload["out_dir"]))
        add_json(parcel, JOB, {"version": __version__, "kind": kind, "payload": far})
    return _within_limit(stream.getvalue())


def round_key(payload: Mapping[str, Any]) -> str | None:
    """Return what tells a round from all others, so that it finds its own folder again."""
    if "manifest" not in payload:
        return None
    digest = hashlib.sha256(Path(payload["manifest"]).read_bytes())
    digest.update(json.dumps(payload, sort_keys=True).encode())
    return digest.hexdigest()[:32]


def _add_weights(parcel: ZipFile, path: Path, wanted: Collection[str]) -> dict[str, str]:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest in wanted and f"weights/{digest}" not in parcel.namelist():
        parcel.write(path, f"weights/{digest}")
    return {"sha256": digest, "name": path.name}


def _add_image(parcel: ZipFile, image: Mapping[str, Any]) -> dict[str, Any]:
    pixels = read_array(Path(image["array"]), Box(*image["box"]))
    _add_array(parcel, "image.npy", pixels)
    return dict(image) | {"array": "image", "box": [0, 0, *pixels.shape[:2]]}


def _add_file(parcel: ZipFile, index: int, path: Path) -> str:
    name = f"files/{index}/{path.name}"
    if path.is_file():  # one that is gone is refused there, as it would be here
        parcel.write(path, name)
    return name


def _add_tiles(parcel: ZipFile, manifest: Path) -> list[dict[str, Any]]:
    """Add every tile as the round would read it: only its own part of the image."""
    source = ManifestSource(manifest)
    tiles: list[dict[str, Any]] = []
    for role in ("labelled", "unlabelled", "validation"):
        for name in getattr(source, role):
            patch, number = source.read(name), len(tiles)
            _add_array(parcel, f"images/{number}.npy", patch.image)
            if patch.labels is not None:
                _add_array(parcel, f"annotations/{number}.npy", patch.labels)
            image = {
                "array": f"images/{number}",
                "box": [0, 0, *patch.image.shape[:2]],
                "um_per_px": patch.um_per_px,
                "name": name,
            }
            labels = {"array": f"annotations/{number}"} if patch.labels is not None else None
            classes = {str(key): value for key, value in patch.classes.items()}
            tile = {"name": name, "image": image, "labels": labels, "classes": classes}
            tiles.append({**tile, "role": role})
    return tiles


def _add_round(parcel: ZipFile, folder: Path) -> str:
    """Add the state from which an interrupted round goes on."""
    for name, path in round_files(folder):
        parcel.write(path, f"{ROUND}/{name}")
    return ROUND


def _add_array(parcel: ZipFile, name: str, array: NDArray[Any]) -> None:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=False)
    parcel.writestr(name, stream.getvalue(), zipfile.ZIP_DEFLATED, 1)


def _within_limit(parcel: bytes) -> bytes:
    if len(parcel) > LIMIT_BYTES:
        raise JobError(
            f"A job may take {LIMIT_BYTES / 1e9:.1f} GB to another machine, this one has "
            f"{len(parcel) / 1e9:.1f} GB. Use fewer tiles or files at a time, or work on this "
            "computer."
        )
    return parcel


def unpack_answer(parcel: bytes, payload: Mapping[str, Any]) -> dict[str, Any]:
    """Write the results where the local worker would have, and return the job's last words."""
    with ZipFile(io.BytesIO(parcel)) as opened:
        answer = json.loads(opened.read(ANSWER))
        if "out" in payload:
            _unpack_prediction(opened, Path(payload["out"]))
        for name in opened.namelist() if "out_dir" in payload else ():
            if name.startswith("out_dir/"):
                target = inside(Path(payload["out_dir"]), name.removeprefix("out_dir/"))
                write_file(target, opened.read(name))
    for name in answer.pop("gone", ()):  # last: the new weights are safe now
        discard(inside(Path(payload["out_dir"]), name))
    far = answer.pop("far", None)
    if far is None:
        return answer  # the job was not even unpacked
    pairs = _pairs(far, payload)
    return answer | {key: _home(answer.get(key), pairs) for key in ("result", "error")}


def _unpack_prediction(parcel: ZipFile, out: Path) -> None:
    names = [name for name in parcel.namelist() if name.startswith("out/")]
    if not names:
        return
    with storing(f"The prediction {out.name}"), written_whole(out) as temporary:
        for name in names:
            target = inside(temporary, name.removeprefix("out/"))
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(parcel.read(name))


def _pairs(far: Mapping[str, Any], payload: Mapping[str, Any]) -> list[tuple[str, str]]:
    files = zip(far.get("files", ()), payload.get("files", ()), strict=True)
    places = [(far[key], payload[key]) for key in ("out", "out_dir") if key in far]
    return [*files, *places]


def _home(value: Any, pairs: list[tuple[str, str]]) -> Any:
    """Turn the other machine's paths into those of this computer."""
    if isinstance(value, dict):
        return {key: _home(item, pairs) for key, item in value.items()}
    if isinstance(value, list):
        return [_home(item, pairs) for item in value]
    if not isinstance(value, str):
        return value
    for far, near in pairs:
        if value.startswith(far):
            rest = value.removeprefix(far).replace("\\", "/").strip("/")
            return str(Path(near, rest)) if rest else near
        value = value.replace(far, near)
    return value
