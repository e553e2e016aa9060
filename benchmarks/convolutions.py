"""What bounds a training step on a processor: the rates of single 3 x 3 convolutions in float32.

    python -m benchmarks.convolutions [--threads 2]

Prints GFLOP/s forward and for both gradients, channels first and last, for layers of `compact`
and `paper`, and how many GFLOP a step of `benchmarks.speed` takes with each network.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.speed import step_work
from napari_semimoe.training.device import set_threads
from napari_semimoe.training.memory import reuse_memory

#: Channels in and out, and side of the image.
LAYERS = ((56, 24, 256), (192, 64, 64), (64, 64, 256), (256, 256, 64))
LAYOUTS = {"first": torch.contiguous_format, "last": torch.channels_last}
BATCH, REPEATS = 4, 3


def main() -> None:
    """Print a table of rates, then the work of a step."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=0)
    set_threads(parser.parse_args().threads)
    reuse_memory()
    print(
        "| layer | channels | forward | input's gradient | weights' gradient |\n" + "|---" * 5 + "|"
    )
    for layer in LAYERS:
        for name, layout in LAYOUTS.items():
            found = " | ".join(f"{rate:.0f}" for rate in rates(*layer, layout))
            print(f"| {layer} | {name} | {found} |", flush=True)
    for case in ("compact", "paper"):
        with FlopCounterMode(display=False) as counter:
            step_work(case, "cpu")()
        print(f"a step of {case}: {counter.get_total_flops() / 1e9:.0f} GFLOP", flush=True)


def rates(channels: int, outputs: int, side: int, layout: torch.memory_format) -> list[float]:
    """Return GFLOP/s of forward, gradient of the input, gradient of the weights."""
    image, weight, gradient = (
        torch.randn(shape).contiguous(memory_format=layout)
        for shape in (
            (BATCH, channels, side, side),
            (outputs, channels, 3, 3),
            (BATCH, outputs, side, side),
        )
    )
    how = ([outputs], [1, 1], [1, 1], [1, 1], False, [0, 0], 1)
    backward = torch.ops.aten.convolution_backward
    calls = [
        lambda: torch.conv2d(image, weight, padding=1),
        lambda: backward(gradient, image, weight, *how, [True, False, False]),
        lambda: backward(gradient, image, weight, *how, [False, True, True]),
    ]
    work = 2e-9 * BATCH * channels * outputs * 9 * side**2
    return [work / _seconds(call) for call in calls]


def _seconds(call: Callable[[], object]) -> float:
    call()
    taken = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        call()
        taken.append(time.perf_counter() - started)
    return statistics.median(taken)


if __name__ == "__main__":
    main()
