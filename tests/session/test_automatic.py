from __future__ import annotations

import pytest

from napari_semimoe.core.settings import RoundSettings
from napari_semimoe.core.states import Pool
from napari_semimoe.session.automatic import milestone

from .test_session import mask


@pytest.mark.parametrize(
    ("accepted", "reached"),
    [(0, 0), (2, 0), (3, 3), (5, 3), (6, 6), (11, 6), (12, 12), (23, 12), (24, 24), (100, 96)],
)
def test_milestones_double(accepted, reached):
    assert milestone(accepted) == reached


def accept(session, count):
    """Accept tiles that were not accepted yet, so many that teach."""
    for tile in session.tiles():
        if tile.pool is not Pool.CURATED:
            session.accept(tile.id, mask())
            session.set_pool(tile.id, Pool.CURATED)
            count -= 1
        if not count:
            return
    raise AssertionError("the project has too few tiles")


def is_due(session):
    return session.round_plan(RoundSettings()).is_due


def test_a_round_is_due_once_for_each_milestone(no_starter, filled):
    assert not is_due(filled)
    accept(filled, 2)
    assert not is_due(filled)
    accept(filled, 1)
    assert is_due(filled)
    filled.start_round(RoundSettings())
    assert not is_due(filled)


def test_a_round_that_a_person_started_counts_too(no_starter, filled):
    accept(filled, 4)
    filled.start_round(RoundSettings())
    accept(filled, 1)
    assert not is_due(filled)
    accept(filled, 1)
    assert is_due(filled)
