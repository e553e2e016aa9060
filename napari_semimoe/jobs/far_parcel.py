"""The machine that does a job unpacks it, and packs the answer."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np

from napari_semimoe import __version__
from napari_semimoe.core.errors import JobError
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
from napari_semimoe.project.arrays import write_array
from napari_semimoe.project.rounds import MANIFEST

#: Payload keys whose paths are translated in what comes back.
_PLACES = ("out", "out_dir", "files")


@dataclass(frozen=True, slots=True)
class FarJob:
    """A job as it lies unpacked on the machine that does it.

    Attributes
    ----------
    payload
        The payload with paths of this machine.
    sent
        Files of ``out_dir`` that came with the job.
    """

    kind: str
    payload: Mapping[str, Any]
    sent: tuple[str, ...]


def missing_weights(parcel: bytes, cache: Path) -> list[str]:
    """Return the SHA-256 of the weights that are neither in the parcel nor in the cache."""
    with ZipFile(io.BytesIO(parcel)) as opened:
        payload = json.loads(opened.read(JOB))["payload"]
        named = [payload[key] for key in WEIGHT_KEYS if payload.get(key)]
        there = set(opened.namelist())
    return [
        weights["sha256"]
        for weights in named
        if f"weights/{weights['sha256']}" not in there and not _cached(cache, weights).is_file()
    ]


def unpack_job(parcel: bytes, folder: Path, cache: Path) -> FarJob:
    """Lay a job out in its own folder; weights go to a cache that outlives it.

    A folder in which the same round was interrupted keeps its own, later, state.
    """
    with ZipFile(io.BytesIO(parcel)) as opened:
        job = json.loads(opened.read(JOB))
        _refuse_other_version(job.get("version"))
        payload = job["payload"]
        _unpack_arrays(opened, folder)
        sent = _unpack_files(opened, folder)
        for key in WEIGHT_KEYS:
            if payload.get(key):
                payload[key] = str(_unpack_weights(opened, cache, payload[key]))
    if "image" in payload:
        payload["image"]["array"] = str(folder / "image.zarr")
    if "files" in payload:
        payload["files"] = [str(folder / name) for name in payload["files"]]
        payload["out_dir"] = str(folder / "results")
    if "out" in payload:
        payload["out"] = str(folder / "prediction")
    if "manifest" in payload:
        payload["out_dir"] = str(folder / ROUND)
        payload["manifest"] = str(_write_manifest(folder / ROUND, payload["manifest"]))
    return FarJob(job["kind"], payload, sent)


def _refuse_other_version(theirs: str | None) -> None:
    if theirs != __version__:
        raise JobError(
            "Both machines need the same version of napari-semimoe, but the job came from "
            f"{theirs} and this worker is {__version__}. Install the same on both."
        )


def pack_answer(answer: Mapping[str, Any], job: FarJob | None) -> bytes:
    """Return a job's last words together with every file that it wrote."""
    words = dict(answer)
    stream = io.BytesIO()
    with ZipFile(stream, "w") as parcel:
        if job is not None:
            words["far"] = {key: job.payload[key] for key in _PLACES if key in job.payload}
            words["gone"] = _add_results(parcel, job)
        add_json(parcel, ANSWER, words)
    return stream.getvalue()


def _add_results(parcel: ZipFile, job: FarJob) -> list[str]:
    """Add all results and return which of the files that came with the job are gone."""
    for key in ("out", "out_dir"):
        root = Path(job.payload.get(key) or "")
        for name, path in round_files(root) if job.payload.get(key) else ():
            parcel.write(path, f"{key}/{name}")
    return [name for name in job.sent if f"out_dir/{name}" not in parcel.namelist()]


def _unpack_arrays(parcel: ZipFile, folder: Path) -> None:
    for name in parcel.namelist():
        if not name.endswith(".npy") or name.startswith(("files/", ROUND)):
            continue
        target = inside(folder, name).with_suffix(".zarr")
        if not target.exists():  # a round that goes on: arrays are whole or absent
            target.parent.mkdir(parents=True, exist_ok=True)
            array = np.load(io.BytesIO(parcel.read(name)), allow_pickle=False)
            write_array(target, array)


def _unpack_files(parcel: ZipFile, folder: Path) -> tuple[str, ...]:
    goes_on = (folder / ROUND).exists()
    sent = []
    for name in parcel.namelist():
        of_round = name.startswith(f"{ROUND}/")
        if of_round:
            sent.append(name.removeprefix(f"{ROUND}/"))
        if name.startswith("files/") or (of_round and not goes_on):
            write_file(inside(folder, name), parcel.read(name))
    return tuple(sent)


def _unpack_weights(parcel: ZipFile, cache: Path, weights: Mapping[str, str]) -> Path:
    path = _cached(cache, weights)
    if not path.is_file():
        write_file(path, parcel.read(f"weights/{weights['sha256']}"))
    os.utime(path.parent)  # used last; the file's own time tells a loaded model from a new one
    return path


def _cached(cache: Path, weights: Mapping[str, str]) -> Path:
    # the file keeps its name, which a checkpoint that starts from it writes down
    return inside(cache, f"{weights['sha256']}/{weights['name']}")


def _write_manifest(folder: Path, tiles: list[dict[str, Any]]) -> Path:
    for tile in tiles:
        for part in (tile["image"], tile["labels"]):
            if part is not None:
                part["array"] += ".zarr"
    path = folder / MANIFEST
    write_file(path, json.dumps({"format": 1, "tiles": tiles}).encode())
    return path
