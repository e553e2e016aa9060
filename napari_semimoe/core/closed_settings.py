"""The base of all settings: parsed once at the edge, frozen, and closed to unknown keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from napari_semimoe.core.errors import SettingsError


class Settings(BaseModel):
    """Base of all settings: frozen, closed, and with errors in our own words."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

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
            raise SettingsError(_in_words(cls.__name__, error)) from error

    def changed(self, **values: Any) -> Self:
        """Return a validated copy with some values replaced."""
        return type(self).parse(self.model_dump() | values)


def _in_words(name: str, error: ValidationError) -> str:
    parts = []
    for item in error.errors():
        where = ".".join(str(step) for step in item["loc"]) or name
        parts.append(f"{where}: {item['msg']} (got {item.get('input')!r})")
    return f"{name} is not valid: " + "; ".join(parts)
