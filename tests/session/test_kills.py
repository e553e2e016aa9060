"""Processes are killed at random moments while a person works; the benchmark, in short."""

from __future__ import annotations

import sys

import pytest

from benchmarks.kills import VICTIMS, check, kill_often, make_project

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="sends SIGKILL")


@pytest.mark.timeout(600)
def test_kills_at_random_moments_lose_nothing_and_change_no_number(tmp_path):
    tries, equal = kill_often(tmp_path, count=4, seed=3, longest=2.0)
    assert [one.victim for one in tries] == [*VICTIMS, VICTIMS[0]]
    assert [one.faults for one in tries] == [()] * 4
    assert all(one.accepted for one in tries)
    assert equal


def test_check_notices_a_mask_that_is_gone_and_one_that_is_another(tmp_path):
    project = make_project(tmp_path)
    _, faults = check(project, {1: 5, 999: 5})
    assert faults[0] == "Mask 1 is not what was accepted."
    assert faults[1].startswith("Mask 999 cannot be read: This project has no mask 999.")
