from __future__ import annotations

import subprocess
import sys

WALK = """
import sys
import napari
from qtpy.QtWidgets import QApplication
from napari_semimoe.gui.opening import open_panel
from napari_semimoe.gui.steps import Step

viewer = napari.Viewer(show=False)
panel = open_panel(viewer, Step.PREDICT)
for step in Step:
    panel.show_step(step)
    QApplication.processEvents()
panel.bench.new_project(__import__("pathlib").Path(sys.argv[1]), ("background", "gland"))
while panel.bench.background.pending:
    QApplication.processEvents()
viewer.close()
print("torch" in sys.modules, any(name.startswith("torch.") for name in sys.modules))
"""


def test_viewer_process_never_imports_torch(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", WALK, str(tmp_path / "project")],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert done.stdout.split()[-2:] == ["False", "False"]


def test_package_imports_nothing_heavy():
    code = (
        "import sys; import napari_semimoe; "
        "print([m for m in ('torch', 'napari', 'qtpy', 'zarr') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
