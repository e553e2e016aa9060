"""Three rounds on GlaS with simulated corrections between them, then one on spoiled masks.

    python -m benchmarks.corrections --project FOLDER [--steps 200] [--out FILE.json]

The project starts with 6 masks and 17 validation images of other patients; the network starts
from nothing. After each round a simulated person corrects the next tiles: errors that are deeper
than a few pixels are seen and mended, finer ones stay. The last round learns from masks turned
inside out; its model must not take over. The project stays, to be looked at in the window.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_opening, label
from skimage.morphology import disk, reconstruction
from skimage.segmentation import watershed

from benchmarks.glas_data import GLAS, patients
from napari_semimoe.core.settings import ModelSettings, RoundSettings
from napari_semimoe.core.states import Pool, RoundState
from napari_semimoe.jobs import ProcessEngine
from napari_semimoe.project.records import RoundRecord
from napari_semimoe.session.session import Session
from napari_semimoe.session.start_from import StartFrom, StartKind

SPLIT = "heldout-17-0"
FIRST, EACH, UNLABELLED = 6, 6, 24
ROUNDS = 3
#: A person sees errors that a disk of this radius fits into.
SEEN_PX = 4
NETWORK = ModelSettings(um_per_px=2.0)
_PATIENCE = 3600.0


def main() -> int:
    """Run everything, print a line for each round; 1 if the spoiled round's model took over."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--project", type=Path, required=True, help="a new folder")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, help="write the rounds as JSON, too")
    options = parser.parse_args()
    with (
        closing(ProcessEngine()) as engine,
        closing(Session(engine, author="simulated person")) as session,
    ):
        records = run(session, options)
    if options.out:
        options.out.write_text(json.dumps([_plain(each) for each in records], indent=1) + "\n")
    return int(records[-1].state is RoundState.PROMOTED)


def run(session: Session, options: argparse.Namespace) -> list[RoundRecord]:
    """Return the three rounds, and the spoiled one."""
    folder = GLAS.folder(options.data)
    corrected = make_project(session, options.project, folder)
    settings = RoundSettings(
        max_steps=2 * options.steps,
        threads=options.threads,
        crop_px=160,
        labelled_only=0.5,
        pseudo_views=4,
        learning_rate=2e-3,
    )
    nothing = StartFrom(StartKind.NOTHING)
    records = [train(session, settings, model=NETWORK, start=nothing, name="six masks")]
    later = settings.changed(max_steps=options.steps, labelled_only=0.25, learning_rate=1e-3)
    for number in range(1, ROUNDS):
        fixed = correct(session, folder, corrected[(number - 1) * EACH : number * EACH])
        name = f"{FIRST + number * EACH} masks"
        print(f"corrected {EACH} tiles, {fixed:.1%} of their pixels", flush=True)
        records.append(train(session, later, name=name))
    before = spoil(session)
    records.append(train(session, later, name="masks inside out"))
    for tile_id, labels in before.items():
        session.accept(tile_id, labels)
    return records


def make_project(session: Session, path: Path, folder: Path) -> list[int]:
    """Fill a new project; return the tiles to correct, in order."""
    roles = GLAS.roles(SPLIT)
    session.new(path, name="GlaS, corrected")
    teaching = roles["labelled"][:FIRST]
    _add(session, folder, roles["validation"], Pool.VALIDATION)
    _add(session, folder, teaching, Pool.LABELLED)
    rest = [*roles["labelled"][FIRST:], *roles["unlabelled"]][:UNLABELLED]
    _add(session, folder, rest, Pool.UNLABELLED)
    known = {tile.name: tile.id for tile in session.tiles()}
    return [known[name] for name in rest]


def _add(session: Session, folder: Path, names: Sequence[str], pool: Pool) -> None:
    place, patient = folder / "train", patients(folder)
    images = [place / f"{name}.png" for name in names]
    masks = [place / f"{name}_anno.png" for name in names]
    known = {"um_per_px": GLAS.um_per_px, "patient_of": {name: patient[name] for name in names}}
    if pool is Pool.UNLABELLED:
        session.add_files(images, pool=pool, **known)
        return
    session.add_files([*images, *masks], **known)
    wanted = set(names)
    for tile in session.tiles():
        if tile.name in wanted and tile.pool is not pool:
            session.set_pool(tile.id, pool)


def train(session: Session, settings: RoundSettings, *, name: str, **how: Any) -> RoundRecord:
    """Train a round to its end, name it, and print how it ended."""
    print(session.round_plan(settings, how.get("start", StartFrom())).sentence, flush=True)
    number = session.start_round(settings, **how)
    session.name_round(number, name)
    if not session.wait_idle(_PATIENCE):
        raise TimeoutError(f"Round {number} did not end within {_PATIENCE:.0f} s.")
    assert session.project is not None, "it was made above"
    record = session.project.round(number)
    report = record.report or {}
    old, new = report.get("base_validation"), report.get("validation")
    before = f"{old['dice']:.3f} -> " if old else ""
    print(f"round {number} ({name}): {record.state}, Dice {before}{new['dice']:.3f}", flush=True)
    return record


def correct(session: Session, folder: Path, tile_ids: Iterable[int]) -> float:
    """Accept tiles as a person would leave them; return the share of pixels that changed."""
    changed = []
    assert session.project is not None, "it is open"
    for tile_id in tile_ids:
        session.select(tile_id)
        if not session.wait_idle(_PATIENCE):
            raise TimeoutError(f"Tile {tile_id} was not predicted.")
        prediction = session.project.read_prediction(tile_id)
        assert prediction is not None, "it was waited for"
        truth = GLAS.read(folder, session.project.tile(tile_id).name).labels
        assert truth is not None, "training images have masks"
        shown = prediction.instances.astype(np.uint16)
        labels = mended(shown, truth)
        session.accept(tile_id, labels, shown)
        changed.append(np.mean((labels > 0) != (shown > 0)))
    return float(np.mean(changed))


def mended(shown: NDArray[np.uint16], truth: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Return a mask ``(H, W)`` in which every error that is wide enough to be seen is right."""
    wrong = (shown > 0) != (truth > 0)
    seeds = binary_opening(wrong, disk(SEEN_PX))
    seen = reconstruction(seeds.astype(np.uint8), wrong.astype(np.uint8)) > 0
    tissue = np.where(seen, truth > 0, shown > 0)
    # What is left beside a true gland, too thin to be seen, belongs to it and makes no seam.
    glands = watershed(np.zeros(tissue.shape), np.where(tissue, truth, 0), mask=tissue)
    own, _ = label(tissue & (glands == 0))
    return (glands + (own + int(truth.max())) * (own > 0)).astype(np.uint16)


def spoil(session: Session) -> dict[int, NDArray[np.uint16]]:
    """Turn every mask that teaches inside out; return what they were, by tile."""
    assert session.project is not None, "it is open"
    before = {}
    for tile in session.tiles():
        labels = session.project.read_labels(tile.id)
        if labels is not None and tile.pool in (Pool.LABELLED, Pool.CURATED):
            before[tile.id] = labels
            session.accept(tile.id, (labels == 0).astype(np.uint16), labels)
    return before


def _plain(record: RoundRecord) -> dict[str, Any]:
    report = record.report or {}
    keys = ("steps", "seconds", "labelled", "unlabelled", "validation", "base_validation")
    return {
        "round": record.number,
        "state": record.state.value,
        "settings": record.settings,
        **{key: report.get(key) for key in keys},
    }


if __name__ == "__main__":
    raise SystemExit(main())
