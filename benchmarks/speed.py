"""Speed and memory of our way against the released way, side by side in one run.

    python -m benchmarks.speed [--device cpu] [--threads 2] [--repeats 3] [--out speed.json]

Two pieces of work: predicting a 512 x 512 tile (without the second pass that fits the network to
it, which the released way has not), and one training step on 2 labelled and 2
unlabelled crops of 256 x 256. The released way: three U-Nets of width 64, float32, features mixed
at full width, and a backward pass for each of the two losses. Each case runs in a process of its
own, so that its peak memory is its own. ``lite0`` is the network around EfficientNet-Lite0, which
learns too.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from napari_semimoe.core.encoders import EfficientNetLiteShape
from napari_semimoe.core.settings import ModelSettings, PredictSettings, RoundSettings
from napari_semimoe.core.values import Patch
from napari_semimoe.data.prepare import prepare
from napari_semimoe.data.synthetic import make_tissue
from napari_semimoe.data.targets import Targets, targets_from_mask
from napari_semimoe.model.semi_moe import MoEOutputs, SemiMoE
from napari_semimoe.training.device import set_threads
from napari_semimoe.training.learner import Learner
from napari_semimoe.training.memory import reuse_memory
from napari_semimoe.training.predict import Predictor
from napari_semimoe.training.pseudo import targets_from_outputs
from napari_semimoe.training.step import head_losses
from napari_semimoe.training.views import PLAIN

CASES = ("released", "paper", "compact", "lite0")
WORK = ("predict", "step")
LITE0 = EfficientNetLiteShape(
    stem=32, widths=(16, 24, 40, 80, 112, 192, 320), depths=(1, 2, 2, 3, 3, 4, 1)
)


class ReleasedForward(torch.nn.Module):
    """The published forward pass, written plainly: gated features are mixed at full width."""

    def __init__(self, model: SemiMoE) -> None:
        super().__init__()
        self.model = model

    def forward(self, image: Tensor) -> MoEOutputs:
        """Return the same outputs as `SemiMoE`."""
        model = self.model
        features = model.backbone((image - model.mean) / model.std)
        pooled = torch.cat(
            [functional.adaptive_avg_pool2d(f, 1).flatten(1) for f in features.values()], 1
        )
        gates = torch.stack([model.gates[name](pooled) for name in model.names], 1)
        stack = torch.stack(list(features.values()), 1)  # (B, E, w, H, W)
        gated = {
            name: model.gated_heads[name]((stack * gates[:, t, :, None, None, None]).sum(1))
            for t, name in enumerate(model.names)
        }
        return MoEOutputs(
            {n: model.expert_heads[n](features[n]) for n in model.names}, gated, gates
        )


def predict_work(case: str, device: str) -> Callable[[], object]:
    """Return a call that predicts one 512 x 512 tile."""
    image = make_tissue(512, 512, seed=0).image
    if case != "released":
        model = SemiMoE(_model_settings(case, working=1.0))
        predictor = Predictor(model, PredictSettings(device=device, adapt=False))
        predictor.views = PLAIN  # the released way looks once
        return lambda: predictor.predict(image, 1.0)
    forward = ReleasedForward(SemiMoE(ModelSettings.paper())).to(device).eval()
    batch = torch.from_numpy(image.copy()).permute(2, 0, 1)[None].float().to(device) / 255

    def call() -> object:
        with torch.no_grad():
            return forward(batch).gated["segmentation"].softmax(1).cpu()

    return call


def step_work(case: str, device: str) -> Callable[[], object]:
    """Return a call that learns from 2 labelled and 2 unlabelled crops of 256 x 256."""
    if case == "released":
        return _released_step(device)
    reuse_memory()  # as a round does
    patches = [_patch(seed) for seed in range(4)]
    model = SemiMoE(_model_settings(case, working=1.0))
    settings = RoundSettings(
        device=device, labelled_batch=2, unlabelled_batch=2, pseudo_labels="step", ema_decay=0.0
    )
    learner = Learner(model, settings, torch.device(device))
    labelled = [prepare(p, model.settings).to(torch.device(device)) for p in patches[:2]]
    bare = [Patch(p.image, None, p.um_per_px, p.name) for p in patches[2:]]
    unlabelled = [prepare(p, model.settings).to(torch.device(device)) for p in bare]
    numbers = iter(range(10**6))
    return lambda: learner.step(labelled, unlabelled, next(numbers), 10**6, 0)


def _released_step(device: str) -> Callable[[], object]:
    forward = ReleasedForward(SemiMoE(ModelSettings.paper())).to(device).train()
    optimiser = torch.optim.SGD(forward.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-5)
    patches = [_patch(seed) for seed in range(4)]
    images = torch.stack([torch.from_numpy(p.image.copy()).permute(2, 0, 1) for p in patches])
    images = images.float().to(device) / 255
    targets = [targets_from_mask(p.labels) for p in patches[:2]]
    maps = {n: torch.cat([t.maps[n] for t in targets]).to(device) for n in targets[0].maps}
    known = Targets(maps, torch.cat([t.valid for t in targets]).to(device))
    settings = RoundSettings.paper()

    def call() -> object:
        optimiser.zero_grad()
        losses = head_losses(forward(images[:2]), known, settings, gated=True)
        sum(losses.by_task.values()).backward()
        outputs = forward(images[2:])
        pseudo = targets_from_outputs(forward.model, outputs, confidence=False)
        losses = head_losses(outputs, pseudo, settings, gated=False)
        sum(losses.by_task.values()).backward()
        optimiser.step()
        return float(losses.by_task["segmentation"])

    return call


def _patch(seed: int) -> Patch:
    return make_tissue(256, 256, seed=seed, um_per_px=1.0)


def _model_settings(case: str, working: float) -> ModelSettings:
    if case == "lite0":
        return ModelSettings.pretrained(train_encoder=True, um_per_px=working).around(LITE0)
    make = ModelSettings.paper if case == "paper" else ModelSettings
    return make(um_per_px=working)


def measure(case: str, work: str, device: str, threads: int, repeats: int) -> dict[str, float]:
    """Time one case in this process after one warm-up; seconds and MiB."""
    set_threads(threads)
    torch.manual_seed(0)
    call = {"predict": predict_work, "step": step_work}[work](case, device)
    call()
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        call()
        if device == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - started)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    if device == "cuda":
        peak = torch.cuda.max_memory_allocated() / 2**20
    return {"seconds": statistics.median(seconds), "peak_mib": peak}


def table(results: dict[str, dict[str, dict[str, float]]]) -> str:
    """Return a Markdown table with ratios against the released way."""
    lines = [
        "| work | way | seconds | times faster | peak MiB | memory |",
        "|---|---|---|---|---|---|",
    ]
    for work, cases in results.items():
        base = cases["released"]
        for case, found in cases.items():
            faster = base["seconds"] / found["seconds"]
            memory = found["peak_mib"] / base["peak_mib"]
            lines.append(
                f"| {work} | {case} | {found['seconds']:.3f} | {faster:.1f} "
                f"| {found['peak_mib']:.0f} | {memory:.2f} |"
            )
    return "\n".join(lines)


def main() -> None:
    """Run every case in a process of its own and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda", "mps"))
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--only", nargs=2, metavar=("CASE", "WORK"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only:
        found = measure(*options.only, options.device, options.threads, options.repeats)
        print(json.dumps(found))
        return
    results = {work: {case: _in_process(case, work, options) for case in CASES} for work in WORK}
    print(f"{options.device}, torch {torch.__version__}, numpy {np.__version__}\n")
    print(table(results))
    if options.out:
        options.out.write_text(json.dumps(results, indent=1) + "\n")


def _in_process(case: str, work: str, options: argparse.Namespace) -> dict[str, float]:
    words = [sys.executable, "-m", "benchmarks.speed", "--only", case, work]
    words += ["--device", options.device, "--threads", str(options.threads)]
    words += ["--repeats", str(options.repeats)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{case} {work} failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


if __name__ == "__main__":
    main()
