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


def test_package_imports_at_once():
    code = (
        "import sys, time; t = time.perf_counter(); import napari_semimoe; "
        "print(time.perf_counter() - t, len([m for m in ('torch', 'napari', 'qtpy', 'zarr') "
        "if m in sys.modules]))"
    )
    fastest = 10.0
    for _ in range(3):
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        seconds, heavy = done.stdout.split()
        assert heavy == "0"
        fastest = min(fastest, float(seconds))
    assert fastest <= 0.2
