"""Refine: correct the mask with the brush and accept it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import Qt, QTimer, Slot
from qtpy.QtGui import QColor, QIcon, QKeySequence, QPixmap
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QVBoxLayout,
    QWidget,
)
from superqt import QElidingLabel, QLabeledSlider
from superqt.utils import signals_blocked

from napari_semimoe.core.colours import class_colour
from napari_semimoe.core.states import Pool
from napari_semimoe.gui.brush import TOOLS, Brush
from napari_semimoe.gui.tile_table import POOL_TEXT
from napari_semimoe.gui.widgets import SingleClicks, button, heading, hint, tool

if TYPE_CHECKING:
    from napari_semimoe.gui.tile_view import TileView
    from napari_semimoe.gui.workbench import Workbench

#: As the system writes it: on macOS with the sign of its command key.
_UNDO = QKeySequence("Ctrl+Z").toString(QKeySequence.SequenceFormat.NativeText)
_ORIGIN_TEXT = {
    "prediction": "The model's suggestion. Correct it, then accept it.",
    "draft": "Your strokes, stored but not accepted yet.",
    "nothing": "Not predicted yet. You can paint already.",
}


class RefinePage(QWidget):
    """The second step.

    Parameters
    ----------
    bench
        What the page shows and forwards to.
    """

    def __init__(self, bench: Workbench) -> None:
        super().__init__()
        self._bench = bench
        self._desk = bench.desk
        self.brush = Brush(self._desk)
        self.name = QElidingLabel("No tile is open")
        self.name.setElideMode(Qt.TextElideMode.ElideMiddle)
        self.name.setProperty("role", "heading")
        self.state = hint("")
        self.tools = {each.mode: tool(f"{each.text}  {each.key}", each.tip) for each in TOOLS}
        self.new_gland = button(
            "New gland  N", "Paint a gland of its own, also inside another one, to split it"
        )
        self.remove = tool("Remove  D", "Click a gland to take it away")
        self.ignore = tool(
            "Do not learn here  I",
            "Paint grey over what you cannot judge: artefacts, blur, unsure borders. "
            "The network learns nothing there",
        )
        self.brush_size = QLabeledSlider(Qt.Orientation.Horizontal)
        self.brush_size.setRange(1, 100)
        self.brush_size.setToolTip("Diameter of the brush in pixels  (keys: [ and ])")
        self.outlines = QCheckBox("Outlines only")
        self.outlines.setToolTip("Draw glands as outlines, to judge the tissue under them")
        self.protect = QCheckBox("Protect neighbours")
        self.protect.setToolTip(
            "The brush paints over background only; other glands keep their pixels. "
            "Erase, Remove, Fill, grey and splitting work as ever  (B)"
        )
        self.class_label = heading("Class")
        self.gland_class = QComboBox()  # may be narrower than a name
        self.gland_class.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        self.gland_class.setMinimumContentsLength(8)
        self.gland_class.setToolTip("What the picked gland (L) is, and what new glands are")
        self.progress = hint("")
        self.accept = button(
            "Accept and next   A",
            "Store this mask, let it teach, and open the next tile  (key: A)",
            "primary",
        )
        self.skip = button(
            "Skip   .", "Go on without accepting; your strokes are kept for later  (key: .)"
        )
        self.start_over = button(
            "Start over",
            f"Take the model's suggestion instead, once more: the mask before; {_UNDO} brings this "
            "one back",
        )
        self.exclude = button(
            "Exclude", "Leave this tile out of everything, for instance when it is unusable"
        )
        self._tick = QTimer(self)
        self._tick.setInterval(1000)
        self._tick.timeout.connect(self._show_progress)
        self._lay_out()
        self._connect()

    def _lay_out(self) -> None:
        tools = QGridLayout()
        tools.setSpacing(4)
        order = (
            *(self.tools["paint"], self.tools["erase"], self.remove),
            *(self.new_gland, self.tools["pick"], self.tools["fill"]),
            self.tools["pan_zoom"],
        )
        for number, each in enumerate(order):
            tools.addWidget(each, number // 3, number % 3)
        tools.addWidget(self.ignore, 2, 1, 1, 2)
        for column in range(3):
            tools.setColumnStretch(column, 1)
        size = QHBoxLayout()
        size.addWidget(QLabel("Brush size"))
        size.addWidget(self.brush_size, 1)
        looks = QHBoxLayout()
        looks.addWidget(self.outlines)
        looks.addWidget(self.protect)
        looks.addStretch(1)
        more = QHBoxLayout()
        more.addWidget(self.skip)
        more.addWidget(self.start_over)
        more.addWidget(self.exclude)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(8, 8, 8, 8)
        layout.addWidget(self.name)
        layout.addWidget(self.state)
        layout.addLayout(tools)
        layout.addLayout(size)
        layout.addLayout(looks)
        layout.addWidget(self.class_label)
        layout.addWidget(self.gland_class)
        layout.addWidget(self.progress)
        layout.addWidget(self.accept)
        layout.addLayout(more)
        layout.addStretch(1)

    def _connect(self) -> None:
        desk, brush = self._desk, self.brush
        desk.tile_shown.connect(self._on_tile_shown)
        desk.edited.connect(self._show_progress)
        self._bench.tiles_listed.connect(self._show_progress)  # its pool may be another
        self._bench.relay.weights_changed.connect(self._show_progress)
        self._bench.classes_changed.connect(self._show_classes)
        brush.changed.connect(self._on_brush_changed)
        for mode, each in self.tools.items():
            each.clicked.connect(lambda _=False, mode=mode: brush.use(mode))
        self.new_gland.clicked.connect(brush.new_gland)
        self.remove.clicked.connect(brush.remove)
        self.ignore.clicked.connect(brush.ignore)
        self.skip.clicked.connect(desk.take_next)
        self.brush_size.valueChanged.connect(brush.set_size)
        self.outlines.toggled.connect(desk.layers.set_outlines)
        self.protect.toggled.connect(brush.set_protect)
        self.gland_class.activated.connect(self._on_class_chosen)
        self.accept.clicked.connect(desk.accept)
        self.start_over.clicked.connect(desk.start_over)
        self.exclude.clicked.connect(desk.exclude)
        SingleClicks(self.accept, self.exclude)
        self._on_tile_shown(None)

    @Slot(object)
    def _on_tile_shown(self, view: TileView | None) -> None:
        open_ = view is not None
        for each in (
            *self.tools.values(),
            self.new_gland,
            self.remove,
            self.ignore,
            self.brush_size,
            self.outlines,
            self.protect,
            self.gland_class,
            self.accept,
            self.skip,
            self.start_over,
            self.exclude,
        ):
            each.setEnabled(open_)
        self.name.setText(view.tile.name if view is not None else "No tile is open")
        self.state.setText(self._state_of(view))
        self._show_classes()
        self._show_progress()
        if open_:
            self._tick.start()
        else:
            self._tick.stop()

    @Slot()
    def _show_classes(self) -> None:
        names = self._desk.class_names
        several = len(names) > 2
        self.class_label.setVisible(several)
        self.gland_class.setVisible(several)
        shown = [self.gland_class.itemText(row) for row in range(self.gland_class.count())]
        if several and shown != list(names[1:]):
            self.gland_class.clear()
            for number, name in enumerate(names[1:], start=1):
                square = QPixmap(12, 12)
                square.fill(QColor.fromRgbF(*class_colour(number)))
                self.gland_class.addItem(QIcon(square), name)
            self.gland_class.setCurrentIndex(self.brush.gland_class - 1)

    @Slot()
    def _on_brush_changed(self) -> None:
        for mode, each in self.tools.items():
            special = self.brush.is_removing or (mode == "paint" and self.brush.is_ignoring)
            each.setChecked(mode == self.brush.mode and not special)
        self.remove.setChecked(self.brush.is_removing)
        self.ignore.setChecked(self.brush.is_ignoring and self.brush.mode == "paint")
        layer = self.brush.layer
        if layer is None:
            return
        with signals_blocked(self.brush_size), signals_blocked(self.protect):
            self.brush_size.setValue(int(layer.brush_size))
            self.protect.setChecked(self.brush.protects)
        self.gland_class.setEnabled(not self.brush.is_ignoring)
        self.gland_class.setCurrentIndex(self.brush.gland_class - 1)

    @Slot(int)
    def _on_class_chosen(self, index: int) -> None:
        self.brush.set_class(index + 1)

    def _state_of(self, view: TileView | None) -> str:
        desk = self._desk
        if view is None:
            return "Choose a tile on the Predict page."
        if not desk.has_strokes:
            text = stored_text(view, self._bench.session.model_name)
        elif desk.changed_px or np.array_equal(view.begun.labels, view.stored.labels):
            text = "Your strokes, stored but not accepted yet."
        else:
            text = (
                "The model's suggestion instead of the mask before; accept it, or start over once "
                "more to have that back."
            )
        if view.tile.pool is Pool.EXCLUDED:
            return f"This tile is excluded; accepting it takes it in again. {text}"
        return text

    @Slot()
    def _show_progress(self, _: object = None) -> None:
        if self._desk.view is None:
            self.progress.setText("")
            return
        seconds = int(self._desk.clock.seconds)
        self.state.setText(self._state_of(self._desk.view))
        self.progress.setText(
            f"{self._desk.changed_px:,} px changed · {seconds // 60}:{seconds % 60:02d} min"
        )


def stored_text(view: TileView, model: str | None) -> str:
    """Say what a tile's mask is while there are no strokes on it; ``model`` is the one in use."""
    origin = view.origin
    if origin == "draft":  # which is undone or was started over
        origin = "annotation" if view.annotation is not None else "prediction"
    if origin == "prediction" and model is not None and view.predicted_by != model:
        return f"The suggestion of {view.predicted_by}, which is not the model in use any more."
    if origin != "annotation" or view.annotation is None:
        return _ORIGIN_TEXT.get(origin, "")
    record = view.annotation
    text = f"{record.origin.capitalize()} by {record.author}, version {record.version}."
    if view.tile.pool is Pool.VALIDATION:
        text += f" The tile is {POOL_TEXT[view.tile.pool]}: it never teaches."
    return text
