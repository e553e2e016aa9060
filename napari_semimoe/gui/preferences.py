"""The plugin's page in napari's own Preferences, read when it is needed."""

from __future__ import annotations

from typing import Any

PLUGIN = "napari-semimoe"


def preference(group: str, key: str, default: Any) -> Any:
    """Return one preference, or ``default`` where napari knows no plugin settings.

    napari before 0.9, or a plugin manager that has not indexed this package, has none.
    """
    try:
        from napari.settings import get_plugin_settings

        settings = get_plugin_settings(PLUGIN)
    except (ImportError, KeyError):
        return default
    return getattr(getattr(settings, group, None), key, default)


def preferred_round_values() -> dict[str, Any]:
    """Return what the person prefers for a round."""
    return {
        "budget_minutes": float(preference("training", "budget_minutes", 4.0)),
        "device": str(preference("training", "device", "auto")),
        "threads": int(preference("training", "threads", 0)),
    }


def preferred_author() -> str | None:
    """Return the name that annotations carry, ``None`` to use the login name."""
    return str(preference("annotation", "author", "")).strip() or None
