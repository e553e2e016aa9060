"""A picture of finished runs: a row for each method, a dot for each run, a line for their mean.

Drawn with pillow, which is there anyway: dots, lines and words need no plotting library.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate, cycle
from math import ceil, cos, floor, pi, sin
from statistics import fmean
from textwrap import wrap

from PIL import Image, ImageDraw, ImageFont

from benchmarks.finished import Group, Run, kind_and_draw

#: Everything is laid out in pixels of the finished picture, and drawn so many times as large.
SCALE = 3
WIDTH = 860
_MARGIN, _GAP, _LINE = 16, 14, 19
_NAME_LETTERS = 26
_RADIUS, _SPREAD = 6, 12
_INK, _PALE, _GRID = "#1b1f24", "#5c6670", "#e3e6ea"
_TITLE = "Dice on held-out images; lines and numbers are means"


@dataclass(frozen=True, slots=True)
class Mark:
    """The shape of a dot: a regular polygon, turned by so many quarters."""

    corners: int
    turn: float
    colour: str

    def outline(self, x: float, y: float, radius: float) -> list[tuple[float, float]]:
        """Return the corners around a centre."""
        turns = [self.turn * pi / 2 + 2 * pi * each / self.corners for each in range(self.corners)]
        return [(x + radius * cos(turn), y + radius * sin(turn)) for turn in turns]


#: Of the draws in their order: circle, square, triangle, diamond.
MARKS = (
    Mark(40, 0, "#0b3c6f"),
    Mark(4, 0.5, "#2f7fc1"),
    Mark(3, -1, "#e07b1a"),
    Mark(4, 0, "#7a8a99"),
)


@dataclass(frozen=True, slots=True)
class Score:
    """Held-out Dice of one run, and which draw of the labelled images it learned from."""

    dice: float
    draw: str


@dataclass(frozen=True, slots=True)
class Row:
    """All runs of one method, with its label."""

    name: Sequence[str]
    detail: str
    scores: Sequence[Score]

    @property
    def mean(self) -> float:
        """Mean Dice of the runs."""
        return fmean(score.dice for score in self.scores)

    @property
    def height(self) -> int:
        """Height in px: the name's lines, the detail's, and space."""
        return _LINE * (len(self.name) + 1) + _GAP


@dataclass(frozen=True, slots=True)
class Dot:
    """One run, at its place in the picture."""

    x: float
    y: float
    mark: Mark


@dataclass(frozen=True, slots=True)
class Words:
    """A line of text; ``anchor`` says which point of it lies at ``x, y``, as pillow names it."""

    text: str
    x: float
    y: float
    size: int = 13
    colour: str = _PALE
    anchor: str = "lm"

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Left, top, right and bottom in px."""
        left, top, right, bottom = font(self.size).getbbox(self.text, anchor=self.anchor)
        return (
            self.x + left / SCALE,
            self.y + top / SCALE,
            self.x + right / SCALE,
            self.y + bottom / SCALE,
        )


@cache
def font(size: int) -> ImageFont.FreeTypeFont:
    """Return pillow's own font, the same on every machine."""
    return ImageFont.load_default(size * SCALE)  # type: ignore[return-value]


def rows_of(groups: Mapping[Group, Sequence[Run]]) -> list[Row]:
    """Return a row for each group, the best mean first."""
    rows = []
    for (kind, name, steps), runs in groups.items():
        many = "1 run" if len(runs) == 1 else f"{len(runs)} runs"
        scores = [Score(run["honest"]["dice"], kind_and_draw(run["split"])[1]) for run in runs]
        rows.append(Row(wrap(name, _NAME_LETTERS), f"{kind}, {steps} steps, {many}", scores))
    return sorted(rows, key=lambda row: -row.mean)


def ticks_of(values: Iterable[float]) -> list[float]:
    """Return round numbers that hold all values between the first and the last of them."""
    values = list(values)
    low, high = min(values), max(values)
    step = next((step for step in (0.01, 0.02, 0.05, 0.1) if high - low <= 6 * step), 0.2)
    # rounded: 0.7 / 0.05 is a hair below 14
    first = floor(round(low / step, 6))
    last = max(ceil(round(high / step, 6)), first + 1)
    return [round(number * step, 2) for number in range(first, last + 1)]


class Chart:
    """The picture's layout, computed from its rows.

    Parameters
    ----------
    rows
        At least one, from top to bottom.
    """

    def __init__(self, rows: Sequence[Row]) -> None:
        self.rows = rows
        scores = [score for row in rows for score in row.scores]
        draws = sorted({score.draw for score in scores}, key=lambda draw: (draw == "", draw))
        self.marks = dict(zip(draws, cycle(MARKS), strict=False))
        self.ticks = ticks_of(score.dice for score in scores)
        self.tops = list(accumulate((row.height for row in rows), initial=_MARGIN))
        labels = [words.box[2] for row, top in self._placed() for words in _label(row, top)]
        self.left = max(labels) + 2 * _GAP
        self.right = WIDTH - _MARGIN - Words("0.000", 0, 0, 14).box[2] - 2 * _GAP
        self.height = self.tops[-1] + 4 * _LINE + _MARGIN

    def x(self, dice: float) -> float:
        """Return where a score lies."""
        share = (dice - self.ticks[0]) / (self.ticks[-1] - self.ticks[0])
        return self.left + share * (self.right - self.left)

    def dots(self) -> list[Dot]:
        """Return a dot for each run; a row's draws lie below each other, so that all are seen."""
        found = []
        for row, top in self._placed():
            draws = [draw for draw in self.marks if draw in {score.draw for score in row.scores}]
            first = _middle(row, top) - (len(draws) - 1) / 2 * _SPREAD
            for score in row.scores:
                y = first + draws.index(score.draw) * _SPREAD
                found.append(Dot(self.x(score.dice), y, self.marks[score.draw]))
        return found

    def words(self) -> list[Words]:
        """Return all text."""
        found = [words for row, top in self._placed() for words in _label(row, top)]
        for row, top in self._placed():
            place = (WIDTH - _MARGIN, _middle(row, top))
            found.append(Words(f"{row.mean:.3f}", *place, 14, _INK, "rm"))
        bottom = self.tops[-1] + _LINE / 2
        found += [Words(f"{tick:.2f}", self.x(tick), bottom, anchor="mm") for tick in self.ticks]
        found.append(Words(_TITLE, WIDTH / 2, bottom + 1.3 * _LINE, anchor="mm"))
        return found + [words for words, _ in self._legend()]

    def draw(self) -> Image.Image:
        """Return the picture, RGB on white."""
        picture = Image.new("RGB", (WIDTH * SCALE, self.height * SCALE), "white")
        pen = ImageDraw.Draw(picture)
        for tick in self.ticks:
            _line(pen, self.x(tick), self.tops[0], self.tops[-1], _GRID, 1)
        for row, top in self._placed():
            _line(pen, self.x(row.mean), top + 6, top + row.height - 6, _INK, 2)
        for dot in self.dots():
            _paint(pen, dot)
        for words, mark in self._legend():
            _paint(pen, Dot(words.x - _GAP, words.y, mark))
        for words in self.words():
            place = (words.x * SCALE, words.y * SCALE)
            pen.text(place, words.text, words.colour, font(words.size), words.anchor)
        return picture.resize((WIDTH, self.height), Image.Resampling.BOX)

    def _placed(self) -> list[tuple[Row, int]]:
        return list(zip(self.rows, self.tops, strict=False))

    def _legend(self) -> list[tuple[Words, Mark]]:
        """Return the name of each mark, beside which it is drawn, centred below the title."""
        names = [f"draw {draw}" if draw else "all labels" for draw in self.marks]
        widths = [Words(name, 0, 0).box[2] + 4 * _GAP for name in names]
        starts = accumulate(widths, initial=(WIDTH - sum(widths)) / 2 + 2 * _GAP)
        y = self.tops[-1] + 3.2 * _LINE
        return [
            (Words(name, x, y), mark)
            for name, x, mark in zip(names, starts, self.marks.values(), strict=False)
        ]


def _middle(row: Row, top: float) -> float:
    return top + row.height / 2


def _label(row: Row, top: float) -> list[Words]:
    first = top + (_GAP + _LINE) / 2
    names = [
        Words(text, _MARGIN, first + number * _LINE, 15, _INK)
        for number, text in enumerate(row.name)
    ]
    return [*names, Words(row.detail, _MARGIN, first + len(names) * _LINE, 12)]


def _line(
    pen: ImageDraw.ImageDraw, x: float, top: float, bottom: float, colour: str, width: int
) -> None:
    pen.line((x * SCALE, top * SCALE, x * SCALE, bottom * SCALE), colour, width * SCALE)


def _paint(pen: ImageDraw.ImageDraw, dot: Dot) -> None:
    """Draw a dot with a white rim, so that it stays apart from the one below it."""
    for radius, colour in ((_RADIUS + 1.5, "white"), (_RADIUS, dot.mark.colour)):
        pen.polygon(dot.mark.outline(dot.x * SCALE, dot.y * SCALE, radius * SCALE), colour)
