"""Bring the tables of a project that an earlier version made up to date."""

from __future__ import annotations

from napari_semimoe.project.schema import PROMOTION
from napari_semimoe.project.store import Store


def upgrade(index: Store) -> None:
    """Let promotions name no round, which stands for the starter model.

    The format's number stays: an earlier version still reads the table, and passes over what it
    does not know.
    """
    index.row("SELECT round FROM promotion")  # refused in words where the table is gone
    columns = {row["name"]: row for row in index.rows("PRAGMA table_info(promotion)")}
    if not columns["round"]["notnull"]:
        return
    with index.transaction() as connection:
        connection.execute("ALTER TABLE promotion RENAME TO promotion_before")
        connection.execute(PROMOTION)
        connection.execute(
            "INSERT INTO promotion (id, round, created)"
            " SELECT id, round, created FROM promotion_before"
        )
        connection.execute("DROP TABLE promotion_before")
