"""The virtual screen is there while a command runs, and gone afterwards, however it ended."""

import os
import shutil
import subprocess
import sys
import time

import pytest

from napari_semimoe.cli.virtual_screen import has_screen, screen
from tests.patience import PATIENCE

WRAPPER = [sys.executable, "-m", "napari_semimoe.cli.virtual_screen"]
needs_xvfb = pytest.mark.skipif(
    sys.platform != "linux" or not shutil.which("Xvfb"), reason="needs Xvfb"
)


@pytest.fixture
def screenless(monkeypatch):
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"):
        monkeypatch.delenv(name, raising=False)


def is_up(display):
    return os.path.exists(f"/tmp/.X11-unix/X{display.lstrip(':')}")


def gone(display):
    end = time.monotonic() + PATIENCE
    while is_up(display) and time.monotonic() < end:
        time.sleep(0.05)
    return not is_up(display)


def test_screen_that_is_there_is_used(monkeypatch):
    monkeypatch.setenv("DISPLAY", ":77")
    assert has_screen()
    with screen() as environment:
        assert environment["DISPLAY"] == ":77"


@needs_xvfb
def test_screen_lives_as_long_as_it_is_needed(screenless):
    assert not has_screen()
    with screen() as environment:
        assert is_up(environment["DISPLAY"])
    assert gone(environment["DISPLAY"])


def test_without_xvfb_qt_draws_without_a_screen(screenless, monkeypatch):
    if has_screen():
        pytest.skip("this system always has a screen")
    monkeypatch.setenv("PATH", "")
    with screen() as environment:
        assert environment["QT_QPA_PLATFORM"] == "offscreen"


@needs_xvfb
def test_exit_code_is_the_commands_own(screenless):
    code = "import sys; sys.exit(7)"
    assert subprocess.run([*WRAPPER, sys.executable, "-c", code], check=False).returncode == 7


@needs_xvfb
def test_ending_the_wrapper_ends_screen_and_command(screenless):
    code = "import os, time; print(os.environ['DISPLAY'], flush=True); time.sleep(600)"
    with subprocess.Popen(
        [*WRAPPER, sys.executable, "-c", code], stdout=subprocess.PIPE, text=True
    ) as running:
        display = running.stdout.readline().strip()
        assert is_up(display)
        running.terminate()
        assert running.wait(PATIENCE) == 143
        assert running.stdout.read() == ""  # the command has ended too: its pipe is closed
    assert gone(display)
