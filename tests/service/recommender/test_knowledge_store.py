import threading
from pathlib import Path

import pytest

from metadata.errors import NotFound
from metadata.knowledge import Knowledge, fit_knowledge
from metadata.records import Run
from service.recommender.knowledge import KnowledgeStore


@pytest.fixture(scope="module")
def other(runs: list[Run]) -> Knowledge:
    return fit_knowledge(runs[:-1])


def test_an_empty_folder_answers_from_the_shipped_version(
    knowledge: Knowledge, knowledge_folder: Path, tmp_path: Path
) -> None:
    store = KnowledgeStore(tmp_path / "knowledge", shipped=knowledge_folder)

    assert store.current.version == knowledge.version
    assert [one.is_shipped for one in store.versions()] == [True]


def test_an_activated_version_answers_at_once_and_after_a_restart(
    other: Knowledge, knowledge_folder: Path, tmp_path: Path
) -> None:
    store = KnowledgeStore(tmp_path, shipped=knowledge_folder)
    taken = store.current
    store.add(other)

    assert store.activate(other.version).is_current

    assert store.current.version == other.version
    assert taken.version != other.version  # a reader keeps what it took
    again = KnowledgeStore(tmp_path, shipped=knowledge_folder)
    assert again.current.version == other.version
    assert {one.version: one.is_current for one in again.versions()} == {
        taken.version: False,
        other.version: True,
    }


def test_going_back_to_the_shipped_version_lasts(
    knowledge: Knowledge, other: Knowledge, knowledge_folder: Path, tmp_path: Path
) -> None:
    store = KnowledgeStore(tmp_path, shipped=knowledge_folder)
    store.add(other)
    store.activate(other.version)

    store.activate(knowledge.version)

    assert KnowledgeStore(tmp_path, shipped=knowledge_folder).current.version == knowledge.version


@pytest.mark.parametrize("version", ["nothing", "../shipped", ".", ""])
def test_an_unknown_version_is_refused_with_those_that_are(
    knowledge: Knowledge, knowledge_folder: Path, tmp_path: Path, version: str
) -> None:
    store = KnowledgeStore(tmp_path, shipped=knowledge_folder)

    with pytest.raises(NotFound, match=knowledge.version):
        store.activate(version)


def test_a_damaged_version_is_left_aside(
    knowledge: Knowledge, other: Knowledge, knowledge_folder: Path, tmp_path: Path
) -> None:
    store = KnowledgeStore(tmp_path, shipped=knowledge_folder)
    store.add(other)
    store.activate(other.version)
    (tmp_path / other.version / "arrays.npz").write_bytes(b"no arrays")

    again = KnowledgeStore(tmp_path, shipped=knowledge_folder)

    assert again.current.version == knowledge.version
    assert [one.version for one in again.versions()] == [knowledge.version]


def test_readers_never_wait_or_fail_while_versions_swap(
    knowledge: Knowledge, other: Knowledge, knowledge_folder: Path, tmp_path: Path
) -> None:
    store = KnowledgeStore(tmp_path, shipped=knowledge_folder)
    store.add(other)
    store.add(knowledge)
    seen: set[str] = set()
    is_over = threading.Event()

    def read() -> None:
        while not is_over.is_set():
            seen.add(store.current.version)

    reader = threading.Thread(target=read)
    reader.start()
    for version in (other.version, knowledge.version) * 5:
        store.activate(version)
    is_over.set()
    reader.join()

    assert seen <= {knowledge.version, other.version}
    assert not list(tmp_path.glob(".*"))
