"""Insert rows or write over those of the same key, on both databases."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy.orm import Session

from metadata.database import INSERTS


def upsert(
    session: Session,
    table: type[Any],
    rows: Sequence[Mapping[str, Any]],
    *,
    written_over: Sequence[str],
) -> None:
    """Insert rows; of one whose primary key is there, the named columns are written over."""
    insert = INSERTS[session.get_bind().dialect.name](table)
    keys = [column.name for column in table.__table__.primary_key]
    changed = {name: insert.excluded[name] for name in written_over}
    statement = insert.on_conflict_do_update(index_elements=keys, set_=changed)
    session.execute(statement, [dict(row) for row in rows])
