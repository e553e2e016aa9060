"""The base of all settings: parsed once at the edge, frozen, and closed to unknown keys."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from napari_semimoe.core.errors import SettingsError

#: So much of a wrong value is said.
_LONG = 100


class Settings(BaseModel):
    """Base of all settings: frozen, closed, and with errors in our own words."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False
    )

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> Self:
        """Validate outside values.

        Raises
        ------
        SettingsError
            Naming each wrong setting, its rule and what came instead.
        """
        try:
            return cls.model_validate(dict(values))
        except ValidationError as error:
            raise SettingsError.of(_wrong(cls, error)) from error

    def changed(self, **values: Any) -> Self:
        """Return a validated copy with some values replaced."""
        return type(self).parse(self.model_dump() | values)


def _wrong(kind: type[BaseModel], error: ValidationError) -> list[tuple[str, str]]:
    """Return each wrong setting and what is wrong with it, in words that a person knows."""
    found = []
    for item in error.errors():
        name = ".".join(str(step) for step in item["loc"])
        if item["type"] == "extra_forbidden":
            known = kind.model_fields if len(item["loc"]) == 1 else ()
            found.append((name, _unknown(name, tuple(known))))
        elif item["type"] == "missing":
            found.append((name, "is missing"))
        else:
            rule = item["msg"].partition(", unable to")[0].removeprefix("Value error, ")
            rule = rule.replace("Input should", "must", 1)
            found.append((name, f"{rule}, got {_shortened(item['input'])}" if name else rule))
    return found


def _shortened(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _LONG else f"{text[:_LONG]}…"


def _unknown(name: str, known: tuple[str, ...]) -> str:
    closest = get_close_matches(name, known, n=1)
    if closest:
        return f"is no setting; the closest is {closest[0]}"
    return f"is no setting; there are {', '.join(known)}" if known else "is no setting"
