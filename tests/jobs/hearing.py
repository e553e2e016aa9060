"""Listen to an engine until something has happened."""

from __future__ import annotations

import time

from tests.patience import PATIENCE


def hear_until(engine, condition, timeout=PATIENCE):
    """Poll until ``condition(reports)`` holds and return all reports heard."""
    heard = []
    end = time.monotonic() + timeout
    while not condition(heard):
        left = end - time.monotonic()
        assert left > 0, f"not heard within {timeout} s: {heard}"
        engine.wait(left)
        heard += engine.poll()
    return heard


def finish_of(engine, job_id, timeout=PATIENCE):
    """Return the data of the job's 'finished'."""
    heard = hear_until(engine, lambda reports: _ends(reports, job_id), timeout)
    return _ends(heard, job_id)[0].data


def hear_name(engine, name, timeout=PATIENCE):
    """Poll until some job says ``name``."""
    return hear_until(engine, lambda reports: any(r.name == name for r in reports), timeout)


def _ends(reports, job_id):
    return [r for r in reports if r.job_id == job_id and r.name == "finished"]
