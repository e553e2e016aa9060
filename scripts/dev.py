"""Set up, demonstrate and test: ``python scripts/dev.py setup|demo|test|clean [arguments]``.

Runs on the plain standard library, before anything is installed. The environment in ``.venv``
is made anew only when ``pyproject.toml``, ``constraints.txt`` or the interpreter changed.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
STAMP = VENV / ".semimoe-stamp"
EXTRAS = ".[all,test]"

#: What Qt 6 and software OpenGL need on Debian and Ubuntu, and the virtual screen.
SYSTEM_PACKAGES = [
    *["xvfb", "libegl1", "libgl1", "libgl1-mesa-dri", "libglx-mesa0", "libegl-mesa0"],
    *["libxkbcommon-x11-0", "libxcb-cursor0", "libxcb-icccm4", "libxcb-image0"],
    *["libxcb-keysyms1", "libxcb-randr0", "libxcb-render-util0", "libxcb-shape0"],
    *["libxcb-xinerama0", "libxcb-xkb1", "libdbus-1-3", "libfontconfig1"],
]


def main(arguments: list[str]) -> int:
    """Run one task and return its exit code."""
    tasks = {"setup": _setup, "demo": _demo, "test": _test, "clean": _clean}
    if not arguments or arguments[0] not in tasks:
        print(__doc__)
        return 2
    os.chdir(ROOT)
    return tasks[arguments[0]](arguments[1:])


def _setup(_: list[str]) -> int:
    _require_python()
    _install_system_packages(SYSTEM_PACKAGES)
    if _stamp_is_current():
        return 0
    _make_venv()
    _say("installing the package and its libraries into .venv (minutes the first time)")
    pip = [_venv_python(), "-m", "pip", "install", "--disable-pip-version-check"]
    if not sys.stdout.isatty():  # a person sees the downloads advance, a log needs errors only
        pip.append("-qq")
    if code := _run([*pip, "-c", "constraints.txt", "-e", EXTRAS]):
        _say("pip could not install everything; its own lines above say what was missing")
        return code
    STAMP.write_text(_fingerprint())
    return 0


def _demo(arguments: list[str]) -> int:
    if code := _setup([]):
        return code
    return _run([_venv_python(), "-m", "napari_semimoe.cli", "demo", *arguments])


def _test(arguments: list[str]) -> int:
    if code := _setup([]):
        return code
    python = _venv_python()
    checks = {
        "ruff check": [python, "-m", "ruff", "check", "."],
        "ruff format": [python, "-m", "ruff", "format", "--check", "."],
        "types": [python, "-m", "mypy"],
        "import rules": [_venv_program("lint-imports"), "--no-logo"],
        "plugin manifest": [_venv_program("npe2"), "validate", "napari-semimoe"],
        "pytest": [python, "-m", "pytest", *_side_by_side(), *arguments],
    }
    failed = []
    for name, command in checks.items():
        _say(name)
        if _run(command):
            failed.append(name)
    if failed:
        _say("FAILED: " + ", ".join(failed))
    return 1 if failed else 0


def _side_by_side() -> list[str]:
    """Use several cores where each test process gets a screen of its own (tests/conftest.py)."""
    if not sys.platform.startswith("linux"):
        return []
    return ["-n", "logical", "--maxprocesses", "4", "--dist", "loadfile"]


def _clean(_: list[str]) -> int:
    for name in (".venv", "build", "dist", "demo-output"):
        shutil.rmtree(ROOT / name, ignore_errors=True)
    return 0


def _say(text: str) -> None:
    print(f"== {text}", flush=True)


def _run(command: list[str | Path]) -> int:
    # Containers often forbid to keep bytecode; hundreds of processes would compile it anew.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    words = [str(part) for part in command]
    try:
        code = subprocess.run(words, env=environment, check=False).returncode
    except KeyboardInterrupt:
        return 130
    if code < 0:
        _say(f"{Path(command[0]).name} was ended from outside, by signal {-code}")
    return code


def _require_python() -> None:
    if sys.version_info < (3, 11):  # noqa: UP036 (runs before pip could refuse)
        found = ".".join(map(str, sys.version_info[:3]))
        raise SystemExit(
            f"Python 3.11 or newer is needed, this is {found}. "
            "Name a newer one, for example: make PYTHON=python3.12 test"
        )


# -- the virtual environment


def _venv_python() -> Path:
    return _venv_program("python")


def _venv_program(name: str) -> Path:
    if os.name == "nt":
        return VENV / "Scripts" / f"{name}.exe"
    return VENV / "bin" / name


def _fingerprint() -> str:
    digest = hashlib.sha256(sys.version.encode() + str(ROOT).encode())
    for name in ("pyproject.toml", "constraints.txt"):
        digest.update((ROOT / name).read_bytes())
    return digest.hexdigest()


def _stamp_is_current() -> bool:
    return (
        _venv_python().exists() and STAMP.exists() and STAMP.read_text().strip() == _fingerprint()
    )


def _make_venv() -> None:
    """Make ``.venv``; on Debian the module that it needs is a package of its own."""
    if _venv_has_pip():
        return
    _say("making the virtual environment .venv")
    command = [sys.executable, "-m", "venv", "--clear", str(VENV)]
    if subprocess.run(command, check=False, capture_output=True).returncode == 0:
        return
    _install_system_packages([f"python3.{sys.version_info[1]}-venv"])
    if subprocess.run(command, check=False).returncode == 0:
        return
    if subprocess.run([sys.executable, "-m", "virtualenv", VENV], check=False).returncode == 0:
        return
    raise SystemExit(
        "A virtual environment could not be made. Install the 'venv' module of your Python "
        "(on Debian and Ubuntu: sudo apt-get install python3-venv) and try again."
    )


def _venv_has_pip() -> bool:
    if not _venv_python().exists():
        return False
    command = [_venv_python(), "-m", "pip", "--version"]
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


# -- system libraries (Debian and Ubuntu only; elsewhere Qt brings what it needs)


def _install_system_packages(names: list[str]) -> None:
    missing = _missing_system_packages(names)
    if not missing:
        return
    as_root = _root_prefix()
    if as_root is None:
        _say("these system packages are missing; without them the window may not open. Install:")
        _say("sudo apt-get install " + " ".join(missing))
        return
    _say("installing system packages: " + " ".join(missing))
    apt = [*as_root, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq"]
    install = [*apt, "install", "-y", "--no-install-recommends", *missing]
    if _quiet(install) and (_quiet([*apt, "update"]) or _run(install)):
        _say("some could not be installed; going on without: " + " ".join(missing))


def _quiet(command: list[str]) -> int:
    return subprocess.run(command, check=False, capture_output=True).returncode


def _missing_system_packages(names: list[str]) -> list[str]:
    if not (shutil.which("dpkg-query") and shutil.which("apt-get")):
        return []
    status = "${Package} ${db:Status-Status}\n"
    query = ["dpkg-query", "-W", "-f", status, *names]
    answer = subprocess.run(query, check=False, capture_output=True, text=True).stdout
    installed = {line.split()[0] for line in answer.splitlines() if line.endswith(" installed")}
    return [name for name in names if name not in installed]


def _root_prefix() -> list[str] | None:
    """Return what to put before a command to run it as root, or None where it may not be."""
    if os.geteuid() == 0:
        return []
    if shutil.which("sudo") and _quiet(["sudo", "-n", "true"]) == 0:
        return ["sudo", "-n"]
    return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
