"""The picture of finished runs: nothing left out, nothing cut, nothing on top of another."""

from itertools import combinations

import pytest
from PIL import Image, ImageColor

from benchmarks.finished import Group
from benchmarks.plot import Chart, rows_of, ticks_of


def run(split, dice, seed=0):
    return {"split": split, "seed": seed, "honest": {"dice": dice}}


def chart(name="ours"):
    """Return a chart of two methods with four and two runs."""
    ours = [run("heldout-17-0", 0.7), run("heldout-17-1", 0.8), run("heldout-17-2", 0.75)]
    groups = {
        Group("heldout-17", name, 240): [*ours, run("heldout-17-0", 0.79, seed=1)],
        Group("heldout-17", "cps", 240): [run("heldout-17-0", 0.9), run("heldout-17-1", 0.84)],
    }
    return Chart(rows_of(groups))


def test_rows_are_sorted_by_their_mean_and_hold_every_run():
    rows = chart().rows
    assert [row.name for row in rows] == [["cps"], ["ours"]]
    assert [row.mean for row in rows] == pytest.approx([0.87, 0.76])
    assert [row.detail for row in rows] == [
        "heldout-17, 240 steps, 2 runs",
        "heldout-17, 240 steps, 4 runs",
    ]


def test_there_is_a_dot_for_each_run_with_its_draws_colour_where_its_score_is():
    drawn = chart()
    picture = drawn.draw()
    dots = drawn.dots()
    assert len(dots) == 6
    assert [drawn.ticks[0], drawn.ticks[-1]] == [0.7, 0.9]
    assert dots[0].x == pytest.approx(drawn.right)  # 0.9, the end of the axis
    assert dots[2].x == pytest.approx(drawn.left)  # 0.7, its beginning
    assert len({dot.mark for dot in dots}) == 3
    assert dots[2].mark == dots[5].mark  # two seeds of draw 0
    for dot in dots:
        seen = picture.getpixel((round(dot.x), round(dot.y)))
        assert seen == ImageColor.getrgb(dot.mark.colour)


@pytest.mark.parametrize("name", ["ours", "W" * 70, "one of many words that says what it changes"])
def test_words_are_neither_cut_nor_on_top_of_each_other(name):
    drawn = chart(name)
    width, height = drawn.draw().size
    assert width <= 900
    boxes = [words.box for words in drawn.words()]
    for left, top, right, bottom in boxes:
        assert 0 <= left < right <= width
        assert 0 <= top < bottom <= height
    for one, other in combinations(boxes, 2):
        assert one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]
    assert drawn.right - drawn.left > 200


def test_draws_and_all_labels_have_marks_of_their_own():
    groups = {
        Group("heldout-17", "ours", 9): [run("heldout-17-1", 0.5)],
        Group("heldout-all", "ours", 9): [run("heldout-all", 0.5)],
    }
    drawn = Chart(rows_of(groups))
    assert list(drawn.marks) == ["1", ""]
    assert {"draw 1", "all labels"} <= {words.text for words in drawn.words()}


@pytest.mark.parametrize(
    ("values", "ticks"),
    [
        ([0.474, 0.819], [0.4, 0.5, 0.6, 0.7, 0.8, 0.9]),
        ([0.81, 0.86], [0.81, 0.82, 0.83, 0.84, 0.85, 0.86]),
        ([0.5], [0.5, 0.51]),
        ([0.0, 1.0], [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]),
    ],
)
def test_ticks_are_round_and_hold_every_score(values, ticks):
    assert ticks_of(values) == ticks


def test_plot_writes_a_white_picture_of_the_folder(tmp_path, call, finished_run):
    for draw, dice in enumerate((0.7, 0.8, 0.75)):
        finished_run(tmp_path, "ours", draw, dice)
    file = tmp_path / "new" / "plot.png"
    call("plot", "--out", tmp_path, "--png", file)
    with Image.open(file) as picture:
        assert picture.getpixel((0, 0)) == (255, 255, 255)


def test_plot_of_a_folder_without_scores_is_refused_in_words(tmp_path, call):
    with pytest.raises(SystemExit, match="holds no run with held-out scores"):
        call("plot", "--out", tmp_path, "--png", tmp_path / "plot.png")
    assert not (tmp_path / "plot.png").exists()
