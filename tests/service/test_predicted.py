"""Forecasts held against what the recommended runs came to; runs that may not be deleted yet."""

from typing import Any

import pytest
from sqlalchemy import Engine, update
from starlette.testclient import TestClient

from metadata.browsing import View
from metadata.errors import Conflict, NotFound
from metadata.history import History
from metadata.messages import Outcome
from metadata.records import Costs, Device, Run, Scores
from service.doctor.examine import promises
from service.jobs.attempts import Attempts
from service.jobs.queue import Queue
from service.jobs.recording import Recorder
from service.jobs.timing import Timing
from service.runs.predicted import held, predicted
from service.runs.removal import remove_run
from service.services import Services
from service.tables import AttemptRow, RecommendationRow

COSTS = Costs(
    train_seconds=20.0,
    eval_seconds=1.0,
    train_cpu_seconds=20.0,
    eval_cpu_seconds=1.0,
    peak_tensor_bytes=500,
    peak_device_bytes=900,
    trained_tokens=1000,
    steps=10,
    trainable_parameters=100,
)
DONE = Outcome(
    state="succeeded", scores=Scores(base_loss=3.0, best_loss=2.0, last_loss=2.0), costs=COSTS
)
SAID = {
    "quality": {"expected_regret": 0.4, "low": 0.0, "high": 0.9},
    "train_seconds": {"expected": 10.0, "low": 5.0, "high": 15.0},
    "peak_memory_bytes": {"expected": 400.0, "low": 300.0, "high": 600.0},
    "failure_probability": 0.1,
}


@pytest.fixture
def history(engine: Engine) -> History:
    return History(engine)


def recommend(engine: Engine, clock: Any, *, answer: Any = None) -> None:
    told = {"configurations": [{}, SAID]} if answer is None else answer
    with engine.begin() as connection:
        connection.execute(
            RecommendationRow.__table__.insert(),  # type: ignore[attr-defined]
            {
                "id": "rec-1",
                "knowledge_version": "v1",
                "request": {},
                "answer": told,
                "created_at": clock.now,
            },
        )


def finish(engine: Engine, attempts: Attempts, device: Device, outcome: Outcome = DONE) -> str:
    """Run the next job to its end and return its run."""
    offer = attempts.offer()
    assert offer is not None
    attempt = attempts.claim(offer.code)
    attempts.finish(attempt.attempt_id, attempt.token, outcome, device)
    Recorder(engine, History(engine)).record(attempt.attempt_id)
    return attempt.attempt_id.replace("attempt-", "run-", 1)


def rivals(run: Run) -> list[Run]:
    """Return runs of other configurations on the same pair, which gained 0.2 to 1.2."""
    return [
        run.model_copy(
            update={
                "id": f"rival-{number}",
                "configuration": run.configuration.model_copy(update={"epochs": 2.0 + number}),
                "scores": Scores(base_loss=3.0, best_loss=2.8 - number / 5, last_loss=3.0),
            }
        )
        for number in range(6)
    ]


def test_a_recommended_run_stands_beside_its_forecast(
    engine: Engine,
    queue: Queue,
    attempts: Attempts,
    history: History,
    make_order: Any,
    device: Device,
    clock: Any,
) -> None:
    recommend(engine, clock)
    queue.submit(make_order(recommendation_id="rec-1", rank=2, chosen_by="recommendation"))
    run_id = finish(engine, attempts, device)
    queue.submit(make_order())  # nobody recommended it
    finish(engine, attempts, device)
    history.add_many(rivals(history.get(run_id)))

    (one,) = predicted(engine, View())

    assert (one.run_id, one.rank, one.knowledge_version, one.score) == (run_id, 2, "v1", 1.0)
    told = one.quantities
    assert (told["train_seconds"].observed, told["train_seconds"].is_inside) == (20.0, False)
    assert (told["peak_memory_bytes"].observed, told["peak_memory_bytes"].is_inside) == (500, True)
    # Scores 0.2, 0.4, 0.6, 0.8, 1, 1.2 and its own configuration's 1: the median is 0.8.
    assert told["regret"].observed == pytest.approx((1.2 - 1.0) / (1.2 - 0.8))
    summary = held([one])
    assert (summary["train_seconds"].runs, summary["train_seconds"].inside) == (1, 0)
    assert summary["train_seconds"].median_ratio == pytest.approx(2.0)
    assert predicted(engine, View(filter="method = 'ia3'")) == []


def test_where_little_else_was_run_no_regret_is_told(
    engine: Engine, queue: Queue, attempts: Attempts, make_order: Any, device: Device, clock: Any
) -> None:
    recommend(engine, clock)
    queue.submit(make_order(recommendation_id="rec-1", rank=2))
    finish(engine, attempts, device, Outcome(state="diverged", reason="The loss was NaN."))

    (one,) = predicted(engine, View())

    assert {name: told.observed for name, told in one.quantities.items()} == {
        "train_seconds": None,
        "peak_memory_bytes": None,
        "regret": None,
    }
    assert held([one])["regret"].median_ratio is None


@pytest.mark.parametrize("answer", [{}, {"configurations": []}, {"configurations": [1, {}]}])
def test_an_answer_of_another_version_is_left_out(
    engine: Engine,
    queue: Queue,
    attempts: Attempts,
    make_order: Any,
    device: Device,
    clock: Any,
    answer: Any,
) -> None:
    recommend(engine, clock, answer=answer)
    queue.submit(make_order(recommendation_id="rec-1", rank=2))
    finish(engine, attempts, device)

    assert predicted(engine, View()) == []


def test_the_run_of_a_live_job_is_not_deleted(
    engine: Engine, queue: Queue, attempts: Attempts, history: History, make_order: Any
) -> None:
    queue.submit(make_order())
    offer = attempts.offer()
    assert offer is not None
    attempt = attempts.claim(offer.code)

    with pytest.raises(Conflict, match="which is running"):
        remove_run(attempt.attempt_id.replace("attempt-", "run-"), history, engine)
    with pytest.raises(NotFound):
        remove_run("run-other", history, engine)


def test_a_deleted_result_never_counts_again_and_the_doctor_finds_all_well(
    engine: Engine,
    queue: Queue,
    attempts: Attempts,
    history: History,
    make_order: Any,
    device: Device,
    clock: Any,
) -> None:
    queue.submit(make_order())
    run_id = finish(engine, attempts, device)
    remove_run(run_id, history, engine)
    with engine.begin() as connection:  # as if the server had died before it said so
        connection.execute(update(AttemptRow).values(is_recorded=False))

    added = Recorder(engine, history).catch_up()

    assert added == 0
    assert history.count() == 0
    assert all(line.is_well for line in promises(engine, Timing(60.0), clock=clock))


def test_a_run_on_its_way_to_the_history_is_not_deleted(
    engine: Engine,
    queue: Queue,
    attempts: Attempts,
    history: History,
    make_order: Any,
    device: Device,
) -> None:
    queue.submit(make_order())
    run_id = finish(engine, attempts, device)
    with engine.begin() as connection:
        connection.execute(update(AttemptRow).values(is_recorded=False))

    with pytest.raises(Conflict, match="on its way"):
        remove_run(run_id, history, engine)


def test_what_runs_show_together_is_told_over_http(client: TestClient) -> None:
    services: Services = client.app.state.services  # type: ignore[attr-defined]
    total = services.history.count()

    def told(name: str, **query: Any) -> Any:
        answer = client.get(f"/v1/runs/{name}", params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    seeds = told("seeds", limit=2)
    assert seeds["runs"] == total
    assert len(seeds["data"]) == 2
    assert seeds["has_more"]
    assert seeds["noise"] > 0
    of_two = "dataset_name in ('rte-40', 'sst2-40')"
    weighed = told("importance", by_dataset=True, filter=of_two)["data"]
    assert weighed[0]["dataset"] is None
    assert 0 < weighed[0]["explained"] < 1
    assert len(weighed) > 1
    failed = told("failures")
    assert failed["failed"] == sum(one["runs"] for one in failed["data"])
    covered = told("coverage", filter="method = 'lora'")
    assert set(covered["methods"]) == {"lora"}
    assert told("predicted")["data"] == []
    few = client.get("/v1/runs/importance", params={"filter": "method = 'none'"})
    assert few.status_code == 409
    assert "Widen the filter" in few.json()["detail"]
    assert client.get("/v1/runs/seeds", params={"filter": "x >"}).status_code == 422
