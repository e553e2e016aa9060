"""The one dock of the plugin."""

from __future__ import annotations

from pathlib import Path

from napari.settings import get_settings
from qtpy.QtCore import QEvent, QSize, Slot
from qtpy.QtGui import QDragEnterEvent, QDropEvent
from qtpy.QtWidgets import QFrame, QScrollArea, QStackedWidget, QVBoxLayout, QWidget

from napari_semimoe.gui.export_page import ExportPage
from napari_semimoe.gui.header import Header
from napari_semimoe.gui.keys import Keys
from napari_semimoe.gui.message_bar import MessageBar
from napari_semimoe.gui.predict_page import PredictPage
from napari_semimoe.gui.project_actions import ProjectActions
from napari_semimoe.gui.refine_page import RefinePage
from napari_semimoe.gui.retrain_page import PAUSED_TEXT, RetrainPage
from napari_semimoe.gui.start_page import StartPage
from napari_semimoe.gui.step_bar import StepBar
from napari_semimoe.gui.steps import Step
from napari_semimoe.gui.theme import palette_of, style_sheet
from napari_semimoe.gui.widgets import InputGuard
from napari_semimoe.gui.workbench import Workbench

#: The panel is laid out for this width and scrolls vertically below its height.
WIDTH = 380


class Panel(QWidget):
    """Header, one page for each step, and a line for messages.

    Parameters
    ----------
    bench
        What the panel shows and forwards to.
    """

    def __init__(self, bench: Workbench) -> None:
        super().__init__()
        self.setObjectName("SemiMoEPanel")
        self.bench = bench
        self.project_actions = ProjectActions(bench, self)
        self.header = Header(bench, self.project_actions)
        self.start_page = StartPage(self.project_actions)
        self.predict_page = PredictPage(bench, self.project_actions)
        self.refine_page = RefinePage(bench)
        self.retrain_page = RetrainPage(bench)
        self.export_page = ExportPage(bench)
        self.messages = MessageBar()
        self._of_tile = ""  # what was said last of the tile on the desk
        self.steps = StepBar()
        self._pages = QStackedWidget()
        self._pages.addWidget(self.start_page)
        for page in (self.predict_page, self.refine_page, self.retrain_page, self.export_page):
            self._pages.addWidget(_ScrollingPage(page))
        InputGuard(self._pages)
        self.keys = Keys(bench, self.refine_page.brush, self.predict_page.show_next_map)
        self._lay_out()
        self._connect()
        self.setAcceptDrops(True)

    def _lay_out(self) -> None:
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 8)
        layout.setSpacing(0)
        layout.addWidget(self.header)
        layout.addWidget(self.steps)
        layout.addWidget(self._pages, 1)
        foot = QVBoxLayout()
        foot.setContentsMargins(8, 0, 8, 0)
        foot.addWidget(self.messages)
        layout.addLayout(foot)

    def _connect(self) -> None:
        bench = self.bench
        bench.project_leaving.connect(self._on_project_leaving)
        bench.project_changed.connect(self._on_project_changed)
        self.steps.chosen.connect(self._show_page)
        self._show_page()
        for words in (bench.desk.said, bench.desk.refused):
            words.connect(self._note_of_tile)
        bench.desk.tile_shown.connect(self._on_tile_shown)
        bench.relay.round_started.connect(self._on_round_started)
        bench.said.connect(self.messages.say)
        bench.failed.connect(self.messages.complain)
        for lane in (bench.background, bench.long_work):
            lane.busy_changed.connect(self._show_busy)
        bench.long_work.progressed.connect(self.messages.show_progress)
        bench.background.progressed.connect(self._on_short_progress)
        self.messages.cancelled.connect(bench.long_work.cancel)
        bench.viewer.events.theme.connect(self._on_theme)
        get_settings().appearance.events.font_size.connect(self._on_theme)
        bench.viewer.layers.selection.events.active.connect(self._on_active_layer)
        self._on_theme()

    @property
    def step(self) -> Step:
        """The step on show, or to be shown once a project is open."""
        return self.steps.step

    def show_step(self, step: Step) -> None:
        """Turn to a page."""
        self.steps.show_step(step)

    def sizeHint(self) -> QSize:
        """Ask for the width that the pages are laid out for."""
        return QSize(WIDTH, 800)

    def close_bench(self) -> None:
        """End the work behind the panel; the panel itself goes with its window."""
        self.keys.close()
        self.bench.viewer.events.theme.disconnect(self._on_theme)
        get_settings().appearance.events.font_size.disconnect(self._on_theme)
        self.bench.viewer.layers.selection.events.active.disconnect(self._on_active_layer)
        self.bench.close()

    @Slot()
    def _on_project_leaving(self) -> None:
        self._pages.setEnabled(False)
        self.messages.dismiss()

    @Slot()
    def _on_project_changed(self) -> None:
        self._pages.setEnabled(True)
        self._show_page()

    @Slot(str)
    def _note_of_tile(self, sentence: str) -> None:
        self._of_tile = sentence

    @Slot(object)
    def _on_tile_shown(self, _: object) -> None:
        self.messages.retract(self._of_tile)

    @Slot(int)
    def _on_round_started(self, number: int) -> None:
        self.messages.retract(PAUSED_TEXT.format(n=number))

    @Slot()
    @Slot(int)
    def _show_page(self, _: int = 0) -> None:
        self.steps.setVisible(self.bench.has_project)
        page = list(Step).index(self.step) + 1 if self.bench.has_project else 0
        self._pages.setCurrentIndex(page)

    @Slot()
    def _show_busy(self) -> None:
        """Show the longest work that is under way."""
        long_, short = self.bench.long_work.busy, self.bench.background.busy
        self.messages.show_busy(long_ or short, can_cancel=bool(long_))

    @Slot(int, int, str)
    def _on_short_progress(self, done: int, total: int, text: str) -> None:
        if not self.bench.long_work.busy:
            self.messages.show_progress(done, total, text)

    def _on_active_layer(self, event: object = None) -> None:
        self.refine_page.brush.changed.emit()

    def _on_theme(self, event: object = None) -> None:
        palette = palette_of(self.bench.viewer.theme)
        self.setStyleSheet(style_sheet(palette, get_settings().appearance.font_size))
        for page in (self.predict_page, self.retrain_page):
            page.set_palette(palette)

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        """Welcome files and folders."""
        if event.mimeData().hasUrls():
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        """Open a dropped project, or add dropped images to the open one."""
        paths = [Path(url.toLocalFile()) for url in event.mimeData().urls() if url.isLocalFile()]
        if paths:
            event.acceptProposedAction()
            self.project_actions.add_paths(paths)


class _ScrollingPage(QScrollArea):
    """Scrolls vertically and is as wide as its page needs, in whatever font."""

    def __init__(self, page: QWidget) -> None:
        super().__init__()
        self.setWidget(page)
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)

    def minimumSizeHint(self) -> QSize:
        """Leave room for the page on show and for the scroll bar beside it."""
        smallest = super().minimumSizeHint()
        if not self.isVisible():  # its font may not be known yet
            return smallest
        beside = self.verticalScrollBar().sizeHint().width() + 2 * self.frameWidth()
        return QSize(self.widget().minimumSizeHint().width() + beside, smallest.height())

    def event(self, event: QEvent) -> bool:
        """Tell the panel when the page needs another width."""
        if event.type() in (QEvent.Type.Show, QEvent.Type.LayoutRequest):
            self.updateGeometry()
        return super().event(event)
