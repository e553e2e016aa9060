from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

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


CLOSED_AFTER_PAINTING = """
from types import SimpleNamespace
import napari
import numpy as np
from qtpy.QtTest import QTest
from napari_semimoe.gui.tile_layers import TileLayers
from tests.gui.acting import canvas_of

viewer, shape = napari.Viewer(), (522, 775)
layers = TileLayers(viewer)
layers.show(
    SimpleNamespace(
        tile=SimpleNamespace(id=1, um_per_px=0.5),
        image=np.zeros((*shape, 3), np.uint8),
        prediction=None,
        labels=np.zeros(shape, np.uint16),
        shape=shape,
        classes={},
    )
)
QTest.qWait(300)
layers.labels_layer.mode = "paint"
layers.show_only_map("expert: segmentation")
QTest.qWait(300)
layers.clear()
for _ in range(2):
    canvas_of(viewer).update()
    QTest.qWait(300)
print("alive", len(viewer.layers))
viewer.close()
"""


def test_window_lives_on_when_a_project_is_closed_after_painting_over_a_map():
    done = subprocess.run(
        [sys.executable, "-c", CLOSED_AFTER_PAINTING],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout == "alive 0\n"


def test_package_imports_nothing_heavy():
    code = (
        "import sys; import napari_semimoe; "
        "print([m for m in ('torch', 'napari', 'qtpy', 'zarr') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
