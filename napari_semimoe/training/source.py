"""Where a round's tiles come from: a small protocol, so that training knows no database."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from napari_semimoe.core.values import Patch


class PatchSource(Protocol):
    """Tiles by name, in three roles. A name stands for the same pixels throughout a round."""

    @property
    def labelled(self) -> Sequence[str]:
        """Names of the tiles whose masks teach."""
        ...

    @property
    def unlabelled(self) -> Sequence[str]:
        """Names of the tiles that teach through pseudo-labels."""
        ...

    @property
    def validation(self) -> Sequence[str]:
        """Names of the tiles that only measure."""
        ...

    def read(self, name: str) -> Patch:
        """Return the tile's pixels, and its mask if it is labelled or for validation."""
        ...


@dataclass(frozen=True)
class MemorySource:
    """Tiles that are already in memory."""

    patches: Mapping[str, Patch]
    labelled: Sequence[str]
    unlabelled: Sequence[str] = ()
    validation: Sequence[str] = ()

    def read(self, name: str) -> Patch:
        """Return the tile called ``name``."""
        return self.patches[name]


def data_hash(source: PatchSource) -> str:
    """Return a hash of everything that a round can learn from: pixels, masks, roles."""
    digest = hashlib.sha256()
    for role in ("labelled", "unlabelled", "validation"):
        for name in getattr(source, role):
            patch = source.read(name)
            digest.update(f"{role} {name} {patch.um_per_px} {dict(patch.classes)}".encode())
            digest.update(patch.image.tobytes())
            if patch.labels is not None and role != "unlabelled":
                digest.update(patch.labels.tobytes())
    return digest.hexdigest()
