"""Which model is in charge: the last row of one table, so going back adds a row."""

from __future__ import annotations

from pathlib import Path

from napari_semimoe.core.errors import ProjectError
from napari_semimoe.core.states import RoundState
from napari_semimoe.project import checkpoints, rounds
from napari_semimoe.project.records import RoundRecord
from napari_semimoe.project.store import Store


class Models:
    """The models that a project's rounds made, and the one among them that is in charge."""

    def __init__(self, index: Store, author: str) -> None:
        self._index = index
        self._author = author

    def promote(self, number: int) -> RoundRecord:
        """Put a finished round's model in charge; also the way back to an older one.

        Raises
        ------
        ProjectError
            If the round has no weights.
        """
        record = rounds.find(self._index, number)
        if not self._has_weights(record):
            raise rounds.no_weights(number)
        with self._index.transaction() as connection:
            connection.execute(
                "UPDATE round SET state = ? WHERE number = ?", (RoundState.PROMOTED, number)
            )
            rounds.put_in_charge(self._index, number, self._author)
        return rounds.find(self._index, number)

    def promote_starter(self) -> None:
        """Put the starter model in charge again."""
        with self._index.transaction():
            rounds.put_in_charge(self._index, None, self._author)

    def keep(self, source: Path) -> Path:
        """Copy a weights file from elsewhere into the project; return where it lies there."""
        self._index.refuse_if_read_only()
        return checkpoints.keep(self._index.path, source)

    def in_charge(self) -> RoundRecord | None:
        """Return the round whose model is in charge, or None: the starter, if there is one."""
        return self._choices()[-1]

    def before(self) -> RoundRecord | None:
        """Return the round whose model was in charge before the present one; None: the starter.

        Raises
        ------
        ProjectError
            If no other model was ever in charge.
        """
        choices = self._choices()
        present = _number(choices[-1])
        for record in reversed(choices):
            if _number(record) != present:
                return record
        raise ProjectError(
            "No other model was in charge of this project before, so there is none to go back to. "
            "Choose one of its rounds instead."
        )

    def weights(self) -> Path | None:
        """Return the absolute path of the weights in charge, or None."""
        record = self.in_charge()
        return self._index.path / record.weights if record and record.weights else None

    def lost(self) -> RoundRecord | None:
        """Return the round that was chosen last, if its weights are gone since."""
        chosen = self._chosen()[-1]
        return None if chosen is None or self._has_weights(chosen) else chosen

    def _choices(self) -> list[RoundRecord | None]:
        """Return what was in charge, without rounds whose weights are gone.

        The choice before those counts.
        """
        return [each for each in self._chosen() if each is None or self._has_weights(each)]

    def _chosen(self) -> list[RoundRecord | None]:
        """Return what was put in charge, oldest first; the starter is None and comes first."""
        rows = self._index.rows(
            "SELECT promotion.round AS chosen, round.* FROM promotion"
            " LEFT JOIN round ON round.number = promotion.round ORDER BY promotion.id"
        )
        return [None, *(None if row["chosen"] is None else RoundRecord.of(row) for row in rows)]

    def _has_weights(self, record: RoundRecord) -> bool:
        return record.weights is not None and (self._index.path / record.weights).exists()


def _number(record: RoundRecord | None) -> int | None:
    return record.number if record is not None else None
