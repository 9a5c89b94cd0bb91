"""Choosing among base models over HTTP."""

from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from metadata.features.model import find_model
from metadata.records import Objective, Task
from metadata.runs_file import SHIPPED_RUNS, read_runs, write_runs

SMALL, LARGE = "Qwen/Qwen2.5-0.5B", "Qwen/Qwen2.5-7B"
EXAMPLES = [{"prompt": f"{n} plus {n}?", "completion": str(2 * n)} for n in range(40)]
PAIRS = [
    {"prompt": f"{n} plus {n}?", "chosen": str(2 * n), "rejected": str(2 * n + 1)}
    for n in range(100)
]
SHIPPED = [run for run in read_runs(SHIPPED_RUNS) if run.state == "succeeded"]
RUN = next(
    run
    for run in SHIPPED
    if (run.task.model.id, run.task.dataset.name) == ("peftwise-tiny", "generated-sorting-40")
)


def ask(client: TestClient, **changes: Any) -> Any:
    body = {
        "base_models": [{"id": SMALL}, {"id": LARGE}],
        "dataset": {"examples": EXAMPLES},
        "hardware": {"device": "NVIDIA H100 80GB"},
        **changes,
    }
    return client.post("/v1/recommendations/models", json=body)


def runs_of(model: str, *losses: float) -> list[dict[str, Any]]:
    return [
        {"model": model, "examples": 10 * 2**place, "loss": loss}
        for place, loss in enumerate(losses)
    ]


def on_its_data(client: TestClient, **changes: Any) -> Any:
    """Ask about the model of `RUN` on its data, some of the data's fields changed."""
    data = RUN.task.dataset.model_dump(mode="json") | changes
    models = [{"id": RUN.task.model.id}]
    return ask(client, base_models=models, dataset={"profile": data}).json()


def test_without_runs_the_larger_comes_first_and_the_answer_says_why(client: TestClient) -> None:
    given = ask(client).json()

    assert [one["model"] for one in given["data"]] == [LARGE, SMALL]
    assert {one["basis"] for one in given["data"]} == {"size"}
    assert all(one["loss_per_byte"] is None for one in given["data"])
    assert all(one["configuration"]["fits"] for one in given["data"])
    assert "run of these models on this data is known" in given["advice"]


def test_losses_decide_where_they_are_known(client: TestClient) -> None:
    given = ask(client, runs=[*runs_of(SMALL, 1.0, 0.8), *runs_of(LARGE, 2.0, 1.9)]).json()

    first, second = given["data"]
    assert (first["model"], first["basis"], first["sizes"]) == (SMALL, "law", [10, 20])
    assert first["loss_per_byte"]["expected"] < second["loss_per_byte"]["expected"]
    assert first["law"]["exponent"] > 0


def test_losses_that_rise_are_no_law_and_lose_to_those_that_fall(client: TestClient) -> None:
    given = ask(
        client, runs=[*runs_of(SMALL, 1.0, 1.5, 2.5), *runs_of(LARGE, 2.5, 2.4, 2.3)]
    ).json()

    falling, rising = given["data"]
    assert (falling["model"], falling["basis"]) == (LARGE, "law")
    assert (rising["basis"], rising["law"]) == ("largest_size", None)
    per_byte = find_model(SMALL).bytes_per_token
    said = rising["loss_per_byte"]
    assert said["expected"] == pytest.approx(2.5 / per_byte)
    assert said["low"] < 1.0 / per_byte < 2.5 * 2.5 / per_byte < said["high"]
    assert "Some losses rise" in given["advice"]


@pytest.mark.parametrize(
    ("examples", "said"),
    [
        (200, "on 20, 40 and 80 examples"),
        (100_000, "on 800, 1,600 and 3,200 examples"),
        (5, "too few examples"),
    ],
)
def test_the_parts_to_train_on_are_parts_of_the_data(
    client: TestClient, examples: int, said: str
) -> None:
    given = on_its_data(client, name="other", sha256="0" * 64, examples=examples)

    assert said in given["advice"]


def test_a_model_that_does_not_fit_comes_last_and_says_what_would_do(client: TestClient) -> None:
    given = ask(client, hardware={"device": "NVIDIA T4"}, budget={"memory_gib": 6}).json()

    assert [one["model"] for one in given["data"]] == [SMALL, LARGE]
    assert given["data"][1]["configuration"] is None
    assert "GiB" in given["data"][1]["next_step"]


def name_and_size(task: Task) -> tuple[str, int]:
    """Return what a campaign calls the data of a task, and how many examples it says it trains."""
    name, _, size = task.dataset.name.rpartition("-")
    return name, int(size)


def test_past_runs_on_parts_of_the_data_count_what_they_trained_on(client: TestClient) -> None:
    given = on_its_data(client)

    same_model = [run.task for run in SHIPPED if run.task.model.id == RUN.task.model.id]
    sizes = {name_and_size(task) for task in same_model}
    assert given["examples"] == 40
    assert given["data"][0]["sizes"] == sorted(
        size for name, size in sizes if name == "generated-sorting"
    )


def test_past_runs_on_other_data_of_the_same_group_are_left_out(client: TestClient) -> None:
    given = on_its_data(client, name="generated-sorting-places-40", sha256="0" * 64)

    assert given["data"][0]["sizes"] == []


def test_past_runs_on_the_same_data_by_another_name_are_found(client: TestClient) -> None:
    given = on_its_data(client, name="mine.jsonl")

    assert given["data"][0]["sizes"] == [40]


def test_preferences_are_configured_as_by_the_other_route(client: TestClient) -> None:
    task = {"dataset": {"examples": PAIRS}, "hardware": {"device": "NVIDIA H100 80GB"}}
    alone = client.post(
        "/v1/recommendations", json={**task, "base_model": {"id": SMALL}, "count": 1}
    ).json()

    given = ask(client, **task, base_models=[{"id": SMALL}]).json()

    [expected] = alone["configurations"]
    assert given["data"][0]["configuration"]["configuration"] == expected["configuration"]


def test_past_runs_that_were_no_dpo_say_nothing_of_preferences(client: TestClient) -> None:
    given = on_its_data(client, kind="preference")

    assert given["data"][0]["sizes"] == []


def test_losses_of_past_dpo_runs_are_per_pair(client: TestClient, tmp_path: Path) -> None:
    data = RUN.task.dataset.model_copy(update={"kind": "preference"})
    task = RUN.task.model_copy(update={"dataset": data})
    learnt = {"task": task, "objective": Objective(name="dpo"), "id": "dpo-1"}
    file = tmp_path / "runs.parquet"
    write_runs(file, [RUN.model_copy(update=learnt)])
    client.post("/v1/runs/import", files={"file": ("runs.parquet", file.read_bytes())})

    given = on_its_data(client, kind="preference")

    [model] = given["data"]
    assert RUN.scores is not None
    assert model["loss_per_pair"]["expected"] == pytest.approx(RUN.scores.best_loss)
    assert (model["sizes"], model["loss_per_byte"]) == ([40], None)
    assert given["advice"].startswith("Losses are per pair")


def test_money_is_a_limit_where_a_price_is_given(client: TestClient) -> None:
    hardware = {"device": "NVIDIA L40S", "usd_per_hour": 1}

    least, plenty = (ask(client, hardware=hardware, budget={"usd": u}).json() for u in (1e-7, 10))

    assert {one["configuration"] for one in least["data"]} == {None}
    assert all(0 < one["configuration"]["cost_usd"] <= 10 for one in plenty["data"])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"base_models": []}, "base_models"),
        ({"base_models": [{"id": SMALL}, {"id": SMALL}]}, "each model once"),
        ({"runs": runs_of("other", 1.0)}, "runs are of the base_models"),
        ({"base_models": [{"id": "no/such"}]}, "no/such"),
        ({"budget": {"usd": 0.0001}}, "budget.usd needs a price"),
    ],
)
def test_a_wrong_question_is_told(client: TestClient, changes: Any, said: str) -> None:
    answer = ask(client, **changes)

    assert 400 <= answer.status_code < 500
    assert said in answer.text
