"""One family of errors; every member is also the builtin a caller would expect.

A message says the thing, the rule, what came instead, and the next move. It is shown to
the person as it stands, so it is a full sentence in plain words.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Self


class SemiMoEError(Exception):
    """Base of every error that this package raises on purpose."""


class SettingsError(SemiMoEError, ValueError):
    """A setting is outside its range, unknown, or does not fit another setting.

    Attributes
    ----------
    wrong
        Each wrong setting and what is wrong with it; empty where the sentence is about no single
        one, or about several.
    """

    wrong: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, wrong: Iterable[tuple[str, str]]) -> Self:
        """Return the error that says of each setting what is wrong with it."""
        parts = tuple(wrong)
        error = cls("; ".join(f"{name} {rule}".strip() for name, rule in parts) + ".")
        error.wrong = parts
        return error

    def renamed(self, names: Mapping[str, str]) -> Self:
        """Return the error in the words of somebody who calls the settings otherwise."""
        if not self.wrong:
            return self
        return type(self).of((_renamed(name, names), rule) for name, rule in self.wrong)


def _renamed(name: str, names: Mapping[str, str]) -> str:
    """Call a setting, or a part of one such as ``mean.0``, otherwise."""
    whole, dot, part = name.partition(".")
    return names.get(name) or names.get(whole, whole) + dot + part


class ShapeError(SemiMoEError, ValueError):
    """An array or tensor has a shape or dtype that the operation must not guess about."""


class ImageReadError(SemiMoEError, ValueError):
    """A file is not an image, is truncated, or is of a kind that cannot be converted safely."""


class ScaleUnknownError(ImageReadError):
    """An image does not say how large its pixels are, and nobody else did."""


class OtherImageError(ImageReadError):
    """A mask says that it was exported for another image."""


class UnsaidBackgroundError(ImageReadError):
    """A mask does not say which of its numbers is the background."""


class ProjectError(SemiMoEError, RuntimeError):
    """The project cannot do what was asked in its present state."""


class ProjectLockedError(ProjectError):
    """Another process has the project open for writing."""


class ProjectCutOffError(ProjectError):
    """A writer was killed while it stored something; opening for writing puts it in order."""


class ProjectFormatError(ProjectError):
    """The folder is not a project, is damaged, or was written by a newer version."""


class StorageError(SemiMoEError, OSError):
    """The disk refused: full, read-only, or gone. Nothing that was stored before is lost."""


class CheckpointError(SemiMoEError, ValueError):
    """A weights file is missing, damaged, pickled, or does not fit the network."""


class JobError(SemiMoEError, RuntimeError):
    """Background work failed; the message is the worker's own sentence."""


class UnreachableError(JobError):
    """Nobody is there who could do a job, so what waits behind it would end the same way."""


#: Each of torch's backends says it in other words, and not all have an error class for it.
_MEMORY_WORDS = (
    "out of memory",
    "can't allocate memory",
    "not enough memory",
    "alloc_failed",  # of cuBLAS and cuDNN
    "unable to find an engine",  # of cuDNN, which found no room to try one
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory is short, on any device."""
    return isinstance(error, MemoryError) or any(
        words in str(error).lower() for words in _MEMORY_WORDS
    )
