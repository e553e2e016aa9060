"""What a person does: real mouse and key events on the real canvas, real menu entries."""

from __future__ import annotations

from qtpy.QtCore import QDeadlineTimer, QEvent, QPoint, QPointF, Qt
from qtpy.QtGui import QMouseEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QDockWidget

from tests.patience import PATIENCE


def canvas_of(viewer):
    return viewer.window._qt_viewer.canvas.native


def canvas_point(viewer, layer, y, x):
    """Return where a pixel of a layer lies on the canvas widget."""
    return _on_canvas(viewer, layer.data_to_world((y, x)))


def _on_canvas(viewer, world):
    camera, native = viewer.scene.camera, canvas_of(viewer)
    center, zoom = camera.center[-2:], camera.zoom
    return QPoint(
        round((world[-1] - center[1]) * zoom + native.width() / 2),
        round((world[-2] - center[0]) * zoom + native.height() / 2),
    )


def stroke(viewer, layer, *pixels, button=Qt.MouseButton.LeftButton):
    """Press the mouse on the first pixel, drag over the others and let go."""
    begin_stroke(viewer, layer, pixels[0], button=button)
    end_stroke(viewer, layer, *pixels[1:] or pixels, button=button)


def begin_stroke(viewer, layer, pixel, button=Qt.MouseButton.LeftButton):
    """Press the mouse on a pixel and hold it."""
    point = canvas_point(viewer, layer, *pixel)
    _move(viewer, point, Qt.MouseButton.NoButton)
    _send(viewer, QEvent.Type.MouseButtonPress, point, button, button)


def end_stroke(viewer, layer, *pixels, button=Qt.MouseButton.LeftButton):
    """Drag the mouse that is held over pixels and let go on the last."""
    points = [canvas_point(viewer, layer, y, x) for y, x in pixels]
    for point in points:
        _move(viewer, point, button)
    _release(viewer, points[-1], button)


def draw_around(viewer, layer, *pixels, moving_the_picture_at=None, closed=True):
    """Click the right button on the first pixel, go over the others and back to the first."""
    none, left, right = (
        Qt.MouseButton.NoButton,
        Qt.MouseButton.LeftButton,
        Qt.MouseButton.RightButton,
    )
    start = canvas_point(viewer, layer, *pixels[0])
    _move(viewer, start, none)
    _send(viewer, QEvent.Type.MouseButtonPress, start, right, right)
    _release(viewer, start, right)
    for pixel in (*pixels[1:], *pixels[:closed]):
        point = canvas_point(viewer, layer, *pixel)
        _move(viewer, point, none)
        if pixel == moving_the_picture_at:
            _send(viewer, QEvent.Type.MouseButtonPress, point, left, left)
            _release(viewer, point, left)


def _move(viewer, point, held):
    """Move the mouse to a point until napari has heard of it.

    Its canvas drops what comes within 10 ms of the last move; a real mouse goes on moving.
    """
    deadline = QDeadlineTimer(int(1000 * PATIENCE))
    _send(viewer, QEvent.Type.MouseMove, point, Qt.MouseButton.NoButton, held)
    while _on_canvas(viewer, viewer.cursor.position) != point:
        assert not deadline.hasExpired(), f"the mouse never came to {point}"
        QTest.qWait(5)
        _send(viewer, QEvent.Type.MouseMove, point, Qt.MouseButton.NoButton, held)


def _release(viewer, point, button):
    _send(viewer, QEvent.Type.MouseButtonRelease, point, button, Qt.MouseButton.NoButton)


def _send(viewer, kind, point, button, buttons):
    native = canvas_of(viewer)
    event = QMouseEvent(
        kind,
        QPointF(point),
        QPointF(native.mapToGlobal(point)),
        button,
        buttons,
        Qt.KeyboardModifier.NoModifier,
    )
    QApplication.sendEvent(native, event)
    QApplication.processEvents()


def press(viewer, key, modifier=Qt.KeyboardModifier.NoModifier):
    QTest.keyClick(canvas_of(viewer), key, modifier)
    QApplication.processEvents()


def plugin_menu(viewer):
    """Return the entries of Plugins > Semi-MoE by their text."""
    bar = viewer.window._qt_window.menuBar()
    plugins = next(action for action in bar.actions() if action.text() == "&Plugins")
    plugins.menu().aboutToShow.emit()
    ours = next(action for action in plugins.menu().actions() if action.text() == "Semi-MoE")
    ours.menu().aboutToShow.emit()
    return {action.text(): action for action in ours.menu().actions()}


def our_docks(viewer):
    """Return all dock widgets of the plugin that napari holds, empty ones included."""
    QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    docks = viewer.window._qt_window.findChildren(QDockWidget)
    return [dock for dock in docks if "Semi-MoE" in dock.windowTitle()]
