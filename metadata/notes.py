"""What people say of runs: a note, tags, and whether a run is archived.

A run itself never changes: what is said of it stands in tables of its own. An archived run is out
of sight and out of the evidence (surrogates do not learn from it) until it is taken back.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Engine, ForeignKey, Index, delete, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from metadata.database import INSERTS, Base, Text, UtcDateTime, read_session, write_session
from metadata.errors import InvalidRequest, NotFound
from metadata.run_rows import RUN_ID, RunRow, check_text

LONGEST_NOTE = 10_000  # characters
LONGEST_TAG, MOST_TAGS = 100, 50  # characters; of one run
_IDS_AT_ONCE = 500  # SQLite takes 32,766 values in a statement; older ones took 999


class NoteRow(Base):
    """What is said of a run; one of which nothing is said has none."""

    __tablename__ = "run_notes"

    run_id: Mapped[str] = mapped_column(
        Text, ForeignKey(RunRow.id, ondelete="CASCADE"), primary_key=True
    )
    text: Mapped[str] = mapped_column(Text)
    archived: Mapped[bool]
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)


class TagRow(Base):
    """One tag of one run."""

    __tablename__ = "run_tags"

    run_id: Mapped[str] = mapped_column(
        Text, ForeignKey(RunRow.id, ondelete="CASCADE"), primary_key=True
    )
    tag: Mapped[str] = mapped_column(Text, primary_key=True)

    __table_args__ = (Index(None, "tag", "run_id"),)


@dataclass(frozen=True, kw_only=True)
class Note:
    """What is said of a run; tags are sorted."""

    text: str = ""
    tags: tuple[str, ...] = ()
    archived: bool = False


NOTHING_SAID = Note()


class Notes:
    """What is said of the runs of one database."""

    def __init__(self, engine: Engine) -> None:
        """Use the tables that `open_database` has made."""
        self._engine = engine

    def of(self, run_id: str) -> Note:
        """Return what is said of one run."""
        with read_session(self._engine) as session:
            return notes_of(session, [run_id]).get(run_id, NOTHING_SAID)

    def change(
        self,
        run_id: str,
        *,
        text: str | None = None,
        tags: Sequence[str] | None = None,
        archived: bool | None = None,
    ) -> Note:
        """Say what is given of a run, leave the rest as it was, and return all that is said now.

        Tags replace those of before; white space around them and repeats are dropped.

        Raises:
            NotFound: No run has that id.
            InvalidRequest: A note or a tag that cannot be kept.
        """
        _check_note(text)
        wanted = None if tags is None else _checked_tags(tags)
        with write_session(self._engine) as session:
            _lock(session, run_id)
            known = notes_of(session, [run_id]).get(run_id, NOTHING_SAID)
            note = Note(
                text=known.text if text is None else text,
                tags=known.tags if wanted is None else wanted,
                archived=known.archived if archived is None else archived,
            )
            _write(session, run_id, note)
        return note

    def all_tags(self) -> list[str]:
        """Return every tag that some run has, sorted."""
        with read_session(self._engine) as session:
            return list(session.scalars(select(TagRow.tag).distinct().order_by(TagRow.tag)))


def notes_of(session: Session, run_ids: Iterable[str]) -> dict[str, Note]:
    """Return what is said of some runs, by id; those of which nothing is said are left out."""
    ids = list(run_ids)
    rows: dict[str, NoteRow] = {}
    tags: dict[str, list[str]] = {}
    for start in range(0, len(ids), _IDS_AT_ONCE):
        some = ids[start : start + _IDS_AT_ONCE]
        found = session.scalars(select(NoteRow).where(NoteRow.run_id.in_(some)))
        rows |= {row.run_id: row for row in found}
        tagged = select(TagRow.run_id, TagRow.tag).where(TagRow.run_id.in_(some))
        for run_id, tag in session.execute(tagged.order_by(TagRow.run_id, TagRow.tag)):
            tags.setdefault(run_id, []).append(tag)
    return {run_id: _note(rows.get(run_id), tags.get(run_id, ())) for run_id in {*rows, *tags}}


def is_archived() -> ColumnElement[bool]:
    """Return SQL that holds for archived runs."""
    return RunRow.id.in_(select(NoteRow.run_id).where(NoteRow.archived))


def said(note: Note) -> Mapping[str, Any]:
    """Return what is said by the names of the fields that filter it."""
    return {"note": note.text or None, "tags": list(note.tags), "archived": note.archived}


def _note(row: NoteRow | None, tags: Sequence[str]) -> Note:
    if row is None:
        return Note(tags=tuple(tags))
    return Note(text=row.text, tags=tuple(tags), archived=row.archived)


def _lock(session: Session, run_id: str) -> None:
    """Have one writer a run: SQLite has one in all."""
    found = None
    if RUN_ID.fullmatch(run_id):
        found = session.scalar(select(RunRow.id).where(RunRow.id == run_id).with_for_update())
    if found is None:
        raise NotFound(f"No run has the id {run_id[:80]!r}. List the runs to see which there are.")


def _write(session: Session, run_id: str, note: Note) -> None:
    session.execute(delete(TagRow).where(TagRow.run_id == run_id))
    if note.tags:
        session.execute(
            INSERTS[session.get_bind().dialect.name](TagRow),
            [{"run_id": run_id, "tag": tag} for tag in note.tags],
        )
    session.execute(delete(NoteRow).where(NoteRow.run_id == run_id))
    if note.text or note.archived:
        now = datetime.now(UTC)
        session.add(NoteRow(run_id=run_id, text=note.text, archived=note.archived, updated_at=now))


def _check_note(text: str | None) -> None:
    if text is None:
        return
    check_text("note", text)
    if len(text) > LONGEST_NOTE:
        raise InvalidRequest(
            f"A note has at most {LONGEST_NOTE:,} characters, got {len(text):,}. Shorten it.",
            param="note",
        )


def _checked_tags(tags: Sequence[str]) -> tuple[str, ...]:
    kept = sorted({tag.strip() for tag in tags})
    for tag in kept:
        check_text("tags", tag)
        if not 1 <= len(tag) <= LONGEST_TAG or "," in tag or not tag.isprintable():
            raise InvalidRequest(
                f"A tag has 1 to {LONGEST_TAG} printable characters and no comma, "
                f"got {tag[: LONGEST_TAG + 20]!r}. Mend or drop it.",
                param="tags",
            )
    if len(kept) > MOST_TAGS:
        raise InvalidRequest(
            f"A run has at most {MOST_TAGS} tags, got {len(kept)}. Drop some.", param="tags"
        )
    return tuple(kept)
