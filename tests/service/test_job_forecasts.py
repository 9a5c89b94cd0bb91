from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from starlette.testclient import TestClient

from metadata.records import Costs, Origin, Run, Scores, Task
from service import wording
from service.jobs.queue import Queue
from service.pages.job_forecasts import forecast_lines
from service.recommender.schemas import Interval, RecommendedConfiguration

COSTS = Costs(
    train_seconds=12.0,
    eval_seconds=3.0,
    train_cpu_seconds=12.0,
    eval_cpu_seconds=3.0,
    peak_tensor_bytes=60 * 2**20,
    peak_device_bytes=400 * 2**20,
    trained_tokens=1_000,
    steps=10,
    trainable_parameters=100,
)


@pytest.fixture
def recommended(client: TestClient, file_id: str) -> RecommendedConfiguration:
    question = {
        "base_model": {"id": "peftwise-tiny"},
        "dataset": {"file_id": file_id},
        "hardware": {"device": "cpu"},
    }
    found = client.post("/v1/recommendations", json=question).json()["configurations"][0]
    first = RecommendedConfiguration.model_validate(found)
    seconds = Interval(expected=10.0, low=8.0, high=13.0)
    peak = Interval(expected=50.0 * 2**20, low=45.0 * 2**20, high=55.0 * 2**20)
    return first.model_copy(update={"train_seconds": seconds, "peak_memory_bytes": peak})


def test_what_was_seen_stands_beside_what_was_forecast(
    queue: Queue, make_order: Any, device: Any, clock: Any, recommended: RecommendedConfiguration
) -> None:
    job = queue.submit(make_order())
    order = job.order
    run = Run(
        id="run-1",
        task=Task(model=order.model, dataset=order.dataset, device=device),
        configuration=order.configuration,
        state="succeeded",
        scores=Scores(base_loss=3.0, best_loss=2.0, last_loss=2.1),
        costs=COSTS,
        origin=Origin(source="worker"),
        created_at=clock.now,
    )

    time, memory, quality = forecast_lines(job, recommended, run, now=clock.now)

    assert (time.forecast, time.observed) == (wording.duration(10), wording.duration(12))
    assert time.verdict == "within the 90 % interval"
    assert memory.observed == wording.size(60 * 2**20)
    assert memory.verdict == "above the 90 % interval"
    assert quality.observed == "1.000 nats gained"
    assert time.bar is not None
    assert time.bar.observed is not None
    assert time.bar.start < time.bar.expected < time.bar.observed


def test_what_still_runs_is_not_held_against_a_forecast_of_training_alone(
    queue: Queue, make_order: Any, clock: Any, recommended: RecommendedConfiguration
) -> None:
    job = queue.submit(make_order())
    running = replace(job, state="running", started_at=clock.now)

    time, memory, _ = forecast_lines(
        running, recommended, None, now=clock.now + timedelta(minutes=5)
    )

    assert "so far, with loading and evaluation" in time.observed
    assert (time.verdict, memory.verdict) == ("", "")
    assert time.bar is not None
    assert time.bar.observed is None


def test_a_job_with_a_configuration_of_the_callers_has_only_what_is_known(
    queue: Queue, make_order: Any, clock: Any
) -> None:
    alone = queue.submit(make_order(forecast_seconds=60.0))
    nothing = queue.submit(make_order())

    (line,) = forecast_lines(alone, None, None, now=clock.now)

    assert (line.forecast, line.bar) == (wording.duration(60), None)
    assert forecast_lines(nothing, None, None, now=clock.now) == ()
