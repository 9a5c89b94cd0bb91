"""Notes, tags and the archive on both databases: what is said of runs, which never change."""

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Engine, func, select

from metadata.browsing import Browser, View
from metadata.database import open_database, read_session
from metadata.errors import InvalidRequest, NotFound
from metadata.history import History
from metadata.notes import LONGEST_NOTE, MOST_TAGS, Note, NoteRow, Notes, TagRow
from metadata.records import Run
from metadata.run_rows import CurveChunk

HOSTILE = "'; DROP TABLE runs; -- <script>alert(1)</script> %s \U0001f525"


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    engine = open_database(database_url)
    yield engine
    engine.dispose()


@pytest.fixture
def runs(engine: Engine, make_run: Any) -> list[Run]:
    made = [make_run(number) for number in range(6)]
    History(engine).add_many(made)
    return made


def found(engine: Engine, text: str = "") -> list[int]:
    return [int(run.id[-1]) for run in Browser(engine).page(View(filter=text, sort="id")).runs]


def test_what_is_said_is_kept_and_the_run_stays_as_it_was(engine: Engine, runs: list[Run]) -> None:
    notes = Notes(engine)

    note = notes.change(runs[1].id, text=HOSTILE, tags=[" paper ", "best", "best"])

    assert note == Note(text=HOSTILE, tags=("best", "paper"))
    assert notes.of(runs[1].id) == note
    assert notes.of(runs[2].id) == Note()
    assert History(engine).get(runs[1].id) == runs[1]


def test_what_is_not_given_stays(engine: Engine, runs: list[Run]) -> None:
    notes = Notes(engine)
    notes.change(runs[0].id, text="why", tags=["a"])

    notes.change(runs[0].id, archived=True)
    assert notes.of(runs[0].id) == Note(text="why", tags=("a",), archived=True)
    notes.change(runs[0].id, text="", archived=False)
    assert notes.of(runs[0].id) == Note(tags=("a",))
    notes.change(runs[0].id, tags=[])

    with read_session(engine) as session:
        assert session.scalar(select(func.count()).select_from(NoteRow)) == 0
        assert session.scalar(select(func.count()).select_from(TagRow)) == 0


@pytest.mark.parametrize(
    ("said", "rule"),
    [
        ({"text": "x" * (LONGEST_NOTE + 1)}, "at most 10,000 characters, got 10,001"),
        ({"text": "a\0b"}, "note holds a NUL"),
        ({"tags": [""]}, "1 to 100 printable characters"),
        ({"tags": ["a,b"]}, "no comma"),
        ({"tags": ["a\nb"]}, "printable"),
        ({"tags": ["x" * 101]}, "1 to 100"),
        ({"tags": [f"t{n}" for n in range(MOST_TAGS + 1)]}, "at most 50 tags, got 51"),
    ],
)
def test_what_cannot_be_said_is_refused_with_the_rule(
    engine: Engine, runs: list[Run], said: Any, rule: str
) -> None:
    with pytest.raises(InvalidRequest, match=rule):
        Notes(engine).change(runs[0].id, **said)
    for unknown in ("nobody", "a b", ""):
        with pytest.raises(NotFound):
            Notes(engine).change(unknown, text="x")


def test_runs_are_found_by_what_is_said(engine: Engine, runs: list[Run]) -> None:
    notes = Notes(engine)
    notes.change(runs[1].id, text="looks odd", tags=["paper", "odd"])
    notes.change(runs[2].id, tags=["paper"])
    notes.change(runs[3].id, text="Odd too", archived=True)

    assert found(engine, "tags = 'paper'") == [1, 2]
    assert found(engine, "tags like 'PAP%' and note is null") == [2]
    assert found(engine, "tags in ('odd', 'other')") == [1]
    assert found(engine, "tags != 'odd'") == [0, 2, 4, 5]
    assert found(engine, "not tags = 'odd' and tags is not null") == [2]
    assert found(engine, "tags not like 'p%'") == found(engine, "tags is null") == [0, 4, 5]
    assert found(engine, "note like '%odd%'") == [1]
    assert found(engine, "note like '%odd%' and archived in (true, false)") == [1, 3]


def test_archived_runs_are_out_of_sight_and_of_the_evidence(
    engine: Engine, runs: list[Run]
) -> None:
    history, browser = History(engine), Browser(engine)
    Notes(engine).change(runs[4].id, archived=True)

    assert found(engine) == found(engine, "archived = false") == [0, 1, 2, 3, 5]
    assert found(engine, "archived = true") == [4]
    assert browser.count(View()) == 5
    assert len(list(browser.stream(View(sort="-score")))) == 5
    assert runs[4].id not in {run.id for run in history.stream(with_archived=False)}
    assert len(list(history.stream())) == 6

    Notes(engine).change(runs[4].id, archived=False)
    assert found(engine) == [0, 1, 2, 3, 4, 5]
    assert len(list(history.stream(with_archived=False))) == 6


def test_a_page_brings_what_is_said_of_its_runs(engine: Engine, runs: list[Run]) -> None:
    Notes(engine).change(runs[0].id, tags=["z", "a"])

    page = Browser(engine).page(View(sort="tags"), limit=2)

    assert page.runs[0].id == runs[0].id  # runs without tags come last
    assert page.note(runs[0].id).tags == ("a", "z")
    assert page.note(page.runs[1].id) == Note()


def test_a_deleted_run_is_gone_with_all_that_belongs_to_it(engine: Engine, runs: list[Run]) -> None:
    history = History(engine)
    Notes(engine).change(runs[0].id, text="x", tags=["y"])

    history.remove(runs[0].id)

    with pytest.raises(NotFound):
        history.get(runs[0].id)
    with pytest.raises(NotFound):
        history.remove(runs[0].id)
    with read_session(engine) as session:
        for table in (NoteRow, TagRow, CurveChunk):
            of_run = select(func.count()).select_from(table).where(table.run_id == runs[0].id)
            assert session.scalar(of_run) == 0


def test_a_deleted_run_comes_back_by_no_second_import(engine: Engine, runs: list[Run]) -> None:
    history = History(engine)
    history.remove(runs[0].id)

    assert history.unknown([run.id for run in runs]) == set()
    assert history.unknown([runs[0].id, "other"]) == {"other"}
    assert history.add_many(runs) == 0
    assert not history.add(runs[0])
    assert history.count() == 5


def test_tags_are_listed_once(engine: Engine, runs: list[Run]) -> None:
    notes = Notes(engine)
    notes.change(runs[0].id, tags=["b", "a"])
    notes.change(runs[1].id, tags=["b"])

    assert notes.all_tags() == ["a", "b"]
