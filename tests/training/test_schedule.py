"""How steps are shared out, the rate, and threads."""

import os

import pytest
import torch

from napari_semimoe.core.errors import SettingsError
from napari_semimoe.training.device import choose_device, set_threads
from napari_semimoe.training.schedule import (
    Costs,
    fit_to_budget,
    ramp,
    rate_factor,
    stage_of,
)
from tests.training.making import settings


@pytest.mark.parametrize("schedule", ["cosine", "step"])
@pytest.mark.parametrize("steps", [1, 2, 100])
def test_every_step_learns_and_none_more_than_the_highest_rate(schedule, steps):
    factors = [rate_factor(settings(schedule=schedule), step, steps) for step in range(steps)]
    assert all(0 < factor <= 1 for factor in factors)
    assert max(factors) == 1


def test_the_warm_up_is_linear_and_the_cosine_ends_near_zero():
    chosen = settings(warmup=0.1)
    assert [rate_factor(chosen, step, 40) for step in range(4)] == [0.25, 0.5, 0.75, 1]
    assert rate_factor(chosen, 22, 40) == pytest.approx(0.5 * 0.99 + 0.01)
    assert rate_factor(chosen, 39, 40) == pytest.approx(0.01, abs=0.003)


def test_the_released_schedule_halves_the_rate_each_quarter():
    chosen = settings(schedule="step", warmup=0)
    found = [rate_factor(chosen, step, 200) for step in (49, 50, 100, 150, 199)]
    assert found == [1, 0.5, 0.25, 0.125, 0.125]


def test_stages_share_the_steps_after_the_labelled_part():
    chosen = settings(stages=2, labelled_only=0.2)
    assert [stage_of(chosen, step, 10) for step in range(10)] == [-1] * 2 + [0] * 4 + [1] * 4
    assert [stage_of(settings(stages=5), step, 2) for step in range(2)] == [0, 2]


def test_the_unlabelled_weight_ramps_up_only_when_made_at_every_step():
    released = settings(pseudo_labels="step", unlabelled_weight=0.5)
    assert [ramp(released, step, 4) for step in range(4)] == [0.125, 0.25, 0.375, 0.5]
    assert [ramp(settings(unlabelled_weight=0.7), step, 4) for step in range(4)] == [0.7] * 4


def test_steps_fill_the_minutes_that_other_work_leaves():
    chosen = settings(max_steps=0, budget_minutes=2, stages=2, validate_every=10, pseudo_views=2)
    chosen = chosen.changed(adapt=False)
    # 120 s - 2 stages x 2 views x 5 tiles x 1 s - 2 looks x 1 s = 98 s, at 1 s + 1 s / 10 a step
    fitted = fit_to_budget(chosen, Costs(1.0, 1.0, 1.0, 1.0), 5)
    assert (fitted.max_steps, fitted.pseudo_views, fitted.pseudo_tiles) == (89, 2, 5)
    assert fit_to_budget(chosen, Costs(1000.0, 1000.0, 1.0, 5.0), 5).max_steps == 1


def test_looks_take_a_tenth_of_the_steps_time_at_most():
    chosen = settings(max_steps=0, budget_minutes=2, validate_every=10, adapt=False)
    fitted = fit_to_budget(chosen, Costs(0.1, 0.1, 1.0, 5.0), 0)
    # 120 s - 2 looks x 5 s = 110 s, at 0.1 s + 5 s / 500 a step
    assert (fitted.validate_every, fitted.max_steps) == (500, 1000)
    assert fit_to_budget(chosen, Costs(5.0, 5.0, 1.0, 5.0), 0).validate_every == 10


def test_steps_on_labelled_tiles_alone_count_with_their_own_cost():
    chosen = settings(max_steps=0, budget_minutes=2, labelled_only=0.5, validate_every=10)
    # 120 s at (0.5 s + 1.5 s) / 2 a step
    assert fit_to_budget(chosen, Costs(1.5, 0.5, 1.0, 0.0), 0).max_steps == 120


def test_a_timed_round_saves_views_first_and_tiles_then():
    chosen = settings(max_steps=0, budget_minutes=3, stages=1, pseudo_views=8, adapt=False)
    # a third of 180 s is 60 s: three views of 20 tiles at 1 s each; one view of 60 of 200 tiles
    fewer_views = fit_to_budget(chosen, Costs(1.0, 1.0, 1.0, 0.0), 20)
    assert (fewer_views.pseudo_views, fewer_views.pseudo_tiles) == (3, 20)
    fewer_tiles = fit_to_budget(chosen, Costs(1.0, 1.0, 1.0, 0.0), 200)
    assert (fewer_tiles.pseudo_views, fewer_tiles.pseudo_tiles) == (1, 60)
    assert fewer_tiles.max_steps == 120


@pytest.mark.parametrize("asked", [3, 500])
def test_a_timed_round_uses_no_more_tiles_than_are_asked_for(asked):
    costs = Costs(step=0.1, labelled_step=0.1, pseudo_view=0.001, look=0.1)
    planned = fit_to_budget(settings(max_steps=0, pseudo_tiles=asked), costs, 200)
    assert planned.pseudo_tiles == min(asked, 200)
    made_at_steps = settings(max_steps=0, pseudo_tiles=asked, pseudo_labels="step")
    assert fit_to_budget(made_at_steps, costs, 0).pseudo_tiles == asked


def test_fitting_to_a_tile_costs_as_much_as_one_view():
    chosen = settings(max_steps=0, budget_minutes=3, stages=1, pseudo_views=8)
    # a third of 180 s is 60 s: two views and one look at 20 tiles; one view and one look at 30
    fewer_views = fit_to_budget(chosen, Costs(1.0, 1.0, 1.0, 0.0), 20)
    assert (fewer_views.pseudo_views, fewer_views.max_steps) == (2, 120)
    fewer_tiles = fit_to_budget(chosen, Costs(1.0, 1.0, 1.0, 0.0), 200)
    assert (fewer_tiles.pseudo_views, fewer_tiles.pseudo_tiles) == (1, 30)
    assert fewer_tiles.max_steps == 120


def test_given_steps_are_not_changed_by_the_clock():
    chosen = settings(max_steps=7)
    assert fit_to_budget(chosen, Costs(1000.0, 1000.0, 10.0, 5.0), 3) == chosen


def test_threads_follow_the_cores_that_the_process_may_use(monkeypatch):
    before = torch.get_num_threads()
    try:
        monkeypatch.setattr(os, "cpu_count", lambda: 64)
        monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1, 2}, raising=False)
        assert set_threads(0) == torch.get_num_threads() == 2
        monkeypatch.setattr(os, "sched_getaffinity", lambda process: {5})
        assert set_threads(0) == 1
        assert set_threads(2) == torch.get_num_threads() == 2
        monkeypatch.delattr(os, "sched_getaffinity")
        monkeypatch.setattr(os, "cpu_count", lambda: 3)
        assert set_threads(0) == 2
    finally:
        torch.set_num_threads(before)


def test_a_device_that_is_not_there_is_refused_in_words(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SettingsError, match=r"this computer has .*cpu.*got 'cuda'"):
        choose_device("cuda")
    assert choose_device("cpu").type == "cpu"
