"""That a process which learns asks the system for memory once, and gives it back in the end."""

from __future__ import annotations

import subprocess
import sys

import pytest

_PROGRAM = """
import resource, sys
import torch
from napari_semimoe.training.memory import free_memory, reuse_memory

def faults_of_tensors():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(4):
        torch.ones(16 * 2**20)  # 64 MiB: 16384 pages
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def resident_mib():
    with open("/proc/self/status") as status:
        line = next(line for line in status if line.startswith("VmRSS"))
    return int(line.split()[1]) // 1024

torch.set_num_threads(1)
if sys.argv[1] == "reuse":
    reuse_memory()
faults_of_tensors()  # the first ones are new in any case
print(faults_of_tensors())
kept = resident_mib()
free_memory()
print(kept - resident_mib())
"""


def _run(mode: str) -> list[int]:
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, mode], capture_output=True, text=True, check=True
    )
    return [int(line) for line in done.stdout.split()]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have other allocators")
def test_freed_memory_is_used_again_and_given_back_when_asked():
    usual_faults, _ = _run("plain")
    if usual_faults < 4 * 16384:
        pytest.skip("this system gives memory in large pages, or does not count them")
    faults, given_back = _run("reuse")
    assert faults < usual_faults / 2
    assert given_back > 50
