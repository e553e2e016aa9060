from __future__ import annotations

import threading
import time

import pytest

from napari_semimoe.core.errors import StorageError
from napari_semimoe.gui.bridge import Background
from tests.patience import PATIENCE


@pytest.fixture
def background(qtbot):
    background = Background()
    yield background
    background.close()


def test_work_runs_elsewhere_and_its_result_comes_back_here(background, qtbot):
    threads = []
    background.run(threading.get_ident, threads.append)
    qtbot.waitUntil(lambda: bool(threads))
    assert threads[0] != threading.get_ident()
    background.run(lambda: None, lambda _: threads.append(threading.get_ident()))
    qtbot.waitUntil(lambda: len(threads) == 2)
    assert threads[1] == threading.get_ident()


def test_work_is_done_in_the_order_in_which_it_was_asked_for(background, qtbot):
    done = []
    for number in range(20):
        background.run(lambda number=number: number, done.append)
    qtbot.waitUntil(lambda: len(done) == 20)
    assert done == list(range(20))


def test_own_errors_are_told_in_their_own_words(background, qtbot, caplog):
    def refuse():
        raise StorageError("The disk is full. Free some space.")

    told, after = [], []
    background.failed.connect(told.append)
    background.run(refuse, otherwise=after.append, title="Storing")
    qtbot.waitUntil(lambda: bool(after))
    assert told == ["The disk is full. Free some space."]
    assert "Storing failed" in caplog.text
    assert "Traceback" in caplog.text


def test_unforeseen_errors_point_to_the_log(background, qtbot):
    told = []
    background.failed.connect(told.append)
    background.run(lambda: {}["missing"])
    qtbot.waitUntil(lambda: bool(told))
    assert "log" in told[0]


def test_work_goes_on_after_a_failure(background, qtbot):
    done = []
    background.run(lambda: 1 / 0)
    background.run(lambda: "next", done.append)
    qtbot.waitUntil(lambda: bool(done))


def test_busy_is_told_from_the_first_titled_work_to_the_last(background, qtbot):
    told = []
    background.busy_changed.connect(told.append)
    background.run(lambda: None, title="Opening")
    background.run(lambda: None)
    background.run(lambda: None, title="Adding")
    qtbot.waitUntil(lambda: told[-1:] == [""])
    assert told == ["Opening", "Opening", "Adding", ""]


def test_closing_finishes_what_was_asked_for_and_refuses_more(background, qtbot):
    written, heard = [], []
    background.run(lambda: written.append("draft"), heard.append)
    background.close()
    background.run(lambda: written.append("late"))
    qtbot.wait(20)
    assert written == ["draft"]
    assert heard == []


def test_what_fails_after_closing_is_in_the_log(background, caplog):
    background.run(lambda: 1 / 0, title="Storing")
    background.close()
    assert "Storing failed" in caplog.text
    assert "ZeroDivisionError" in caplog.text


def test_held_work_is_asked_to_stop_and_what_waits_comes_after(background, qtbot):
    started, order = threading.Event(), []

    def long_work():
        started.set()
        while not background.should_stop():
            time.sleep(0.01)
        order.append("stopped")

    background.run(long_work)
    background.run(lambda: order.append(f"next, asked to stop: {background.should_stop()}"))
    assert started.wait(PATIENCE)
    with background.held():
        order.append("held")
    qtbot.waitUntil(lambda: not background.pending)
    assert order == ["stopped", "held", "next, asked to stop: False"]
