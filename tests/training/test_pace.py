"""How long a round still takes."""

import pytest

from napari_semimoe.training.pace import Ahead, Pace, ahead
from napari_semimoe.training.schedule import Costs, fit_to_budget
from napari_semimoe.training.state import Progress
from tests.training.making import settings

#: Of ten steps the first four are of six labelled crops, then four unlabelled ones join them.
PLAN = settings(
    labelled_batch=6, unlabelled_batch=4, labelled_only=0.4, stages=2, validate_every=100
)


def left(step, stage, *, unlabelled=True, base=True, plan=PLAN, steps=10):
    return ahead(plan, Progress(step, steps, stage), unlabelled=unlabelled, base=base)


def test_crops_that_join_later_and_all_pseudo_labels_are_ahead_at_first():
    assert left(1, -1) == Ahead(crops=9 * 6 + 6 * 4, stages=2, looks=2)


def test_a_stage_that_has_begun_has_its_pseudo_labels():
    assert left(5, 0) == Ahead(crops=5 * 10, stages=1, looks=2)
    assert left(8, 1) == Ahead(crops=2 * 10, stages=0, looks=2)


def test_without_unlabelled_tiles_only_labelled_crops_are_ahead():
    assert left(1, -1, unlabelled=False) == Ahead(crops=9 * 6, stages=0, looks=2)


def test_pseudo_labels_of_every_step_are_part_of_the_step():
    plan = PLAN.changed(pseudo_labels="step")
    assert left(1, -1, plan=plan).stages == 0


def test_a_round_of_fewer_steps_than_stages_does_not_wait_for_the_others():
    plan = PLAN.changed(stages=8, labelled_only=0.0)
    assert left(1, 0, plan=plan, steps=2).stages == 4  # the second step is of stage 4


@pytest.mark.parametrize(("done", "looks"), [(1, 5), (3, 5), (4, 4), (9, 3), (10, 2)])
def test_looks_between_the_steps_and_after_them_are_ahead(done, looks):
    """After steps 3, 6 and 9, and in the end at the new model and at the base."""
    assert left(done, 0, plan=PLAN.changed(validate_every=3)).looks == looks


def test_a_network_from_nothing_has_no_base_to_look_at():
    assert left(1, -1, base=False).looks == 1


def test_steps_of_more_crops_take_longer():
    pace = Pace()
    pace.stepped(12.0, 6)
    assert pace.seconds_for(Ahead(crops=10, stages=0, looks=0)) == 20


def test_newer_steps_count_slowly():
    pace = Pace()
    pace.stepped(6.0, 6)
    pace.stepped(12.0, 6)
    assert pace.crop == pytest.approx(1.1)


def test_what_was_planned_for_the_minutes_is_what_is_left_at_first():
    costs = Costs(step=2.0, labelled_step=1.2, pseudo_view=0.1, look=3.0)
    minutes = PLAN.changed(labelled_only=0.25, max_steps=0, budget_minutes=4, pseudo_views=8)
    plan = fit_to_budget(minutes, costs, unlabelled=10)
    pace = Pace()
    pace.expect(costs, plan)
    pace.stepped(1.2, 6)
    rest = ahead(plan, Progress(1, plan.max_steps, -1), unlabelled=True, base=True)
    assert pace.seconds_for(rest) == pytest.approx(240, rel=0.02)
