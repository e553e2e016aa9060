from __future__ import annotations

import pytest

from napari_semimoe.core.states import RoundState

from .test_panel import start_round


@pytest.fixture
def run(opened, settled, engine):
    """Return a function that trains a round to its end in the window."""

    def train(**scores):
        engine.train(start_round(opened, settled, engine), **scores)
        settled(opened)

    return train


def entries(menu):
    return {action.text(): action for action in menu.actions()}


def test_round_whose_model_predicts_is_bold_and_names_its_base(opened, run):
    run()
    run()
    table = opened.retrain_page.rounds
    assert [table.item(row, 0).text() for row in range(2)] == ["2", "1"]
    assert [table.item(row, 0).font().bold() for row in range(2)] == [True, False]
    assert [table.item(row, 4).text() for row in range(2)] == ["round 1", "starter"]


def test_button_puts_the_selected_round_in_charge(opened, run, settled):
    run()
    run()
    page = opened.retrain_page
    page.rounds.selectRow(0)
    assert not page.history.use.isEnabled()  # it predicts already
    page.rounds.selectRow(1)
    page.history.use.click()
    settled(opened)
    assert opened.header.model.text().startswith("Model of round 1")
    assert page.rounds.item(1, 0).font().bold()
    assert not page.history.use.isEnabled()


def test_button_goes_back_to_the_starter_and_the_plan_follows(opened, run, settled, qtbot):
    page = opened.retrain_page
    assert not page.history.starter.isEnabled()
    run()
    page.history.starter.click()
    settled(opened)
    assert opened.header.model.text().startswith("Starter model")
    assert "starter model predicts" in opened.messages.text
    assert not page.history.starter.isEnabled()
    qtbot.waitUntil(lambda: page.plan.text().startswith("Round 2: from starter"), timeout=5000)


def test_menu_goes_back_to_the_starter_or_to_any_round(opened, run, settled):
    run()
    run(new=0.1, old=0.9)
    table = opened.retrain_page.rounds
    assert list(entries(table.menu_of(0))) == ["Use the model of round 2", "Use the starter model"]
    assert list(entries(table.menu_of(1))) == ["Use the starter model"]
    entries(table.menu_of(-1))["Use the starter model"].trigger()
    settled(opened)
    assert opened.header.model.text().startswith("Starter model")
    assert list(entries(table.menu_of(1))) == ["Use the model of round 1"]
    entries(table.menu_of(1))["Use the model of round 1"].trigger()
    settled(opened)
    assert opened.header.model.text().startswith("Model of round 1")
    assert opened.bench.session.project.round(2).state is RoundState.KEPT_BESIDE


def test_starter_stays_in_charge_when_the_project_is_opened_again(opened, run, settled):
    run()
    opened.retrain_page.history.starter.click()
    settled(opened)
    path = opened.bench.session.project.path
    opened.bench.open_project(path)
    settled(opened)
    assert opened.header.model.text().startswith("Starter model")
    assert not opened.retrain_page.rounds.item(0, 0).font().bold()
