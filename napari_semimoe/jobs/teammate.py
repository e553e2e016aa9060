"""Entry of a process that shares a round's steps: ``python -m napari_semimoe.jobs.teammate``.

Its input is one line of JSON and then stays open as long as the process that leads the round
lives. Signals to the whole group are answered by that one: without us its step would be lost.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from napari_semimoe.core.errors import is_out_of_memory
from napari_semimoe.jobs.tasks import round_of
from napari_semimoe.jobs.wire import get_ready_to_listen


def start_teammate(
    payload: Mapping[str, Any], rank: int, size: int, meeting: Path
) -> subprocess.Popen[bytes]:
    """Start the process of one rank; ``payload`` as of `train_round`, the rest as of `Team`."""
    place = {"rank": rank, "size": size, "meeting": str(meeting)}
    process = subprocess.Popen(
        [sys.executable, "-P", "-X", "utf8", "-m", "napari_semimoe.jobs.teammate"],
        stdin=subprocess.PIPE,
        creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
    )
    assert process.stdin is not None
    process.stdin.write(json.dumps({**payload, **place}, default=str).encode() + b"\n")
    process.stdin.flush()
    return process


def _help(task: Mapping[str, Any]) -> None:
    import torch

    from napari_semimoe.training.device import choose_device
    from napari_semimoe.training.teammate import help_round

    given = round_of(task)
    if choose_device(given["settings"].device).type == "cuda":
        torch.cuda.set_device(task["rank"] % torch.cuda.device_count())
    help_round(
        **given,
        rank=task["rank"],
        size=task["size"],
        meeting=Path(task["meeting"]),
    )


def _end_with_leader() -> None:
    sys.stdin.buffer.read()
    os._exit(1)


def main() -> None:
    """Help one round."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if hasattr(signal, name):  # Windows has no SIGHUP
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    from napari_semimoe.training.team import OUT_OF_MEMORY

    task = json.loads(sys.stdin.buffer.readline())
    get_ready_to_listen()
    threading.Thread(target=_end_with_leader, name="leader", daemon=True).start()
    try:
        _help(task)
        code = 0
    except BaseException as error:  # the process's entry: the leader's log tells the story
        traceback.print_exc()
        code = OUT_OF_MEMORY if is_out_of_memory(error) else 1
    sys.stderr.flush()
    os._exit(code)  # the thread still reads, and must not hold us


if __name__ == "__main__":
    main()
