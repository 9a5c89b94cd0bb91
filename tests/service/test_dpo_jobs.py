"""Jobs that learn from preferences: their shape, their form of data, and what advises them."""

import json
from typing import Any

import pytest
from starlette.testclient import TestClient

from metadata.priors import DPO_RATE_FACTOR

JOBS = "/v1/fine_tuning/jobs"
PAIRS = [
    {"prompt": f"{n} plus {n} is", "chosen": f" {2 * n}", "rejected": f" {2 * n + 1}"}
    for n in range(60)
]
CONFIGURATION: dict[str, Any] = {
    "method": {"name": "lora", "r": 4, "lora_alpha": 8, "lora_dropout": 0.0},
    "optimizer": {"name": "adamw", "learning_rate": 0.002},
}


def upload(client: TestClient, records: list[dict[str, Any]]) -> str:
    content = "\n".join(json.dumps(record) for record in records)
    answer = client.post(
        "/v1/files", files={"file": ("pairs.jsonl", content)}, data={"purpose": "fine-tune"}
    )
    assert answer.status_code == 200, answer.text
    return str(answer.json()["id"])


@pytest.fixture
def pairs_id(client: TestClient) -> str:
    return upload(client, PAIRS)


def create(client: TestClient, file_id: str, **changes: Any) -> Any:
    body = {"model": "peftwise-tiny", "training_file": file_id, "method": {"type": "dpo"}}
    return client.post(JOBS, json=body | changes)


def ask(client: TestClient, **changes: Any) -> Any:
    body = {
        "base_model": {"id": "peftwise-tiny"},
        "dataset": {"examples": PAIRS},
        "hardware": {"device": "cpu"},
    }
    return client.post("/v1/recommendations", json=body | changes)


def rate(configuration: dict[str, Any]) -> float:
    return float(configuration["optimizer"]["learning_rate"])


def test_a_dpo_job_says_what_it_is_trained_by(client: TestClient, pairs_id: str) -> None:
    wished = {"n_epochs": 2, "batch_size": "auto", "beta": 0.3}
    job = create(
        client, pairs_id, method={"type": "dpo", "dpo": {"hyperparameters": wished}}
    ).json()

    assert job["method"]["type"] == "dpo"
    assert set(job["method"]) == {"type", "dpo"}
    chosen = job["method"]["dpo"]["hyperparameters"]
    assert (chosen["n_epochs"], chosen["beta"]) == (2, 0.3)
    assert job["peft"]["objective"] == {"name": "dpo", "beta": 0.3}
    assert client.get(f"{JOBS}/{job['id']}").json() == job


def test_auto_is_the_usual_beta_and_a_supervised_rate_made_small(
    client: TestClient, pairs_id: str
) -> None:
    job = create(client, pairs_id).json()

    assert job["peft"]["objective"] == {"name": "dpo", "beta": 0.1}
    assert job["peft"]["chosen_by"] == "recommender"
    found = client.get(f"/v1/recommendations/{job['peft']['recommendation_id']}").json()
    assert found["configurations"][0]["configuration"] == job["peft"]["configuration"]


def test_twice_the_rows_of_a_configuration_take_about_twice_as_long(
    client: TestClient, pairs_id: str
) -> None:
    supervised = [{"prompt": p["prompt"], "completion": p["chosen"]} for p in PAIRS]
    peft = {"configuration": CONFIGURATION}

    pairs = create(client, pairs_id, peft=peft).json()
    alone = create(
        client, upload(client, supervised), peft=peft, method={"type": "supervised"}
    ).json()

    times = pairs["peft"]["forecast_seconds"] / alone["peft"]["forecast_seconds"]
    assert 1.5 < times < 2.5


@pytest.mark.parametrize("method", [None, {"type": "supervised"}])
def test_preferences_are_not_learnt_from_as_completions(
    client: TestClient, pairs_id: str, method: Any
) -> None:
    answer = create(client, pairs_id, method=method)

    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "training_file"
    assert "Train them with dpo" in answer.json()["error"]["message"]


@pytest.mark.parametrize("field", ["training_file", "validation_file"])
def test_examples_without_preferences_are_refused_for_dpo(
    client: TestClient, pairs_id: str, file_id: str, field: str
) -> None:
    answer = create(client, pairs_id, **{field: file_id})

    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == field


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"method": {"type": "dpo", "supervised": {}}}, "goes with type supervised"),
        ({"method": {"type": "orpo"}}, "dpo"),
        ({"method": {"type": "dpo", "dpo": {"hyperparameters": {"beta": 0}}}}, "greater than 0"),
        ({"hyperparameters": {"n_epochs": 1}}, "got both"),
        (
            {
                "peft": {
                    "configuration": CONFIGURATION
                    | {"optimizer": {"name": "mezo", "learning_rate": 1e-3, "perturbation": 1e-3}}
                }
            },
            "follows gradients",
        ),
        ({"peft": {"configuration": CONFIGURATION | {"packing": True}}}, "packing must be false"),
    ],
)
def test_what_does_not_go_together_is_refused(
    client: TestClient, pairs_id: str, changes: dict[str, Any], words: str
) -> None:
    answer = create(client, pairs_id, **changes)

    assert answer.status_code == 400, answer.text
    assert words in answer.json()["error"]["message"]


def test_a_recommendation_says_that_it_stands_on_supervised_runs(client: TestClient) -> None:
    found = ask(client, training_objective="dpo").json()
    by_itself = ask(client).json()

    assert by_itself["configurations"] == found["configurations"]
    assert not found["evidence"]["in_distribution"]
    assert "No past run was trained with DPO" in found["evidence"]["advice"]
    supervised = [{"prompt": p["prompt"], "completion": p["chosen"]} for p in PAIRS]
    other = ask(client, dataset={"examples": supervised}).json()
    assert "DPO" not in other["evidence"]["advice"]
    small, usual = (rate(one["default"]["configuration"]) for one in (found, other))
    assert small == pytest.approx(usual * DPO_RATE_FACTOR)


def test_a_recommendation_is_asked_for_the_objective_of_the_data(client: TestClient) -> None:
    answer = ask(client, training_objective="supervised")

    assert answer.status_code == 422 or answer.status_code == 400
    assert "got preferences for supervised" in answer.text


def test_a_rank_of_a_recommendation_is_of_its_objective(
    client: TestClient, pairs_id: str, file_id: str
) -> None:
    found = ask(client).json()["id"]
    job = create(client, pairs_id, peft={"recommendation_id": found}).json()
    assert "peft" in job, job
    other = create(
        client, file_id, peft={"recommendation_id": found}, method={"type": "supervised"}
    )

    assert job["peft"]["objective"]["name"] == "dpo"
    assert other.status_code == 400
    assert "is for dpo, got method supervised" in other.json()["error"]["message"]


def test_an_estimate_of_preferences_is_refused(client: TestClient, pairs_id: str) -> None:
    answer = client.post(
        "/v1/fine_tuning/jobs/estimate",
        json={
            "base_model": {"id": "peftwise-tiny"},
            "dataset": {"file_id": pairs_id},
            "hardware": {"device": "cpu"},
        },
    )

    assert answer.status_code in {400, 422}
    assert "forecasts time and memory of DPO" in answer.text
