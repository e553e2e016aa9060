"""Every benchmark starts, also those that no other test runs."""

import importlib
import pkgutil

import pytest

import benchmarks

NAMES = [module.name for module in pkgutil.iter_modules(benchmarks.__path__)]


@pytest.mark.parametrize("name", NAMES)
def test_benchmark_can_be_imported(name):
    importlib.import_module(f"benchmarks.{name}")
