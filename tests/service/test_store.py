from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine

from metadata.errors import InvalidDataset, InvalidRequest, NotFound
from metadata.examples import LINE_BYTES, read_examples
from metadata.features.dataset import profile_dataset
from service.files.store import FileStore
from service.files.uploads import Upload

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
GOOD = b"".join(b'{"prompt": "%d", "completion": "yes"}\n' % number for number in range(60))


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """One kind of database is enough here: queue and history are held to both."""
    return sqlite_url


@pytest.fixture
def store(engine: Engine, tmp_path: Path) -> FileStore:
    """Return an empty store."""
    (tmp_path / "files").mkdir()
    return FileStore(engine, tmp_path / "files")


def upload(store: FileStore, content: bytes, label: str = "train.jsonl", **fields: str) -> Upload:
    path = store.folder / ".incoming-test"
    path.write_bytes(content)
    fields = fields or {"purpose": "fine-tune"}
    return Upload(path=path, label=label, size_bytes=len(content), fields=fields)


def test_a_good_file_is_kept_under_an_id_with_its_profile(store: FileStore) -> None:
    stored = store.add(upload(store, GOOD), now=NOON)

    assert store.path(stored.id).read_bytes() == GOOD
    assert stored.profile == profile_dataset(
        list(read_examples(GOOD.splitlines())), name="train.jsonl"
    )
    assert store.get(stored.id) == stored
    assert store.profile(stored.id).examples == 60


def test_a_broken_line_is_named(store: FileStore) -> None:
    lines = GOOD.splitlines(keepends=True)
    lines[56] = b'{"prompt": "56", \n'

    with pytest.raises(InvalidDataset, match="Line 57") as caught:
        store.add(upload(store, b"".join(lines)), now=NOON)

    assert caught.value.line == 57
    assert store.page().files == ()


def test_an_empty_file_is_refused(store: FileStore) -> None:
    with pytest.raises(InvalidDataset, match="at least one example, got none"):
        store.add(upload(store, b"\n\n"), now=NOON)


def test_an_endless_line_is_refused_without_reading_it_whole(store: FileStore) -> None:
    with pytest.raises(InvalidDataset, match="Line 1: a line has at most"):
        store.add(upload(store, b"x" * (LINE_BYTES + 100)), now=NOON)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\data\\train.jsonl", "train.jsonl"),
        ("a\r\nSet-Cookie: x\x00.jsonl", "aSet-Cookie: x.jsonl"),
        ("", "unnamed"),
        ("..", "unnamed"),
        ("donn\u00e9es.jsonl", "donn\u00e9es.jsonl"),
        ("x" * 500, "x" * 120),
    ],
)
def test_a_name_is_only_a_label(store: FileStore, given: str, kept: str) -> None:
    stored = store.add(upload(store, GOOD, given), now=NOON)

    assert stored.label == kept
    assert store.path(stored.id).parent == store.folder


@pytest.mark.parametrize("fields", [{"other": "x"}, {"purpose": "assistants"}])
def test_another_purpose_or_field_is_refused(store: FileStore, fields: dict[str, str]) -> None:
    with pytest.raises(InvalidRequest, match="purpose"):
        store.add(upload(store, GOOD, **fields), now=NOON)


def test_files_are_paged_newest_first(store: FileStore) -> None:
    ids = [
        store.add(upload(store, GOOD), now=NOON + timedelta(seconds=number // 2)).id
        for number in range(5)
    ]

    first = store.page(limit=3)
    rest = store.page(limit=3, after=first.files[-1].id)

    assert first.has_more
    assert not rest.has_more
    assert {file.id for file in (*first.files, *rest.files)} == set(ids)
    assert first.files[0].id == ids[-1]


def test_a_removed_file_is_gone(store: FileStore) -> None:
    stored = store.add(upload(store, GOOD), now=NOON)

    store.remove(stored.id)

    with pytest.raises(NotFound, match="No file has the id"):
        store.get(stored.id)
    assert list(store.folder.iterdir()) == []


def test_what_an_upload_left_behind_is_removed(store: FileStore) -> None:
    (store.folder / ".incoming-0123").write_bytes(b"half")
    kept = store.add(upload(store, GOOD), now=NOON)

    store.remove_unfinished()

    assert [path.name for path in store.folder.iterdir()] == [kept.id]
