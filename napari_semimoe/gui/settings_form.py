"""A magicgui form made from a settings model: its ranges, its choices, its words."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from magicgui.widgets import Container, create_widget
from magicgui.widgets.bases import ValueWidget
from pydantic.fields import FieldInfo
from qtpy.QtWidgets import QComboBox, QLabel

from napari_semimoe.core.closed_settings import Settings

_LABELS = {
    "budget_minutes": "Minutes",
    "device": "Compute on",
    "max_steps": "Steps at most",
    "threads": "Threads",
    "crop_px": "Crop side (px)",
    "ema_decay": "Averaging",
    "validate_every": "Validate every (steps)",
    "unlabelled_weight": "Weight of unlabelled",
    "object_weight": "Weight of objects",
    "glass": "Empty glass",
    "agreement": "Experts must agree",
    "measure": "Judged by",
}
#: Values that are felt rather than known.
_SLIDERS = ("agreement",)

#: Steps of the arrows; they also decide how many digits are shown.
_STEPS = {"learning_rate": 0.0001, "budget_minutes": 0.5, "ema_decay": 0.005}
#: What a zero means, where a spin box for floats can say so.
_ZEROS = {"learning_rate": "automatic"}


class SettingsForm:
    """Widgets for some fields of a settings model.

    Parameters
    ----------
    settings
        First values; the type decides what is valid.
    names
        Fields to show, in order. Nested settings are not supported.
    on_change
        Called after each change by the person.
    """

    def __init__(
        self, settings: Settings, names: Sequence[str], on_change: Callable[[], None]
    ) -> None:
        fields = type(settings).model_fields
        self.container = Container(
            widgets=[_widget(name, fields[name], getattr(settings, name)) for name in names]
        )
        self.container.margins = (0, 0, 0, 0)
        for each in self.container.native.findChildren(QComboBox):  # may be narrower than a choice
            each.setSizeAdjustPolicy(each.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
            each.setMinimumContentsLength(8)
        self.container.changed.connect(lambda _: on_change())

    def align(self) -> None:
        """Make all labels as wide as the widest is in the font of the window it is shown in.

        magicgui measures them in the application's font, which napari's style replaces.
        """
        labels = [each for each in self.container.native.findChildren(QLabel) if each.text()]
        for each in labels:
            each.ensurePolished()
        # A label asks for no less than it was fixed to before, so its words are measured here,
        # and something more for its frame.
        widths = [each.fontMetrics().size(0, f"{each.text()} x").width() for each in labels]
        width = max(widths, default=0)
        for each in labels:
            each.setFixedWidth(width)

    @property
    def values(self) -> dict[str, Any]:
        """Values by field name, not validated across fields yet."""
        return {widget.name: widget.value for widget in self.container}

    def set_values(self, values: Mapping[str, Any]) -> None:
        """Put values in, without calling back."""
        with self.container.changed.blocked():
            for name, value in values.items():
                if name in self.values:
                    self.container[name].value = value


def _widget(name: str, field: FieldInfo, value: Any) -> ValueWidget:
    options: dict[str, Any] = {"tooltip": field.description or ""}
    annotation = field.annotation
    if annotation in (int, float):
        options |= _range(field, annotation)
        if annotation is float:
            options["step"] = _STEPS.get(name, 0.05)
    if name in _SLIDERS:
        options["widget_type"] = "FloatSlider"
    widget: ValueWidget[Any] = create_widget(  # type: ignore[assignment]
        value=value,
        annotation=annotation,
        name=name,
        label=_LABELS.get(name, name.replace("_", " ").capitalize()),
        options=options,
    )
    if name in _ZEROS:
        widget.native.setSpecialValueText(_ZEROS[name])
    return widget


def _range(field: FieldInfo, kind: type) -> dict[str, Any]:
    """Translate the model's limits into a spin box's."""
    limits = {
        key: getattr(rule, key)
        for rule in field.metadata
        for key in ("ge", "gt", "le", "lt", "multiple_of")
        if getattr(rule, key, None) is not None
    }
    step: int | None = limits.get("multiple_of", 1) if kind is int else None
    smallest = step or 1e-6
    low = limits.get("ge", limits["gt"] + smallest if "gt" in limits else 0)
    high = limits.get("le", limits["lt"] - smallest if "lt" in limits else 10**6)
    if step and step > 1:
        low = -(-low // step) * step
    return {"min": low, "max": high, "step": step}
