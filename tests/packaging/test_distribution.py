"""Every way of installing exposes the manifest; nothing forces a Qt binding on anyone."""

import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from importlib.metadata import distribution, requires
from pathlib import Path

import pytest
from npe2 import PluginManifest

ROOT = Path(__file__).resolve().parents[2]
MANIFEST = ROOT / "napari_semimoe" / "napari.yaml"
QT = re.compile(r"(pyqt|pyside)\d", re.IGNORECASE)


def run(*command, cwd=None):
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel that is built from the unpacked sdist."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", folder, cwd=ROOT)
    (sdist,) = folder.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder / "unpacked", filter="data")
    (source,) = (folder / "unpacked").iterdir()
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder, cwd=source)
    (built,) = folder.glob("*.whl")
    return built


def test_wheel_from_the_sdist_holds_every_file_of_the_package(wheel):
    packaged = set(zipfile.ZipFile(wheel).namelist())
    wanted = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "napari_semimoe").rglob("*")
        if path.is_file() and path.suffix in {".py", ".yaml", ".safetensors", ".json", ".svg"}
    }
    assert "napari_semimoe/napari.yaml" in wanted
    assert wanted <= packaged


def test_wheel_holds_nothing_but_the_package(wheel):
    tops = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"napari_semimoe"}


def test_wheel_declares_the_manifest_the_command_and_its_licence(wheel):
    archive = zipfile.ZipFile(wheel)
    names = archive.namelist()
    (entry_points,) = (name for name in names if name.endswith("entry_points.txt"))
    declared = archive.read(entry_points).decode()
    assert "[napari.manifest]\nnapari-semimoe = napari_semimoe:napari.yaml" in declared
    assert "semimoe = napari_semimoe.cli.entry:main" in declared
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert any(name.endswith("weights/LICENSE.txt") for name in names)


def test_pip_install_of_the_folder_exposes_the_manifest(tmp_path):
    quiet = ["--quiet", "--disable-pip-version-check", "--no-index", "--no-deps"]
    where = ["--no-build-isolation", "--target", tmp_path]
    run(sys.executable, "-m", "pip", "install", *quiet, *where, ROOT)
    code = (
        "import sys, pathlib; sys.path.insert(0, sys.argv[1]);"
        "from importlib.metadata import entry_points; import napari_semimoe;"
        "(entry,) = entry_points(group='napari.manifest');"
        "module, _, name = entry.value.partition(':');"
        "assert module == 'napari_semimoe';"
        "print((pathlib.Path(napari_semimoe.__file__).parent / name).read_text(), end='')"
    )
    # -I -S: nothing of the present environment is seen, so only what was installed answers
    assert run(sys.executable, "-I", "-S", "-c", code, tmp_path) == MANIFEST.read_text().strip()


def test_this_installation_exposes_a_manifest_that_npe2_accepts():
    manifest = PluginManifest.from_distribution("napari-semimoe")
    assert manifest.display_name == "Semi-MoE"
    titles = [widget.display_name for widget in manifest.contributions.widgets]
    assert titles == ["Predict", "Refine", "Retrain", "Export curated masks"]
    for command in manifest.contributions.commands:
        assert callable(command.python_name and _resolve(command.python_name))


def _resolve(python_name):
    from importlib import import_module

    module, _, name = python_name.partition(":")
    return getattr(import_module(module), name)


def test_manifest_at_the_top_is_the_one_in_the_package():
    assert (ROOT / "napari.yaml").read_text() == MANIFEST.read_text()


def test_a_qt_binding_is_never_a_hard_dependency():
    hard = [line for line in requires("napari-semimoe") if "extra ==" not in line]
    assert hard
    assert not [line for line in hard if QT.search(line)]


def test_licence_of_the_code_is_bsd_and_the_weights_are_for_research():
    told = distribution("napari-semimoe").metadata["License-Expression"]
    assert told == "BSD-3-Clause AND LicenseRef-GlaS-research-use"
    assert (ROOT / "LICENSE").read_text().startswith("BSD 3-Clause License")
    assert "research only" in (MANIFEST.parent / "weights" / "LICENSE.txt").read_text()


class TestDependencies:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    direct = sorted(re.split(r"[\[<>=]", line)[0] for line in project["dependencies"])

    def test_constraints_pin_every_direct_dependency(self):
        lines = (ROOT / "constraints.txt").read_text().splitlines()
        pins = dict(line.lower().split("==") for line in lines if not line.startswith("#"))
        assert set(self.direct) <= pins.keys()
        assert pins["torch"] == "2.13.0"  # no suffix: a CPU build is taken where it lies

    def test_constraints_name_no_place_to_download_from(self):
        text = (ROOT / "constraints.txt").read_text()
        assert not re.search(r"://|^-|@", text, re.MULTILINE)

    def test_every_direct_dependency_is_explained(self):
        explained = (ROOT / "docs" / "dependencies.md").read_text()
        assert [name for name in self.direct if f"| {name} |" not in explained] == []
