"""Let a person's wish to stop end a forward or backward pass, not only wait for the next step."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook

#: Seconds between two questions: one may have to travel to another machine.
INTERVAL = 0.2


@contextmanager
def stoppable(check: Callable[[], None]) -> Iterator[None]:
    """Call ``check`` now and then between the layers of every network that runs meanwhile.

    What ``check`` raises leaves the forward or backward pass. A step on a slow processor takes
    seconds, and several views of a large tile take longer.
    """
    asked = time.monotonic()

    def ask() -> None:
        nonlocal asked
        if time.monotonic() - asked >= INTERVAL:
            check()
            asked = time.monotonic()

    def on_gradient(gradient: Tensor) -> None:
        ask()

    def on_forward(module: nn.Module, given: Any, output: Any) -> None:
        ask()
        if isinstance(output, Tensor) and output.requires_grad:
            output.register_hook(on_gradient)

    handle = register_module_forward_hook(on_forward)
    try:
        yield
    finally:
        handle.remove()
