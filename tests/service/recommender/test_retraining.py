import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from metadata.database import open_database
from metadata.errors import Conflict, Unavailable
from metadata.history import History
from metadata.records import Run
from service.recommender.answer import answer
from service.recommender.knowledge import KnowledgeStore
from service.recommender.schemas import RecommendationRequest
from service.runs.retraining import refit


@pytest.fixture
def history(sqlite_url: str, runs: list[Run]) -> History:
    history = History(open_database(sqlite_url))
    history.add_many(runs)
    return history


@pytest.fixture
def store(tmp_path: Path, knowledge_folder: Path) -> KnowledgeStore:
    return KnowledgeStore(tmp_path / "knowledge", shipped=knowledge_folder)


def test_a_new_run_stands_in_the_evidence_after_a_refit(
    history: History,
    store: KnowledgeStore,
    runs: list[Run],
    request_: RecommendationRequest,
    now: Any,
) -> None:
    asked_before = answer(request_, store.current, now=now)
    assert request_.dataset.profile is not None
    task = runs[0].task.model_copy(update={"dataset": request_.dataset.profile})
    history.add(runs[0].model_copy(update={"id": "run-new", "task": task, "core": False}))

    result = refit(history, store)

    assert result.activated, result.reason
    assert result.before.version == asked_before.knowledge_version
    assert store.current.version == result.after.version
    asked_again = answer(request_, store.current, now=now)
    assert asked_again.evidence.runs == asked_before.evidence.runs + 1
    near = {one.run_id for option in asked_again.configurations for one in option.why.nearest_runs}
    assert "run-new" in near


def test_nothing_new_changes_nothing(history: History, store: KnowledgeStore) -> None:
    before = store.current

    result = refit(history, store)

    assert not result.activated
    assert "No run is new" in result.reason
    assert store.current is before


def test_a_version_that_is_worse_is_kept_but_not_activated(
    runs: list[Run], sqlite_url: str, store: KnowledgeStore
) -> None:
    scores = np.random.default_rng(0).permutation([run.scores for run in runs])
    history = History(open_database(sqlite_url))
    history.add_many(
        run.model_copy(update={"scores": other}) for run, other in zip(runs, scores, strict=True)
    )
    before = store.current.version

    result = refit(history, store)

    assert not result.activated
    assert result.after.held_out.ours["1"] > result.before.held_out.ours["1"]
    assert result.after.version in result.reason
    assert store.current.version == before
    assert store.activate(result.after.version).is_current


def test_too_few_runs_are_told_and_the_live_version_goes_on(
    sqlite_url: str, store: KnowledgeStore, runs: list[Run]
) -> None:
    history = History(open_database(sqlite_url))
    history.add_many(runs[:5])

    with pytest.raises(Unavailable, match="at least") as caught:
        refit(history, store)

    assert "/tmp" not in str(caught.value)
    assert store.current.created_from["runs"] == len(runs)


def test_one_refit_runs_at_a_time(history: History, store: KnowledgeStore) -> None:
    with store.refitting, pytest.raises(Conflict):
        refit(history, store)


def test_closing_the_store_stops_the_process_that_fits(
    history: History, store: KnowledgeStore, tmp_path: Path
) -> None:
    sleeper = tmp_path / "sleeper"
    sleeper.write_text(f"#!{sys.executable}\nimport time\ntime.sleep(60)\n")
    sleeper.chmod(0o755)
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(refit, history, store, python=str(sleeper))
        while not store.is_fitting:
            assert not waiting.done()
        store.close()

        with pytest.raises(Unavailable):
            waiting.result(timeout=10)
