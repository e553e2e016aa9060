"""Ask for a folder and the classes of a new project."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QVBoxLayout,
    QWidget,
)

from napari_semimoe.core.errors import ProjectError
from napari_semimoe.gui.widgets import button, hint
from napari_semimoe.project.folder import refuse_unless_new


class NewProjectDialog(QDialog):
    """Name, place and classes; the OK button waits until all three are sound."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("New Semi-MoE project")
        self.setMinimumWidth(420)
        self.name = QLineEdit("my glands")
        self.name.setToolTip("The project's folder gets this name")
        self.place = QLineEdit(str(Path.home()))
        self.place.setToolTip("The folder in which the project's folder is made")
        self.classes = QLineEdit("gland")
        self.classes.setToolTip(
            "What you paint, separated by commas, for instance: benign gland, malignant gland"
        )
        browse = button("Browse…", "Choose the folder")
        browse.clicked.connect(self._on_browse)
        place = QHBoxLayout()
        place.addWidget(self.place, 1)
        place.addWidget(browse)
        form = QFormLayout()
        form.setVerticalSpacing(6)
        form.addRow("Name", self.name)
        form.addRow("In folder", place)
        form.addRow("Classes", self.classes)
        self.problem = QLabel()
        self.problem.setWordWrap(True)
        self._buttons = QDialogButtonBox(
            QDialogButtonBox.StandardButton.Ok | QDialogButtonBox.StandardButton.Cancel
        )
        self._buttons.accepted.connect(self.accept)
        self._buttons.rejected.connect(self.reject)
        layout = QVBoxLayout(self)
        layout.addLayout(form)
        layout.addWidget(
            hint("A project holds copies of its images and can be moved or zipped as a whole.")
        )
        layout.addWidget(self.problem)
        layout.addWidget(self._buttons)
        for field in (self.name, self.place, self.classes):
            field.textChanged.connect(self._check)
        self._check()

    @property
    def path(self) -> Path:
        """Folder of the new project."""
        return Path(self.place.text().strip()).expanduser() / self.name.text().strip()

    @property
    def class_names(self) -> tuple[str, ...]:
        """Classes, background first."""
        return ("background", *(n for n in map(str.strip, self.classes.text().split(",")) if n))

    def _on_browse(self) -> None:
        chosen = QFileDialog.getExistingDirectory(self, "Folder for the project", self.place.text())
        if chosen:
            self.place.setText(chosen)

    def _check(self) -> None:
        problem = self._problem()
        self.problem.setText(problem)
        self.problem.setVisible(bool(problem))
        self._buttons.button(QDialogButtonBox.StandardButton.Ok).setEnabled(not problem)

    def _problem(self) -> str:
        name = self.name.text().strip()
        if not name or any(letter in name for letter in '/\\:*?"<>|'):
            return 'Give the project a name without / \\ : * ? " < > |'
        try:
            if not self.path.parent.is_dir():
                return f"The folder {self.path.parent} does not exist."
            refuse_unless_new(self.path)
        except ProjectError as error:
            return str(error)
        except (OSError, RuntimeError, ValueError) as error:  # a name too long, a user unknown
            return f"The system refuses this folder: {error}."
        if len(self.class_names) < 2:
            return "Name at least one class to paint."
        if len({name.casefold() for name in self.class_names}) != len(self.class_names):
            return "Each class needs a name of its own."
        return ""
