"""What the package imports is what it asks for."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

ROOT = Path(__file__).parents[2]


def imported(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module.partition(".")[0]


def test_every_library_that_the_package_imports_is_a_declared_dependency():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = [*project["dependencies"], *project["optional-dependencies"]["cluster"]]
    declared = {re.split(r"[\[<>=]", line)[0].lower() for line in lines}
    homes = packages_distributions()
    names = {name for path in (ROOT / "napari_semimoe").rglob("*.py") for name in imported(path)}
    names -= {*sys.stdlib_module_names, "napari_semimoe"}
    missing = {
        name for name in names if not declared & {home.lower() for home in homes.get(name, [name])}
    }
    assert missing == set()
