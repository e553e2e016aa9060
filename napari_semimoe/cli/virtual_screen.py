"""A screen for machines without one: ``python -m napari_semimoe.cli.virtual_screen COMMAND...``."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

SIZE = "1600x1000x24"


def has_screen() -> bool:
    """Return whether a window can be shown to a person (or to a test) as things are."""
    if sys.platform in ("win32", "darwin"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


@contextmanager
def screen() -> Iterator[dict[str, str]]:
    """Yield the environment in which a window can open; ends the virtual screen on exit.

    The present screen is used where there is one, else Xvfb is started on a free display. If
    Xvfb is missing too, Qt draws without any screen (``QT_QPA_PLATFORM=offscreen``).
    """
    environment = dict(os.environ)
    if has_screen() or environment.get("QT_QPA_PLATFORM") == "offscreen":
        yield environment
        return
    server = shutil.which("Xvfb")
    if server is None:
        yield environment | {"QT_QPA_PLATFORM": "offscreen"}
        return
    with _xvfb(server) as display:
        yield environment | {"DISPLAY": display, "QT_QPA_PLATFORM": "xcb"}


@contextmanager
def _xvfb(server: str) -> Iterator[str]:
    """Start Xvfb, which picks a free display itself and writes its number to a pipe."""
    reader, writer = os.pipe()
    command = [server, "-displayfd", str(writer), "-screen", "0", SIZE, "-nolisten", "tcp"]
    process = subprocess.Popen(command, pass_fds=[writer], stderr=subprocess.DEVNULL)
    os.close(writer)
    try:
        with os.fdopen(reader) as answer:
            number = answer.readline().strip()  # empty when the server died
        if not number:
            raise OSError("The virtual screen Xvfb did not start. Try it by hand: Xvfb :99")
        yield f":{number}"
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()


def main(command: list[str]) -> int:
    """Run ``command`` with a screen and return its exit code."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the screen ends with us
    with screen() as environment:
        code = subprocess.run(command, env=environment, check=False).returncode
    return 128 - code if code < 0 else code  # as shells tell of a signal


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
