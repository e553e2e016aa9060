"""Scores by which rounds are compared, and which of two models they put in charge."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from napari_semimoe.core.measures import MEASURES, WORDS, tile_scores
from napari_semimoe.core.states import RoundState
from napari_semimoe.session import comparison
from napari_semimoe.session.models import Model
from napari_semimoe.session.rounds import verdict


def scores(dice, hausdorff=None, f1=None):
    found = {"tiles": 1, "dice": dice}
    return found | {"object_hausdorff_px": hausdorff, "object_f1": f1, "object_dice": f1}


def state(new, old, measure, rival=None):
    report = {"validation": new, "base_validation": old}
    record = SimpleNamespace(base=None, settings={"measure": measure})
    in_charge = Model("round 1", Path("weights"), 1) if rival else None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(comparison, "knows_all", lambda project, model: True)
        patch.setattr(comparison, "known_scores", lambda project, name, tiles: rival)
        return verdict(report, comparison.contest(None, record, report, in_charge))


@pytest.mark.parametrize("measure", MEASURES)
def test_equal_models_let_the_new_one_take_over(measure):
    assert state(scores(0.8, 50.0, 0.7), scores(0.8, 50.0, 0.7), measure) is RoundState.PROMOTED


@pytest.mark.parametrize(
    ("measure", "expected"),
    [
        ("dice", RoundState.PROMOTED),
        ("object_f1", RoundState.KEPT_BESIDE),
        ("object_dice", RoundState.KEPT_BESIDE),
        ("object_hausdorff_px", RoundState.KEPT_BESIDE),
    ],
)
def test_the_chosen_measure_decides(measure, expected):
    """More overlap, but fewer glands found and outlines further apart."""
    assert state(scores(0.9, 60.0, 0.6), scores(0.8, 50.0, 0.7), measure) is expected


def test_smaller_distance_wins_although_the_dice_is_lower():
    new, old = scores(0.79, 40.0, 0.7), scores(0.8, 50.0, 0.7)
    assert state(new, old, "object_hausdorff_px") is RoundState.PROMOTED
    rival = scores(0.9, 39.0, 0.7)
    assert state(new, old, "object_hausdorff_px", rival) is RoundState.KEPT_BESIDE


def test_where_one_model_was_not_measured_dice_decides_between_all():
    new, old = scores(0.9, 60.0, 0.6), {"tiles": 1, "dice": 0.8}  # of an earlier version
    assert state(new, old, "object_f1") is RoundState.PROMOTED
    assert state(new, old, "object_f1", {"tiles": 1, "dice": 0.95}) is RoundState.KEPT_BESIDE


def test_reports_of_earlier_versions_know_only_dice():
    old = {"dice": 0.8, "per_tile_dice": {"a": 0.8}}
    assert tile_scores(old, "dice") == {"a": 0.8}
    assert tile_scores(old, "object_f1") == {}
    new = old | {"per_tile_objects": {"a": {"object_f1": 0.5, "object_hausdorff_px": 3.0}}}
    assert tile_scores(new, "object_hausdorff_px") == {"a": 3.0}


@pytest.mark.parametrize(
    ("measure", "change", "worse"),
    [
        ("dice", -0.0006, True),  # read as -0.001
        ("dice", -0.0004, False),
        ("dice", -0.001, True),
        ("dice", 0.2, False),
        ("object_hausdorff_px", 0.46, True),  # read as +0.5 px
        ("object_hausdorff_px", 0.44, False),
        ("object_hausdorff_px", -9.0, False),
    ],
)
def test_what_counts_as_worse_is_what_is_read_so(measure, change, worse):
    assert WORDS[measure].is_worse(change) is worse
