"""Export: write the curated masks for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, QUrl, Slot
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import (
    QComboBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLineEdit,
    QVBoxLayout,
    QWidget,
)

from napari_semimoe.gui.widgets import button, heading, hint
from napari_semimoe.project.exporting import goes_out
from napari_semimoe.project.records import counted

if TYPE_CHECKING:
    from napari_semimoe.gui.workbench import Workbench
    from napari_semimoe.project.exporting import ExportReport
    from napari_semimoe.project.records import TileRecord

_KINDS = (
    ("OME-Zarr", "ome-zarr", "Images and masks with colours, scale and provenance, in one folder"),
    ("PNG masks", "png", "One 16-bit PNG for each tile: every gland has its own number"),
    ("GeoJSON for QuPath", "geojson", "Outlines of the glands, holes kept, to import in QuPath"),
    (
        "Tables (CSV)",
        "csv",
        "objects.csv: size, shape, place and class of each gland; images.csv: how many",
    ),
)
_CHOICES = (
    ("All masks", "all"),
    ("Only the open tile", "open"),
)


class ExportPage(QWidget):
    """The fourth step.

    Parameters
    ----------
    bench
        What the page shows and forwards to.
    """

    def __init__(self, bench: Workbench) -> None:
        super().__init__()
        self._bench = bench
        self._written: Path | None = None
        self._masked: set[int] = set()  # ids of tiles
        self._going_out = 0
        self._exporting = False
        self.kind = QComboBox()
        for number, (text, value, tip) in enumerate(_KINDS):
            self.kind.addItem(text, value)
            self.kind.setItemData(number, tip, Qt.ItemDataRole.ToolTipRole)
        self.kind.setToolTip("What the masks are written as")
        self.which = QComboBox()
        for text, value in _CHOICES:
            self.which.addItem(text, value)
        self.which.setToolTip(
            "Which tiles are written: with a mask that you accepted or that came with its image"
        )
        self.folder = QLineEdit()
        self.folder.setPlaceholderText("Choose a folder")
        self.folder.setToolTip("Where the masks go; the folder is made when it is missing")
        self.browse = button("Browse…", "Choose the folder")
        self.count = hint("")
        self.export = button("Export curated masks", "Write the masks into the folder", "primary")
        self.result = hint("")
        self.show_folder = button("Show the folder", "Open it in the file manager")
        self.show_folder.hide()
        self._lay_out()
        self._connect()

    def _lay_out(self) -> None:
        folder = QHBoxLayout()
        folder.addWidget(self.folder, 1)
        folder.addWidget(self.browse)
        form = QFormLayout()
        form.addRow("Write as", self.kind)
        form.addRow("Tiles", self.which)
        form.addRow("Folder", folder)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(8, 8, 8, 8)
        layout.addWidget(heading("Curated masks for other programs"))
        layout.addLayout(form)
        layout.addWidget(self.count)
        layout.addWidget(self.export)
        layout.addWidget(self.result)
        layout.addWidget(self.show_folder)
        layout.addStretch(1)

    def _connect(self) -> None:
        self._bench.tiles_listed.connect(self._on_tiles_listed)
        self._bench.project_changed.connect(self._on_project_changed)
        self._bench.desk.tile_shown.connect(self._show_count)
        self.which.currentIndexChanged.connect(self._show_count)
        self.browse.clicked.connect(self._on_browse)
        self.export.clicked.connect(self._on_export)
        self.show_folder.clicked.connect(self._on_show_folder)

    @Slot()
    def _on_project_changed(self) -> None:
        project = self._bench.session.project
        self._forget_result()
        if project is None:
            return
        default = str(Path(project.path).parent / f"{project.name} masks")
        self._bench.background.run(
            lambda: project.setting("export_folder", default), self.folder.setText
        )

    def _forget_result(self) -> None:
        self.result.setText("")
        self.show_folder.hide()

    @Slot(object)
    def _on_tiles_listed(self, tiles: list[TileRecord]) -> None:
        self._masked = {tile.id for tile in tiles if tile.annotation_id is not None}
        self._going_out = sum(map(goes_out, tiles))
        self._show_count()

    @Slot()
    def _show_count(self, _: object = None) -> None:
        """Say what would be written."""
        if self.which.currentData() == "open":
            view = self._bench.desk.view
            possible = view is not None and view.tile.id in self._masked
            has = "has a mask." if possible else "has no mask yet. Accept it first."
            text = "No tile is open." if view is None else f"{view.tile.name} {has}"
        else:
            possible = self._going_out > 0
            text = f"{counted(self._going_out, 'tile')} with a mask."
            text = text if possible else "No tile has a mask yet. Accept one on the Refine page."
        self.count.setText(text)
        self.export.setEnabled(possible and not self._exporting)

    @Slot()
    def _on_browse(self) -> None:
        chosen = QFileDialog.getExistingDirectory(self, "Folder for the masks", self.folder.text())
        if chosen:
            self.folder.setText(chosen)

    @Slot()
    def _on_export(self) -> None:
        self._forget_result()
        text = self.folder.text().strip()
        if not text:
            self._bench.failed.emit("Choose a folder for the masks first.")
            return
        try:
            out, kind = Path(text).expanduser(), self.kind.currentData()
        except RuntimeError:  # "~name" of nobody
            self._bench.failed.emit(f"There is no folder {text}. Choose another.")
            return
        bench, tile_id = self._bench, self._bench.desk.tile_id
        tiles: list[int] | None = None
        if self.which.currentData() == "open":
            if tile_id is None:
                bench.failed.emit("No tile is open. Open one, or export all masks.")
                return
            tiles = [tile_id]
        project = bench.session.project

        def work() -> ExportReport:
            bench.refuse_another(project)
            if project is not None:
                project.set_setting("export_folder", text)
            return bench.session.export(
                out,
                kind=kind,
                tiles=tiles,
                progress=bench.long_work.report,
                should_stop=bench.long_work.should_stop,
            )

        self._exporting = True
        self.export.setEnabled(False)
        bench.long_work.run(
            work,
            lambda report: self._on_exported(out, report),
            title="Exporting",
            otherwise=lambda _: self._end_export(),
        )

    def _end_export(self) -> None:
        self._exporting = False
        self._show_count()

    def _on_exported(self, out: Path, report: ExportReport) -> None:
        self._written = out
        self._end_export()
        self.result.setText(report.sentence)
        self.show_folder.show()
        self._bench.said.emit(report.sentence)

    @Slot()
    def _on_show_folder(self) -> None:
        if self._written is not None:
            QDesktopServices.openUrl(QUrl.fromLocalFile(str(self._written)))
