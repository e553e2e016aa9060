"""Making, opening and filling a project, with the system's own file dialogs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Qt, QUrl, Slot
from qtpy.QtGui import QAction, QDesktopServices
from qtpy.QtWidgets import QFileDialog, QInputDialog, QWidget

from napari_semimoe.gui.new_project_dialog import NewProjectDialog
from napari_semimoe.gui.pixel_size import ask_pixel_size
from napari_semimoe.project import mask_geojson
from napari_semimoe.project.folder import DESCRIPTION
from napari_semimoe.project.images import SUFFIXES
from napari_semimoe.project.masks import MaskKind

if TYPE_CHECKING:
    from napari_semimoe.gui.workbench import Workbench
    from napari_semimoe.project.project import Project


class ProjectActions(QObject):
    """The entries of the Project menu; the start page shows the same ones as buttons."""

    def __init__(self, bench: Workbench, window: QWidget) -> None:
        super().__init__(window)
        self._bench = bench
        self._window = window
        self.new = self._action("New project…", "Make an empty project", self._on_new)
        self.open = self._action("Open project…", "Open a project folder", self._on_open)
        self.add_folder = self._action(
            "Add a folder of images…",
            "Copy all images of a folder into the project, with their masks if it has some",
            self._on_add_folder,
        )
        self.add_images = self._action(
            "Add images…", "Copy image files into the project", self._on_add_images
        )
        self.add_classes = self._action(
            "Add a folder with class masks…",
            "As a folder of images, but the values of its masks are the project's classes",
            self._on_add_classes,
        )
        self.add_class = self._action(
            "Add a class…", "A further kind of object to tell apart", self._on_add_class
        )
        self.rename_class = self._action(
            "Rename a class…", "Masks and models keep what they know of it", self._on_rename_class
        )
        self.demo = self._action(
            "Open the demo project",
            "Real and drawn colon glands to try everything on",
            bench.open_demo,
        )
        self.close = self._action(
            "Close project", "Close the project; everything is stored", bench.close_project
        )
        self.show_log = self._action(
            "Show the log", "Open the folder with the log of this program", self._on_show_log
        )
        bench.project_changed.connect(self.refresh)
        bench.classes_changed.connect(self.refresh)
        bench.scale_missing.connect(self._on_scale_missing)
        self.refresh()

    @property
    def groups(self) -> tuple[tuple[QAction, ...], ...]:
        """All actions in the order of the menu."""
        return (
            (self.new, self.open, self.demo),
            (self.add_folder, self.add_images, self.add_classes),
            (self.add_class, self.rename_class),
            (self.close, self.show_log),
        )

    def _action(self, text: str, tip: str, slot: Callable[[], None]) -> QAction:
        action = QAction(text, self)
        action.setToolTip(tip)
        action.triggered.connect(lambda _=False: slot())
        return action

    @Slot()
    def refresh(self) -> None:
        """Offer only what makes sense now."""
        of_project = (self.add_folder, self.add_images, self.add_class, self.rename_class)
        for action in (*of_project, self.close):
            action.setEnabled(self._bench.has_project)
        self.add_classes.setVisible(len(self._bench.desk.class_names) > 2)

    def _on_new(self) -> None:
        dialog = NewProjectDialog(self._window)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.accepted.connect(lambda: self._bench.new_project(dialog.path, dialog.class_names))
        dialog.open()

    def _on_open(self) -> None:
        chosen = QFileDialog.getExistingDirectory(self._window, "Open a Semi-MoE project")
        if chosen:
            self._bench.open_project(Path(chosen))

    def _on_add_folder(self) -> None:
        self._add_a_folder("Add a folder of images", "instances")

    def _on_add_classes(self) -> None:
        self._add_a_folder("Add a folder of images with class masks", "classes")

    def _add_a_folder(self, title: str, mask_kind: MaskKind) -> None:
        chosen = QFileDialog.getExistingDirectory(self._window, title)
        if chosen:
            self.add_paths([Path(chosen)], mask_kind)

    def _on_add_images(self) -> None:
        pattern = " ".join(f"*{suffix}" for suffix in (*SUFFIXES, mask_geojson.SUFFIX))
        chosen, _ = QFileDialog.getOpenFileNames(
            self._window, "Add images", "", f"Images ({pattern})"
        )
        if chosen:
            self.add_paths([Path(each) for each in chosen])

    def _on_add_class(self) -> None:
        name, given = QInputDialog.getText(self._window, "Add a class", "Name of the new class:")
        if given:
            self._bench.change_classes(
                lambda project: project.add_class(name),
                f"Objects can be {name.strip()} from now on; the next round learns it.",
            )

    def _on_rename_class(self) -> None:
        names = self._bench.desk.class_names[1:]
        old, given = QInputDialog.getItem(
            self._window, "Rename a class", "Class:", names, editable=False
        )
        if not given:
            return
        new, given = QInputDialog.getText(
            self._window, "Rename a class", f"New name of {old}:", text=old
        )
        if given and new != old:
            self._bench.change_classes(
                lambda project: project.rename_class(old, new), f"{old} is {new.strip()} now."
            )

    def _on_show_log(self) -> None:
        if self._bench.log is not None:
            QDesktopServices.openUrl(QUrl.fromLocalFile(str(self._bench.log.parent)))

    def add_paths(self, paths: list[Path], mask_kind: MaskKind = "instances") -> None:
        """Add files and folders, or open the folder when it is a project itself."""
        folders = [path for path in paths if path.is_dir()]
        files = [path for path in paths if path.is_file()]
        if len(folders) == 1 and (folders[0] / DESCRIPTION).exists():
            self._bench.open_project(folders[0])
            return
        if not self._bench.has_project:
            self._bench.failed.emit("Open or make a project first, then add images to it.")
            return
        if not folders and not files:
            self._bench.failed.emit("Nothing was added: those files are gone. Look where they are.")
            return
        self._bench.add_images([*folders, *files], mask_kind=mask_kind)

    @Slot(object, object, object)
    def _on_scale_missing(self, paths: list[Path], project: Project, mask_kind: MaskKind) -> None:
        value = None
        if self._bench.session.project is project:
            value = ask_pixel_size(self._window, "Some images do not say how large a pixel is.")
        if value is None:
            self._bench.failed.emit("Images without a known pixel size were not added.")
        elif self._bench.session.project is not project:  # another was opened meanwhile
            self._bench.failed.emit(
                "Nothing was added: the project was closed. Open it and add the images again."
            )
        else:
            self._bench.add_images(paths, um_per_px=value, mask_kind=mask_kind)
