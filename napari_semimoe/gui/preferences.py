"""The plugin's page in napari's own Preferences, read when it is needed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qtpy.QtCore import QObject

from napari_semimoe.core.settings import ClusterSettings, PredictSettings
from napari_semimoe.gui.widgets import single_shot
from napari_semimoe.session.queue import QueueOrder

PLUGIN = "napari-semimoe"
_PREDICT_KEYS = (
    "device",
    "threshold",
    "min_object_um2",
    "min_confidence",
    "split_touching",
    "flips",
    "adapt",
)


def preference(group: str, key: str, default: Any) -> Any:
    """Return one preference, or ``default`` where napari does not know our settings."""
    return getattr(_group(group), key, default)


def preferred_round_values() -> dict[str, Any]:
    """Return what the person prefers for a round."""
    return {
        "budget_minutes": float(preference("training", "budget_minutes", 4.0)),
        "device": str(preference("training", "device", "auto")),
        "threads": int(preference("training", "threads", 0)),
    }


def prefers_automatic_rounds() -> bool:
    """Whether rounds begin by themselves."""
    return bool(preference("training", "automatic", False))


def preferred_prediction() -> PredictSettings:
    """Return how the person wants tiles to be predicted."""
    usual = PredictSettings()
    return usual.changed(
        **{key: preference("prediction", key, getattr(usual, key)) for key in _PREDICT_KEYS}
    )


def preferred_cluster() -> ClusterSettings:
    """Return the other machine that does the work; by default there is none."""
    usual = ClusterSettings()
    return usual.changed(
        **{key: str(preference("cluster", key, "")).strip() for key in usual.model_dump()}
    )


def preferred_author() -> str | None:
    """Return the name that annotations carry, ``None`` to use the project's."""
    return str(preference("annotation", "author", "")).strip() or None


def preferred_order() -> QueueOrder:
    """Return the order of the queue in new projects."""
    order: QueueOrder = preference("annotation", "order", "disagreement")
    return order


class PreferenceWatch(QObject):
    """Calls back a moment after the last change, so that a slider costs one call.

    Parameters
    ----------
    on_change
        Called in the window's thread.
    """

    def __init__(self, on_change: Callable[[], None]) -> None:
        super().__init__()
        self._timer = single_shot(self, 500, on_change)
        self._groups = [
            group for group in map(_group, ("prediction", "annotation")) if group is not None
        ]
        for group in self._groups:
            group.events.connect(self._on_event)

    def _on_event(self, event: object) -> None:
        self._timer.start()

    def close(self) -> None:
        """Stop listening."""
        self._timer.stop()
        for group in self._groups:
            group.events.disconnect(self._on_event)


def _group(name: str) -> Any:
    """Return a group of preferences.

    ``None`` when the plugin manager has not indexed this package, which happens when it is
    used from a checkout that was never installed.
    """
    from napari.settings import get_plugin_settings

    try:
        return getattr(get_plugin_settings(PLUGIN), name, None)
    except KeyError:
        return None
