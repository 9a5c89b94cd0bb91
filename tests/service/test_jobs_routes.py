from dataclasses import replace
from typing import Any

import pytest
from starlette.testclient import TestClient

from metadata.footprint import plan
from metadata.methods import METHODS
from metadata.records import Configuration, DatasetProfile, Task

JOBS = "/v1/fine_tuning/jobs"
CONFIGURATION: dict[str, Any] = {
    "method": {"name": "lora", "r": 4, "lora_alpha": 8, "lora_dropout": 0.0},
    "optimizer": {"name": "adamw", "learning_rate": 0.002},
}


def create(client: TestClient, file_id: str, **changes: Any) -> Any:
    body = {"model": "peftwise-tiny", "training_file": file_id} | changes
    return client.post(JOBS, json=body)


def test_a_job_of_ones_own_configuration_is_queued(client: TestClient, file_id: str) -> None:
    answer = create(
        client,
        file_id,
        peft={"configuration": CONFIGURATION},
        seed=7,
        suffix="sums",
        metadata={"team": "blue"},
    )

    assert answer.status_code == 200, answer.text
    job = answer.json()
    assert job["id"].startswith("ftjob-")
    assert (job["object"], job["status"], job["seed"]) == ("fine_tuning.job", "queued", 7)
    assert (job["model"], job["training_file"]) == ("peftwise-tiny", file_id)
    assert job["metadata"] == {"team": "blue"}
    assert job["peft"]["chosen_by"] == "caller"
    assert job["peft"]["configuration"]["method"] == CONFIGURATION["method"]
    assert client.get(f"{JOBS}/{job['id']}").json() == job


def test_the_forecast_is_that_of_the_plan(client: TestClient, file_id: str) -> None:
    job = create(client, file_id, peft={"configuration": CONFIGURATION}).json()
    desk = client.app.state.services.desk  # type: ignore[attr-defined]

    configuration = Configuration.model_validate(job["peft"]["configuration"])
    profile = client.get(f"/v1/files/{file_id}").json()["peft"]["profile"]
    task = Task(
        model=desk.models.find("peftwise-tiny"),
        dataset=DatasetProfile.model_validate(profile),
        device=desk.device,
    )
    assert job["peft"]["forecast_seconds"] == plan(configuration, task).train_seconds


@pytest.mark.parametrize("hyperparameters", [None, {"n_epochs": "auto", "batch_size": "auto"}])
def test_without_a_configuration_the_recommender_chooses(
    client: TestClient, file_id: str, hyperparameters: Any
) -> None:
    extra = {} if hyperparameters is None else {"hyperparameters": hyperparameters}
    job = create(client, file_id, **extra).json()

    assert (job["peft"]["chosen_by"], job["peft"]["rank"]) == ("recommender", 1)
    given = client.get(f"/v1/recommendations/{job['peft']['recommendation_id']}").json()
    assert given["configurations"][0]["configuration"] == job["peft"]["configuration"]


def test_a_rank_of_a_recommendation_is_what_runs(client: TestClient, file_id: str) -> None:
    question = {
        "base_model": {"id": "peftwise-tiny"},
        "dataset": {"file_id": file_id},
        "hardware": {"device": "NVIDIA L40S"},
        "count": 3,
    }
    given = client.post("/v1/recommendations", json=question).json()

    choice = {"recommendation_id": given["id"], "rank": 2}
    job = create(client, file_id, peft=choice).json()

    second = given["configurations"][1]
    assert job["peft"]["configuration"] == second["configuration"]
    assert job["peft"]["forecast_seconds"] == second["train_seconds"]["expected"]
    for wrong, status in ({"rank": 9}, 404), ({"recommendation_id": "rec-x"}, 404):
        assert create(client, file_id, peft=choice | wrong).status_code == status
    other = create(client, file_id, model="Qwen/Qwen2.5-0.5B", peft=choice)
    assert other.status_code == 400
    assert "is for peftwise-tiny" in other.json()["error"]["message"]


@pytest.mark.parametrize(
    ("changes", "status", "words"),
    [
        ({"training_file": "file-x"}, 404, "No file has the id 'file-x'"),
        ({"validation_file": "file-x"}, 404, "No file has the id"),
        ({"model": "/etc/passwd"}, 400, "never a path or an address"),
        ({"model": "../up"}, 400, "never a path or an address"),
        ({"model": "~/model"}, 400, "never a path or an address"),
        ({"model": "https://example.org/m"}, 400, "never a path or an address"),
        ({"model": "no-such/model"}, 400, "no-such/model"),
        ({"seed": -1}, 400, "`seed`"),
        ({"seed": 2**40}, 400, "`seed`"),
        ({"suffix": "a/b"}, 400, "`suffix`"),
        ({"metadata": {"k": 1}}, 400, "`metadata.k`"),
        ({"integrations": [{"type": "wandb"}]}, 400, "integrations"),
        ({"user": "me"}, 400, "not a field that this route knows"),
        ({"hyperparameters": {"n_epochs": 0}}, 400, "n_epochs"),
        ({"hyperparameters": {"beta": 0.1}}, 400, "beta"),
        ({"hyperparameters": {}, "method": {"type": "supervised"}}, 400, "got both"),
        ({"method": {"type": "reinforcement"}}, 400, "method.type"),
        ({"peft": {"max_usd": 1.0}}, 400, "PEFTWISE_USD_PER_HOUR"),
        (
            {"peft": {"configuration": CONFIGURATION}, "hyperparameters": {"n_epochs": 2}},
            400,
            "got both",
        ),
        ({"peft": {}}, 400, "got none"),
        ({"peft": {"rank": 2}}, 400, "got none"),
        ({"peft": {"serve_with": "ollama"}}, 400, "'peft', 'merged' or 'vllm'"),
        ({"peft": {"configuration": {}}}, 400, "`peft.configuration.method` is missing"),
        ({"peft": {"configuration": CONFIGURATION, "recommendation_id": "x"}}, 400, "got both"),
        ({"peft": {"configuration": CONFIGURATION | {"batch_size": 0}}}, 400, "batch_size"),
        ({"peft": {"configuration": CONFIGURATION | {"method": {"name": "x"}}}}, 400, "method"),
    ],
)
def test_a_bad_order_is_refused_with_the_rule(
    client: TestClient, file_id: str, changes: Any, status: int, words: str
) -> None:
    answer = create(client, file_id, **changes)

    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert words in error["message"]
    assert set(error) == {"message", "type", "param", "code"}
    assert client.get(JOBS).json()["data"] == []


@pytest.mark.parametrize(
    ("changes", "param", "rule"),
    [
        ({"method": CONFIGURATION["method"] | {"r": 256}}, "method.r", "smallest width"),
        ({"method": {"name": "lora", "r": 4}}, "method.lora_alpha", "needs a value"),
        ({"method": {"name": "full"}, "quantization": "nf4"}, "quantization", 'goes with "none"'),
        (
            {"method": {"name": "bitfit"}, "quantization": "int8"},
            "quantization",
            'BitFit goes with "none"',
        ),
        ({"optimizer": {"name": "adamw"}}, "optimizer.learning_rate", "above 0"),
        ({"optimizer": {"name": "adamx", "learning_rate": 1}}, "optimizer.name", "one of adamw"),
        ({"schedule": {"name": "cliff"}}, "schedule.name", "one of linear"),
        (
            {
                "method": {"name": "ia3"},
                "optimizer": {"name": "lora_fa", "learning_rate": 1e-3},
            },
            "method.name",
            "LoRA-FA goes with lora, ",
        ),
        (
            {"method": {"name": "boft", "boft_block_size": 32, "boft_n_butterfly_factor": 4}},
            "method.boft_block_size",
            "must divide the input width",
        ),
    ],
)
def test_a_configuration_that_cannot_exist_is_refused_with_the_rule(
    client: TestClient, file_id: str, changes: Any, param: str, rule: str
) -> None:
    answer = create(client, file_id, peft={"configuration": CONFIGURATION | changes})

    assert answer.status_code == 400
    error = answer.json()["error"]
    assert (error["code"], error["param"]) == ("invalid_configuration", param)
    assert rule in error["message"]
    assert client.get(JOBS).json()["data"] == []


def test_merged_weights_of_a_method_that_has_none_are_refused(
    client: TestClient, file_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    unmerged = replace(METHODS["ia3"], no_merge="it reads what stands before the text")
    monkeypatch.setitem(METHODS, "ia3", unmerged)  # type: ignore[arg-type]
    configuration = CONFIGURATION | {"method": {"name": "ia3"}}

    peft = {"configuration": configuration, "serve_with": "merged"}
    error = create(client, file_id, peft=peft).json()["error"]

    assert (error["code"], error["param"]) == ("invalid_configuration", "serve_with")
    assert "it reads what stands before the text; it can with peft" in error["message"]


@pytest.mark.parametrize("serve_with", ["peft", "merged", "vllm"])
def test_what_is_to_load_the_result_is_kept_with_the_job(
    client: TestClient, file_id: str, serve_with: str
) -> None:
    own = {"configuration": CONFIGURATION, "serve_with": serve_with}
    jobs = [create(client, file_id, peft=peft).json() for peft in (own, {"serve_with": serve_with})]

    for job in jobs:
        assert job["peft"]["serve_with"] == serve_with
        assert client.get(f"{JOBS}/{job['id']}").json() == job
    name = jobs[1]["peft"]["configuration"]["method"]["name"]
    assert jobs[1]["peft"]["chosen_by"] == "recommender"
    assert serve_with in METHODS[name].served_by


def test_a_job_takes_over_what_its_recommendation_was_asked_for(
    client: TestClient, file_id: str
) -> None:
    question = {
        "base_model": {"id": "peftwise-tiny"},
        "dataset": {"file_id": file_id},
        "hardware": {"device": "cpu"},
        "methods": ["lora"],
        "serve_with": "vllm",
    }
    given = client.post("/v1/recommendations", json=question).json()

    choice = {"recommendation_id": given["id"]}
    taken_over = create(client, file_id, peft=choice).json()
    named = create(client, file_id, peft=choice | {"serve_with": "merged"}).json()

    assert taken_over["peft"]["serve_with"] == "vllm"
    assert named["peft"]["serve_with"] == "merged"


@pytest.mark.parametrize(
    ("method", "serve_with", "reason"),
    [("ia3", "vllm", METHODS["ia3"].no_lora), ("full", "peft", "all weights are trained")],
)
def test_a_form_that_the_method_does_not_leave_is_refused_with_its_reason(
    client: TestClient, file_id: str, method: str, serve_with: str, reason: str
) -> None:
    configuration = CONFIGURATION | {"method": {"name": method}}

    answer = create(
        client, file_id, peft={"configuration": configuration, "serve_with": serve_with}
    )

    assert answer.status_code == 400
    error = answer.json()["error"]
    assert (error["code"], error["param"]) == ("invalid_configuration", "serve_with")
    assert reason in error["message"]
    assert client.get(JOBS).json()["data"] == []


def test_a_job_is_cancelled_for_good(client: TestClient, file_id: str) -> None:
    job_id = create(client, file_id).json()["id"]

    cancelled = client.post(f"{JOBS}/{job_id}/cancel").json()
    again = client.post(f"{JOBS}/{job_id}/cancel")

    assert cancelled["status"] == "cancelled"
    assert cancelled["finished_at"] is not None
    assert again.status_code == 400
    assert "cancelled cannot cancel" in again.json()["error"]["message"]


def test_jobs_and_events_are_listed_newest_first(client: TestClient, file_id: str) -> None:
    ids = [
        create(client, file_id, peft={"configuration": CONFIGURATION}).json()["id"] for _ in "abc"
    ]
    client.post(f"{JOBS}/{ids[0]}/cancel")

    page = client.get(JOBS, params={"limit": 2}).json()
    rest = client.get(JOBS, params={"after": page["last_id"]}).json()
    events = client.get(f"{JOBS}/{ids[0]}/events").json()

    assert [job["id"] for job in page["data"] + rest["data"]] == ids[::-1]
    assert (page["has_more"], rest["has_more"]) == (True, False)
    assert [int(event["id"].rpartition("-")[2]) for event in events["data"]] == [2, 1]
    older = client.get(f"{JOBS}/{ids[0]}/events", params={"after": events["data"][0]["id"]}).json()
    assert [int(event["id"].rpartition("-")[2]) for event in older["data"]] == [1]
    assert client.get(f"{JOBS}/{ids[0]}/events", params={"after": "x"}).status_code == 400


@pytest.mark.parametrize("path", ["", "/events"])
def test_an_unknown_job_is_not_found(client: TestClient, path: str) -> None:
    answer = client.get(f"{JOBS}/ftjob-x{path}")

    assert answer.status_code == 404
    assert answer.json()["error"]["type"] == "not_found_error"


def test_wishes_change_what_the_recommender_chose(client: TestClient, file_id: str) -> None:
    plain = create(client, file_id).json()["peft"]["configuration"]
    wished = {"n_epochs": 2, "batch_size": 3, "learning_rate_multiplier": 2.0}
    method = {"type": "supervised", "supervised": {"hyperparameters": wished}}

    job = create(client, file_id, method=method).json()

    found = job["peft"]["configuration"]
    assert (found["epochs"], found["batch_size"]) == (2.0, 3)
    rate = plain["optimizer"]["learning_rate"]
    assert found["optimizer"]["learning_rate"] == pytest.approx(2 * rate)
    assert found["method"] == plain["method"]
    assert job["hyperparameters"] == wished == job["method"]["supervised"]["hyperparameters"]


def test_a_job_ends_after_its_minutes_or_its_money(make_client: Any, jsonl: bytes) -> None:
    client = make_client(usd_per_hour=2.0)
    files = {"file": ("train.jsonl", jsonl)}
    file_id = client.post("/v1/files", data={"purpose": "fine-tune"}, files=files).json()["id"]
    both = {"max_minutes": 30.0, "max_usd": 0.5}

    job = create(client, file_id, peft=both).json()
    code = client.app.state.services.attempts.offer().code
    assignment = client.post("/v1/worker/claim", json={"code": code}).json()

    assert job["peft"]["max_seconds"] == 900.0  # half a dollar at two an hour
    assert assignment["limits"]["train_seconds"] == 900.0


def test_an_order_sent_again_by_openais_client_is_one_job(client: TestClient, file_id: str) -> None:
    body = {"model": "peftwise-tiny", "training_file": file_id}

    def send(count: int) -> str:
        headers = {"x-stainless-retry-count": str(count)}
        answer = client.post("/v1/fine_tuning/jobs", json=body, headers=headers)
        job_id: str = answer.json()["id"]
        return job_id

    first = send(0)
    assert (send(1), send(2)) == (first, first)
    second = send(0)  # the same order meant anew
    assert second != first
    assert send(1) == second


def test_jobs_are_found_by_their_labels(client: TestClient, file_id: str) -> None:
    blue = create(client, file_id, metadata={"team": "blue", "stage": "1"}).json()["id"]
    red = create(client, file_id, metadata={"team": "red"}).json()["id"]
    plain = create(client, file_id).json()["id"]

    def found(query: str) -> list[str]:
        jobs = client.get(f"/v1/fine_tuning/jobs?{query}").json()["data"]
        return [job["id"] for job in jobs]

    assert found("metadata[team]=blue") == [blue]
    assert found("metadata[team]=blue&metadata[stage]=2") == []
    assert found("metadata[team]=red") == [red]
    assert found("metadata=null") == [plain]
    assert len(found("")) == 3


def test_jobs_are_found_by_their_status(client: TestClient, file_id: str) -> None:
    stopped, waiting = (create(client, file_id).json()["id"] for _ in range(2))
    client.post(f"/v1/fine_tuning/jobs/{stopped}/cancel")

    def found(status: str) -> list[str]:
        jobs = client.get("/v1/fine_tuning/jobs", params={"status": status}).json()["data"]
        return [job["id"] for job in jobs]

    assert found("cancelled") == [stopped]
    assert found("queued") == [waiting]
    assert found("failed") == []
    refused = client.get("/v1/fine_tuning/jobs?status=done")
    assert refused.status_code == 400
    assert refused.json()["error"]["param"] == "status"
    assert "'queued', 'running'" in refused.json()["error"]["message"]


def test_a_key_in_the_header_makes_an_order_one(client: TestClient, file_id: str) -> None:
    body = {"model": "peftwise-tiny", "training_file": file_id}
    headers = {"Idempotency-Key": "order-1"}

    jobs = [client.post("/v1/fine_tuning/jobs", json=body, headers=headers) for _ in range(2)]
    other = client.post("/v1/fine_tuning/jobs", json=body | {"seed": 5}, headers=headers)
    empty = client.post("/v1/fine_tuning/jobs", json=body, headers={"Idempotency-Key": ""})

    assert jobs[0].json()["id"] == jobs[1].json()["id"]
    assert (other.status_code, empty.status_code) == (400, 400)
    assert "under a new key" in other.json()["error"]["message"]
