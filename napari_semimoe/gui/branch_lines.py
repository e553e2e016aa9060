"""Lines and dots before the rows of a tree whose long branches stay on one level."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QPointF
from qtpy.QtGui import QColor, QPainter, QPen
from qtpy.QtWidgets import QTreeWidgetItem

if TYPE_CHECKING:
    from qtpy.QtCore import QRect

    from napari_semimoe.gui.theme import Palette

#: Width of one level; the rows have no arrows, so it need not hold one.
LEVEL_PX = 12
_DOT_PX = 3.5  # radius


class BranchItem(QTreeWidgetItem):
    """A row that stands below its parent, or goes on from the row before it on its level.

    Parameters
    ----------
    texts
        One text for each column.
    name
        By which the row is known when the tree is filled again.
    goes_on
        Whether the row continues the one before it on its level.
    is_marked
        Whether its dot is filled.
    """

    def __init__(
        self, texts: tuple[str, ...], *, name: str, goes_on: bool = False, is_marked: bool = False
    ) -> None:
        super().__init__(list(texts))
        self.name = name
        self.goes_on = goes_on
        self.is_marked = is_marked

    @property
    def leads_down(self) -> bool:
        """Whether a row further down hangs on this one."""
        return self.childCount() > 0 or self._is_continued

    def leads_past(self, child: BranchItem) -> bool:
        """Whether a row below a child, and what hangs on it, hangs on this one."""
        later = range(self.indexOfChild(child) + 1, self.childCount())
        return self._is_continued or any(not _branch(self.child(row)).goes_on for row in later)

    @property
    def _is_continued(self) -> bool:
        parent = self.parent()
        if parent is None:
            return False
        after = parent.child(parent.indexOfChild(self) + 1)
        return after is not None and _branch(after).goes_on


def paint_branch(painter: QPainter, area: QRect, item: BranchItem, palette: Palette) -> None:
    """Paint what leads to a row, and its dot, into the area before its text."""
    middle = QPointF(area.right() + 1 - LEVEL_PX / 2, area.center().y() + 0.5)
    painter.save()
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(QPen(QColor(palette.faint), 1.2))
    _paint_lines(painter, area, middle, item)
    if item.is_marked:
        painter.setPen(QPen(QColor(palette.good), 2))
        painter.setBrush(QColor(palette.good))
    painter.drawEllipse(middle, _DOT_PX, _DOT_PX)
    painter.restore()


def _paint_lines(painter: QPainter, area: QRect, middle: QPointF, item: BranchItem) -> None:
    up, side, down = QPointF(0, -_DOT_PX), QPointF(-_DOT_PX, 0), QPointF(0, _DOT_PX)
    top, bottom = float(area.top()), float(area.bottom() + 1)
    before = middle.x() - LEVEL_PX
    if item.goes_on:
        painter.drawLine(QPointF(middle.x(), top), middle + up)
    elif item.parent() is not None:
        painter.drawLine(QPointF(before, top), QPointF(before, middle.y()))
        painter.drawLine(QPointF(before, middle.y()), middle + side)
    if item.leads_down:
        painter.drawLine(middle + down, QPointF(middle.x(), bottom))
    child = item
    while child.parent() is not None:
        parent = _branch(child.parent())
        if parent.leads_past(child):
            painter.drawLine(QPointF(before, top), QPointF(before, bottom))
        before, child = before - LEVEL_PX, parent


def _branch(item: QTreeWidgetItem | None) -> BranchItem:
    assert isinstance(item, BranchItem), "the tree holds no others"
    return item
