"""The picture of finished runs: nothing left out, nothing cut."""

from itertools import pairwise

import pytest
from PIL import Image

from benchmarks.finished import Group
from benchmarks.plot import figure_of


def run(split, dice, seed=0):
    return {"split": split, "seed": seed, "honest": {"dice": dice}}


@pytest.fixture(params=["ours", "W" * 40])
def figure(request):
    """Return a picture of two methods with four and two runs."""
    ours = [run("heldout-17-0", 0.7), run("heldout-17-1", 0.8), run("heldout-17-2", 0.75)]
    groups = {
        Group("heldout-17", request.param, 240): [*ours, run("heldout-17-0", 0.79, seed=1)],
        Group("heldout-17", "cps", 240): [run("heldout-17-0", 0.9), run("heldout-17-1", 0.84)],
    }
    return figure_of(groups)


def test_there_is_a_dot_for_each_run_where_its_score_is_in_the_marks_of_its_draw(figure):
    drawn = {c.get_label(): c.get_offsets().tolist() for c in figure.axes[0].collections}
    assert drawn["draw 0"] == [[0.7, 0], [0.79, 0], [0.9, 1]]
    assert drawn["draw 1"] == [[0.8, 0], [0.84, 1]]
    assert drawn["draw 2"] == [[0.75, 0]]


def test_the_best_mean_is_on_top_and_every_row_tells_its_runs(figure):
    low, high = (label.get_text() for label in figure.axes[0].get_yticklabels())
    assert high == "cps  0.870\nheldout-17, 240 steps, 2 runs"
    assert low.endswith("0.760\nheldout-17, 240 steps, 4 runs")


def test_words_are_neither_cut_nor_on_top_of_each_other(figure):
    figure.draw_without_rendering()
    width, height = figure.canvas.get_width_height()
    assert width <= 900
    axes = figure.axes[0]
    low, high = axes.get_xlim()
    ticks = [label for label in axes.get_xticklabels() if low <= label.get_position()[0] <= high]
    words = [*axes.get_yticklabels(), *ticks, axes.xaxis.label]
    boxes = [each.get_window_extent() for each in [*words, axes.get_legend()]]
    assert all(b.x0 >= 0 and b.y0 >= 0 and b.x1 <= width and b.y1 <= height for b in boxes)
    rows = sorted((b.y0, b.y1) for b in boxes[:2])
    assert all(one[1] <= other[0] for one, other in pairwise(rows))
    assert axes.get_window_extent().width > 150


def test_all_labels_have_marks_of_their_own():
    groups = {
        Group("heldout-17", "ours", 9): [run("heldout-17-1", 0.5)],
        Group("heldout-all", "ours", 9): [run("heldout-all", 0.5)],
    }
    labels = {c.get_label() for c in figure_of(groups).axes[0].collections}
    assert {"draw 1", "all labels"} <= labels


def test_plot_writes_a_white_picture_of_the_folder(tmp_path, call, finished_run):
    for draw, dice in enumerate((0.7, 0.8, 0.75)):
        finished_run(tmp_path, "ours", draw, dice)
    file = tmp_path / "new" / "plot.png"
    call("plot", "--out", tmp_path, "--png", file)
    with Image.open(file) as picture:
        assert picture.convert("RGB").getpixel((0, 0)) == (255, 255, 255)


def test_plot_of_a_folder_without_scores_is_refused_in_words(tmp_path, call):
    with pytest.raises(SystemExit, match="holds no run with held-out scores"):
        call("plot", "--out", tmp_path, "--png", tmp_path / "plot.png")
    assert not (tmp_path / "plot.png").exists()
