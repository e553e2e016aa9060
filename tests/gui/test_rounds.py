from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_semimoe.core.checkpoint_info import read_info
from napari_semimoe.core.states import JobState, Pool, RoundState
from napari_semimoe.gui import tile_difference
from napari_semimoe.gui.branch_lines import LEVEL_PX
from napari_semimoe.gui.steps import Step
from napari_semimoe.project.found_masks import AFTER, BEFORE, write_found
from napari_semimoe.session.lineage import Lineage
from tests.header_only import write_weights
from tests.session.test_lineage import lineage_of

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


def offers(tree, number):
    """Return the menu's entries on a round, or below the last row."""
    return entries(tree.menu_of(tree.row_of(number)))


def drawn(tree):
    """Return every row from top to bottom, as deep as it stands, with a * where it is marked."""

    def below(item, depth):
        mark = " *" if item.is_marked and item.font(0).bold() else ""
        yield f"{'  ' * depth}{item.text(0)}{mark}"
        for place in range(item.childCount()):
            yield from below(item.child(place), depth + 1)

    tops = [tree.topLevelItem(place) for place in range(tree.topLevelItemCount())]
    return [line for top in tops for line in below(top, 0)]


def test_round_whose_model_predicts_is_marked_below_what_it_began_from(opened, run):
    tree = opened.retrain_page.rounds
    assert drawn(tree) == ["starter *"]
    run()
    run()
    assert drawn(tree) == ["starter", "  1", "  2 *"]
    assert [tree.row_of(number).text(3) for number in (1, 2)] == ["promoted", "in use"]
    assert [tree.row_of(number).goes_on for number in (1, 2)] == [False, True]
    assert "Began from round 1." in tree.row_of(2).toolTip(0)


def test_process_that_trains_starts_when_the_page_is_opened(opened, engine, settled):
    assert "train" not in engine.warmed
    opened.show_step(Step.RETRAIN)
    settled(opened)
    assert "train" in engine.warmed


def test_branch_leaves_the_line_of_the_newest_round(opened, run, settled):
    page = opened.retrain_page
    run()
    run(new=0.1, old=0.9)
    run()
    assert drawn(page.rounds) == ["starter", "  1", "    2", "  3 *"]
    choose(page, "round 2")
    run(new=0.1, old=0.9)
    choose(page, "nothing (random weights)")
    run(new=0.1, old=0.9)
    assert drawn(page.rounds) == ["starter", "  1", "    3 *", "  2", "  4", "nothing", "  5"]
    rows = {number: page.rounds.row_of(number) for number in range(1, 6)}
    assert [rows[number].leads_down for number in rows] == [True, True, False, False, False]
    assert rows[1].leads_past(rows[3])  # to round 2, beside the branch
    assert not rows[1].parent().leads_past(rows[1])


def test_button_puts_the_selected_round_in_charge(opened, run, settled):
    run()
    run()
    page = opened.retrain_page
    page.rounds.select_round(2)
    assert not page.history.use.isEnabled()  # it predicts already
    page.rounds.select_round(1)
    page.history.use.click()
    settled(opened)
    assert opened.header.model.text().startswith("Model of round 1")
    assert drawn(page.rounds) == ["starter", "  1 *", "  2"]
    assert not page.history.use.isEnabled()


def test_page_says_how_much_was_changed_in_what_the_models_suggested(opened, run, settled, engine):
    history = opened.retrain_page.history
    assert history.effort.isHidden()
    opened.bench.desk.accept()
    settled(opened)
    told = "You accepted 1 tile that the starter suggested, 1 without a change: 0.0% of"
    assert history.effort.text().startswith(told)
    run()  # round 1 predicts
    history.tree.clearSelection()
    assert history.effort.isHidden()
    history.tree.setCurrentItem(history.tree.topLevelItem(0))  # what it began from
    assert history.effort.text().startswith(told)
    engine.predict_everything()
    settled(opened)
    opened.bench.desk.accept()
    settled(opened)
    history.tree.select_round(1)
    assert history.effort.text().startswith("You accepted 1 tile that round 1 suggested")
    assert "; with the starter 0.0%" in history.effort.text()
    opened.bench.close_project()
    settled(opened)
    assert history.effort.isHidden()


def test_starter_is_used_by_its_row_and_marked_there(opened, run, settled):
    run()
    page = opened.retrain_page
    root = page.rounds.topLevelItem(0)
    assert list(entries(page.rounds.menu_of(root))) == ["Use the starter model"]
    page.rounds.itemDoubleClicked.emit(root, 0)
    settled(opened)
    assert opened.header.model.text().startswith("Starter model")
    root = page.rounds.topLevelItem(0)
    assert drawn(page.rounds) == ["starter *", "  1"]
    assert root.text(3) == "in use"
    assert list(entries(page.rounds.menu_of(root))) == []
    page.rounds.itemDoubleClicked.emit(root, 0)  # it predicts already
    settled(opened)
    assert opened.header.model.text().startswith("Starter model")


def test_enter_uses_the_model_of_the_row(opened, run, settled, qtbot):
    run()
    run()
    page = opened.retrain_page
    page.rounds.select_round(1)
    qtbot.keyClick(page.rounds, Qt.Key.Key_Return)
    settled(opened)
    assert opened.header.model.text().startswith("Model of round 1")
    qtbot.keyClick(page.rounds, Qt.Key.Key_Up)
    assert page.history.use.isEnabled()
    qtbot.keyClick(page.rounds, Qt.Key.Key_Enter)
    settled(opened)
    assert opened.header.model.text().startswith("Starter model")
    page.rounds.clearSelection()
    qtbot.keyClick(page.rounds, Qt.Key.Key_Enter)
    settled(opened)
    assert opened.header.model.text().startswith("Starter model")


def test_file_that_a_round_began_from_is_a_root_with_no_model_to_use(opened):
    records = lineage_of(0, 1).rounds
    first = dataclasses.replace(records[0], base="models/1/gland.safetensors")
    tree = opened.retrain_page.rounds
    tree.show_rounds(Lineage((first, records[1]), in_charge="starter 1", has_starter=True))
    assert drawn(tree) == ["gland.safetensors", "  1", "  2", "starter *"]
    tree.setCurrentItem(tree.topLevelItem(0))
    assert tree.selected is None
    assert not tree.selected_can_be_used


def test_refresh_keeps_what_is_selected_and_where_the_rows_stand(opened, qtbot):
    opened.show_step(Step.RETRAIN)
    tree, many = opened.retrain_page.rounds, lineage_of(*range(60))
    tree.show_rounds(many)
    bar = tree.verticalScrollBar()
    assert bar.value() == bar.maximum() > 0  # the newest round is in view
    tree.select_round(30)
    bar.setValue(7)
    tree.show_rounds(dataclasses.replace(many, names={30: "half way"}))
    assert (tree.selected.number, bar.value()) == (30, 7)
    assert tree.row_of(30).text(0) == "30 half way"
    tree.show_rounds(lineage_of(*range(61)))
    assert (tree.selected.number, bar.value()) == (30, bar.maximum())
    tree.show_rounds(Lineage())
    assert drawn(tree) == []
    assert tree.selected is None


def test_long_lineages_stay_within_the_page(opened, qtbot):
    opened.show_step(Step.RETRAIN)
    tree = opened.retrain_page.rounds
    names = {number: "a name of many words" for number in range(1, 201)}
    tree.show_rounds(dataclasses.replace(lineage_of(*range(200)), names=names))
    qtbot.wait(50)
    assert tree.header().length() <= tree.viewport().width()
    assert tree.visualItemRect(tree.row_of(200)).left() == 2 * LEVEL_PX


def test_lost_weights_of_the_model_in_charge_are_told_in_the_window(opened, run, settled):
    run()
    path = opened.bench.session.project.path
    opened.bench.close_project()
    settled(opened)
    (path / "rounds/1/model.safetensors").unlink()
    opened.bench.open_project(path)
    settled(opened)
    assert opened.messages.is_error
    assert "The weights of round 1, which was in charge, are gone" in opened.messages.text
    assert opened.header.model.text().startswith("Starter model")


def test_button_goes_back_to_the_starter_and_the_plan_follows(opened, run, settled, qtbot):
    page = opened.retrain_page
    assert not page.history.starter.isEnabled()
    run()
    page.history.starter.click()
    settled(opened)
    assert opened.header.model.text().startswith("Starter model")
    assert "starter model predicts" in opened.messages.text
    assert not page.history.starter.isEnabled()
    qtbot.waitUntil(lambda: page.plan.text().startswith("Round 2: from starter"))


def test_menu_goes_back_to_the_starter_or_to_any_round(opened, run, settled):
    run()
    run(new=0.1, old=0.9)
    tree = opened.retrain_page.rounds
    words = {number: [f"Name round {number}…", f"Note on round {number}…"] for number in (1, 2)}
    assert list(offers(tree, 2)) == ["Use the model of round 2", "Use the starter model", *words[2]]
    assert list(offers(tree, 1)) == ["Use the starter model", *words[1]]
    entries(tree.menu_of(None))["Use the starter model"].trigger()
    settled(opened)
    assert opened.header.model.text().startswith("Starter model")
    assert list(offers(tree, 1)) == ["Use the model of round 1", *words[1]]
    offers(tree, 1)["Use the model of round 1"].trigger()
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
    assert drawn(opened.retrain_page.rounds) == ["starter *", "  1"]


def offered(page):
    return [page.begin.itemText(index) for index in range(page.begin.count())]


def choose(page, text):
    index = offered(page).index(text)
    page.begin.setCurrentIndex(index)
    page.begin.activated.emit(index)


def test_round_begins_from_what_the_person_chose_and_the_line_says_so(
    opened, run, settled, engine, qtbot, monkeypatch, tmp_path
):
    monkeypatch.setattr(
        "napari_semimoe.session.lineage.imagenet_encoder", lambda: tmp_path / "encoder.pth"
    )
    run()
    run()
    page = opened.retrain_page
    assert offered(page) == [
        "the model in use",
        "the starter model",
        "round 2",
        "round 1",
        "an encoder trained on ImageNet",
        "nothing (random weights)",
        "a weights file…",
    ]
    choose(page, "nothing (random weights)")
    qtbot.waitUntil(lambda: page.plan.text().startswith("Round 3: from nothing"))
    choose(page, "round 1")
    qtbot.waitUntil(lambda: page.plan.text().startswith("Round 3: from round 1"))
    job = start_round(opened, settled, engine)
    assert job.payload["base"].endswith("rounds/1/model.safetensors")
    assert page.begin.currentText() == "the model in use"  # the choice held for one round
    engine.train(job)
    settled(opened)
    assert "Began from round 1." in page.rounds.row_of(3).toolTip(0)


def test_weights_file_is_chosen_in_a_dialog_and_giving_none_changes_nothing(
    opened, settled, tmp_path, monkeypatch, qtbot
):
    page = opened.retrain_page
    answers = ["", str(write_weights(tmp_path / "gland.safetensors"))]
    monkeypatch.setattr(
        "napari_semimoe.gui.start_box.QFileDialog.getOpenFileName",
        lambda *_: (answers.pop(0), ""),
    )
    choose(page, "a weights file…")
    assert page.begin.currentText() == "the model in use"
    choose(page, "a weights file…")
    assert page.begin.currentText() == "gland.safetensors"
    qtbot.waitUntil(lambda: "from gland.safetensors" in page.plan.text())


def test_encoder_is_chosen_as_a_file_like_any_other(
    opened, settled, engine, tmp_path, monkeypatch, qtbot
):
    page = opened.retrain_page
    encoder = tmp_path / "resnet18.pth"
    encoder.write_bytes(b"PK\x03\x04, and the rest is read by the worker only")
    asked = []

    def answer(*values):
        asked.append(values[-1])
        return str(encoder), ""

    monkeypatch.setattr("napari_semimoe.gui.start_box.QFileDialog.getOpenFileName", answer)
    choose(page, "a weights file…")
    assert asked == ["Weights and encoders (*.safetensors *.bin *.pth *.pt)"]
    assert page.begin.currentText() == "resnet18.pth"
    qtbot.waitUntil(lambda: "from the encoder resnet18.pth" in page.plan.text())
    job = start_round(opened, settled, engine)
    assert job.payload["model"]["architecture"] == "pretrained"
    assert Path(job.payload["base"]).read_bytes() == encoder.read_bytes()


def test_beginning_that_cannot_be_used_is_said_and_the_button_waits(
    opened, settled, tmp_path, monkeypatch, qtbot
):
    page = opened.retrain_page
    with monkeypatch.context() as patched:
        patched.setattr("napari_semimoe.session.plan.read_info", read_info)
        page.begin.choose_file(tmp_path / "gone.safetensors")
        qtbot.waitUntil(lambda: "does not exist" in page.plan.text())
        assert not page.start.isEnabled()
    page.begin.reset()
    qtbot.waitUntil(page.start.isEnabled)


@pytest.fixture
def scored(opened, settled, engine):
    """Return a function that ends a round with scores (before, after) of tiles."""

    def train(steps=(), **tiles):
        job = start_round(opened, settled, engine)
        folder = opened.bench.session.project.round_folder(1)
        write_weights(folder / "model.safetensors")
        (folder / "log.jsonl").write_text("\n".join(steps))
        parts = [{name: pair[part] for name, pair in tiles.items()} for part in (0, 1)]
        old, new = (
            {"tiles": len(part), "dice": sum(part.values()) / len(part), "per_tile_dice": part}
            for part in parts
        )
        weights = str(folder / "model.safetensors")
        result = {"weights": weights, "validation": new, "base_validation": old}
        engine.finish(job, JobState.DONE, result=result)
        settled(opened)

    return train


def test_end_of_a_round_shows_which_tiles_got_worse_and_a_click_opens_one(
    opened, scored, settled, qtbot
):
    scored(tile_5=(0.5, 0.9), tile_6=(0.9, 0.8), gone=(0.7, 0.7))
    report = opened.retrain_page.history.report
    assert report.isVisible()
    assert report.sentence.text() == (
        "Round 1 against starter: Dice 0.700 → 0.800; 1 of 3 tiles got worse."
    )
    rows = [[report.table.item(row, column).text() for column in range(4)] for row in range(3)]
    assert rows[0] == ["tile_6", "0.900", "0.800", "-0.100"]
    assert [row[0] for row in rows] == ["tile_6", "gone", "tile_5"]
    assert [report.table.item(row, 0).font().bold() for row in range(3)] == [True, False, False]
    assert opened.bench.desk.view.tile.name != "tile_6"
    cell = report.table.visualItemRect(report.table.item(0, 0)).center()
    qtbot.mouseClick(report.table.viewport(), Qt.MouseButton.LeftButton, pos=cell)
    settled(opened)
    assert opened.bench.desk.view.tile.name == "tile_6"
    report.table.cellClicked.emit(1, 0)  # a tile that is not there any more opens nothing
    settled(opened)
    assert opened.bench.desk.view.tile.name == "tile_6"


def test_end_of_a_round_comes_into_view_in_a_low_window(opened, scored, qtbot):
    opened.window().resize(1000, 500)
    opened.show_step(Step.RETRAIN)
    scored(tile_5=(0.5, 0.9), tile_6=(0.9, 0.8))
    report = opened.retrain_page.history.report
    qtbot.waitUntil(lambda: not report.sentence.visibleRegion().isEmpty())


def test_enter_opens_the_tile_of_a_row(opened, scored, settled, qtbot):
    scored(tile_5=(0.5, 0.9), tile_6=(0.9, 0.8))
    table = opened.retrain_page.history.report.table
    for row, name in ((0, "tile_6"), (1, "tile_5")):
        table.setCurrentCell(row, 0)
        settled(opened)
        assert opened.bench.desk.view.tile.name != name  # to look at a row opens nothing yet
        qtbot.keyClick(table, Qt.Key.Key_Return)
        settled(opened)
        assert opened.bench.desk.view.tile.name == name


def test_letters_typed_over_tables_of_rounds_reach_the_canvas(opened, scored, settled, qtbot):
    scored(tile_5=(0.5, 0.9), tile_6=(0.9, 0.8))
    history = opened.retrain_page.history
    for typed_over in (history.tree, history.report.table):
        tile = opened.bench.desk.view.tile
        qtbot.keyClick(typed_over, Qt.Key.Key_A)
        settled(opened)
        assert opened.bench.session.project.annotations(tile.id)


def test_click_on_a_tile_shows_what_got_better_and_worse_until_the_tile_goes(
    opened, viewer, scored, settled, monkeypatch
):
    """The mask of tile 1 is [5:15, 5:15]; before, its left half was found, now its upper half."""
    scored(tile_1=(0.6, 0.6), tile_2=(0.9, 0.9))
    folder = opened.bench.session.project.round_folder(1)
    before, after = np.zeros((60, 80), bool), np.zeros((60, 80), bool)
    before[5:15, 5:10] = after[5:10, 5:15] = after[40, 40] = True
    write_found(folder / BEFORE, {"tile_1": before})
    write_found(folder / AFTER, {"tile_1": after})
    report = opened.retrain_page.history.report
    report.table.cellClicked.emit(0, 0)
    settled(opened)
    layer = viewer.layers[tile_difference.NAME]
    better, worse = np.argwhere(layer.data == 1), np.argwhere(layer.data == 2)
    assert (better.min(0).tolist(), better.max(0).tolist(), len(better)) == ([5, 10], [9, 14], 25)
    assert len(worse) == 26  # the lower left quarter is lost, and one pixel is invented
    assert tuple(layer.scale) == (0.5, 0.5)
    assert viewer.layers.selection.active is viewer.layers["pseudo-label"]
    assert viewer.layers["pseudo-label"].contour == 2  # nothing is hidden under it
    assert "Green: only round 1 is right" in opened.messages.text
    fitted = []
    monkeypatch.setattr(
        type(viewer), "reset_view", lambda self, **_: fitted.append(set(map(str, self.layers)))
    )
    report.table.cellClicked.emit(1, 0)
    settled(opened)
    assert [tile_difference.NAME in names for names in fitted] == [False]
    assert tile_difference.NAME not in viewer.layers
    assert viewer.layers["pseudo-label"].contour == 0
    assert "Where round 1 differs is not known" in opened.messages.text


def test_another_score_is_shown_when_it_is_chosen(opened, scored):
    scored(tile_5=(0.5, 0.9))
    report = opened.retrain_page.history.report
    report.show_measure("object_hausdorff_px")
    report.measure_chosen.emit()
    assert report.sentence.text() == (
        "Round 1 has no object Hausdorff: it was not measured on validation tiles."
    )
    assert not report.table.isVisible()
    report.show_measure("dice")
    report.measure_chosen.emit()
    assert report.table.item(0, 3).text() == "+0.400"


def test_report_follows_the_selected_round(opened, scored, run):
    scored(tile_5=(0.5, 0.9))
    run()
    page = opened.retrain_page
    assert page.rounds.selected.number == 2
    assert not page.history.report.isVisible()  # that round was not scored
    page.rounds.select_round(1)
    assert page.history.report.sentence.text().startswith("Round 1 against starter")
    page.rounds.clearSelection()
    assert not page.history.report.isVisible()


def test_collapsed_round_is_told_and_does_not_take_over(opened, scored):
    steps = [f'{{"gates": {{"segmentation<-segmentation": {share},' for share in (0.5, 1.0)]
    tail = [f'"segmentation<-boundary": {share}}}}}' for share in (0.5, 0.0)]
    first, last = (start + end for start, end in zip(steps, tail, strict=True))
    scored([first] * 10 + [last] * 10, tile_5=(0.5, 0.9))
    assert opened.messages.is_error
    assert "listens to the segmentation expert alone" in opened.messages.text
    assert opened.header.model.text().startswith("Starter model")
    assert "expert alone" in opened.retrain_page.rounds.row_of(1).toolTip(0)


def test_round_is_named_in_a_dialog_and_keeps_its_name(opened, run, settled, monkeypatch):
    run()
    tree = opened.retrain_page.rounds
    answers = [("after the tumours", True), ("not this", False)]
    monkeypatch.setattr(
        "napari_semimoe.gui.rounds_panel.QInputDialog.getText", lambda *_, **__: answers.pop(0)
    )
    for _ in range(2):
        offers(tree, 1)["Name round 1…"].trigger()
        settled(opened)
        assert tree.row_of(1).text(0) == "1 after the tumours"
        assert "Round 1: after the tumours" in tree.row_of(1).toolTip(0)


def test_note_is_written_in_a_dialog_and_told_where_the_round_is(
    opened, run, scored, settled, monkeypatch
):
    scored(tile_5=(0.5, 0.9))
    run()
    page = opened.retrain_page
    report = page.history.report
    answers = [("misses <small> glands\nask Dr B", True), ("not this", False), ("", True)]
    shown = []

    def answer(*given):
        shown.append(given[3])
        return answers.pop(0)

    monkeypatch.setattr("napari_semimoe.gui.rounds_panel.QInputDialog.getMultiLineText", answer)
    for _ in range(2):
        offers(page.rounds, 2)["Note on round 2…"].trigger()
        settled(opened)
        assert page.rounds.row_of(2).text(4) == "✎"
        assert "misses &lt;small&gt; glands<br>ask Dr B" in page.rounds.row_of(2).toolTip(0)
        assert report.note.text() == "✎ misses <small> glands\nask Dr B"
        assert report.note.isVisible()
        assert not report.measures.isVisible()  # that round was not scored
    page.rounds.select_round(1)
    assert (report.note.isVisible(), report.measures.isVisible()) == (False, True)
    page.rounds.select_round(2)
    offers(page.rounds, 2)["Note on round 2…"].trigger()
    settled(opened)
    assert shown == ["", *["misses <small> glands\nask Dr B"] * 2]
    assert page.rounds.row_of(2).text(4) == ""
    assert not report.isVisible()


def test_lines_lead_from_each_row_to_what_it_began_from(opened, qtbot):
    """Pixels of the lanes: level 1 runs past the branch, and nothing hangs on the last row."""
    opened.show_step(Step.RETRAIN)
    tree = opened.retrain_page.rounds
    tree.show_rounds(lineage_of(0, 1, 1))  # 1, then 2 beside, then 3
    picture = tree.viewport().grab().toImage()
    scale = picture.devicePixelRatio()
    empty = picture.pixelColor(1, picture.height() - 2)

    def is_drawn(number, level, part):
        box = tree.visualItemRect(tree.row_of(number))
        x, y = (level + 0.5) * LEVEL_PX, box.top() + part * box.height()
        return picture.pixelColor(int(x * scale), int(y * scale)) != empty

    assert [is_drawn(2, level, 0.1) for level in (0, 1, 2)] == [False, True, False]
    assert [is_drawn(2, level, 0.9) for level in (0, 1, 2)] == [False, True, False]
    assert [is_drawn(2, level, 0.5) for level in (0.5, 1.5)] == [False, True]
    assert [is_drawn(3, 1, part) for part in (0.1, 0.9)] == [True, False]
    assert [is_drawn(1, 0, part) for part in (0.1, 0.9)] == [True, False]


@pytest.fixture
def taught(opened, settled, engine):
    """A round in which tiles 5 and 6 taught."""
    job = start_round(opened, settled, engine)
    folder = opened.bench.session.project.round_folder(1)
    write_weights(folder / "model.safetensors")
    shares = {"foreground": 0.25, "coverage": 0.5, "weight": 0.4}
    result = {
        "weights": str(folder / "model.safetensors"),
        "validation": None,
        "base_validation": None,
        "taught": {"tile_5": shares, "tile_6": shares},
    }
    engine.finish(job, JobState.DONE, result=result)
    settled(opened)
    return opened.retrain_page.history.taught


def test_what_unlabelled_tiles_taught_is_listed_and_a_click_or_enter_opens_the_tile(
    opened, taught, settled, qtbot
):
    assert taught.isVisible()
    rows = [[taught.table.item(row, column).text() for column in range(5)] for row in range(2)]
    assert rows[0] == ["tile_5", "25%", "50%", "40%", "–"]
    taught.table.cellClicked.emit(1, 0)
    settled(opened)
    assert opened.bench.desk.view.tile.name == "tile_6"
    taught.table.setCurrentCell(0, 0)
    qtbot.keyClick(taught.table, Qt.Key.Key_Return)
    settled(opened)
    assert opened.bench.desk.view.tile.name == "tile_5"
    qtbot.keyClick(taught.table, Qt.Key.Key_A)
    settled(opened)
    assert opened.bench.session.project.tile(5).pool is Pool.CURATED
    opened.retrain_page.rounds.clearSelection()
    assert not taught.isVisible()


def test_excluded_tile_teaches_no_more(opened, taught, settled):
    page = opened.retrain_page
    assert not taught.exclude.isEnabled()
    settled(opened)
    before = page.plan.text()
    taught.table.selectRow(0)
    taught.exclude.click()
    settled(opened)
    tile = next(each for each in opened.bench.session.tiles() if each.name == "tile_5")
    assert tile.pool is Pool.EXCLUDED
    assert "The tile is excluded" in opened.messages.text
    assert page.plan.text() != before


def test_nothing_is_listed_of_the_project_before(opened, taught, settled, tmp_path):
    page, seen = opened.retrain_page, []
    lists = (opened.predict_page.table.model(), page.rounds.model(), taught.table.model())
    taught.table.selectRow(0)
    opened.bench.project_changed.connect(lambda: seen.append([each.rowCount() for each in lists]))
    opened.bench.new_project(tmp_path / "other", ("background", "gland"))
    settled(opened)
    assert seen == [[0, 0, 0]]
    assert drawn(page.rounds) == ["starter *"]


def test_agreement_says_what_it_lets_through(opened, settled):
    page = opened.retrain_page
    page.common.container["agreement"].value = 0.5
    settled(opened)
    assert "how many pixels teach is not known before a round was checked" in page.plan.text()


def test_round_that_shall_go_on_is_left_to_a_keeper_when_the_project_is_closed(
    opened, settled, engine, monkeypatch
):
    left = []
    monkeypatch.setattr(
        "napari_semimoe.session.session.start_keeper", lambda *given: left.append(given[:2])
    )
    page, path = opened.retrain_page, opened.bench.session.project.path
    assert not page.progress.goes_on.isVisible()
    start_round(opened, settled, engine)
    page.progress.goes_on.click()
    opened.bench.close_project()
    settled(opened)
    assert left == [(path, 1)]
    assert opened.messages.text.startswith("Round 1 goes on in the background")
    opened.bench.session.round_goes_on = False  # as in a window that was opened later
    opened.bench.open_project(path)
    settled(opened)
    assert opened.bench.session.running_round == 1
    assert page.progress.goes_on.isChecked()


def test_round_is_paused_without_alarm_when_its_project_is_closed(
    opened, settled, engine, monkeypatch
):
    start_round(opened, settled, engine)
    selected = []  # in the list of the next project, which may have a round of this number
    monkeypatch.setattr(opened.retrain_page.history, "show_end_of", selected.append)
    opened.bench.close_project()
    settled(opened)
    assert selected == []
    assert "is paused" in opened.messages.text
    assert not opened.messages.is_error


def test_round_that_goes_on_shows_the_curves_it_had(opened, settled, engine):
    page = opened.retrain_page
    start_round(opened, settled, engine)
    folder = opened.bench.session.project.round_folder(1)
    step = {"total": 3.0, "losses": {"labelled/segmentation": 0.5}, "weights": {}, "gates": {}}
    lines = [json.dumps({"event": "step", "step": number, **step}) for number in (1, 2, 3)]
    (folder / "log.jsonl").write_text("\n".join([*lines, '{"cut off']))
    page.progress.pause.click()
    settled(opened)
    assert page.progress.plot.drawn("labelled") == []
    page.go_on.click()
    settled(opened)
    assert page.progress.plot.drawn("labelled") == [0.5, 0.5, 0.5]


def test_curves_are_told_apart_without_their_colours(opened):
    plot = opened.retrain_page.progress.plot
    keys = ("total", "labelled", "unlabelled")
    assert len({plot._curves[key].opts["pen"].style() for key in keys}) == len(keys)
    assert all(sign in plot._legend.text() for sign in ("━━", "╍╍", "•••"))
