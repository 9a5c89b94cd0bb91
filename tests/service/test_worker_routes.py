from typing import Any

import pytest
from httpx2 import Response
from starlette.testclient import TestClient

from metadata.messages import Outcome
from metadata.records import Costs, Scores

CONFIGURATION = {
    "method": {"name": "lora", "r": 4, "lora_alpha": 8, "lora_dropout": 0.0},
    "optimizer": {"name": "adamw", "learning_rate": 0.002},
}
SUCCESS = Outcome(
    state="succeeded",
    scores=Scores(base_loss=3.0, best_loss=2.0, last_loss=2.5),
    costs=Costs(
        train_seconds=2.0,
        eval_seconds=1.0,
        train_cpu_seconds=2.0,
        eval_cpu_seconds=1.0,
        peak_tensor_bytes=10**6,
        peak_device_bytes=10**7,
        trained_tokens=900,
        steps=30,
        trainable_parameters=1000,
    ),
    versions={"torch": "2.13.0"},
).model_dump(mode="json")
POINT = {"name": "loss", "step": 10, "value": 2.0, "split": "validation"}


class Worker:
    """Plays the attempt of one job."""

    def __init__(self, client: TestClient, file_id: str, **order: Any) -> None:
        body = {"model": "peftwise-tiny", "training_file": file_id}
        body |= {"peft": {"configuration": CONFIGURATION}} | order
        self.client = client
        self.job_id = client.post("/v1/fine_tuning/jobs", json=body).json()["id"]
        offer = client.app.state.services.attempts.offer()  # type: ignore[attr-defined]
        self.code = offer.code
        self.assignment: Any = self.claim().json()
        self.attempt = f"/v1/worker/attempts/{self.assignment['attempt_id']}"
        self.headers = {"Authorization": f"Bearer {self.assignment['token']}"}

    def claim(self) -> Response:
        return self.client.post("/v1/worker/claim", json={"code": self.code})

    def post(self, what: str, body: Any = None) -> Response:
        sent = {} if body is None else {"json": body}
        return self.client.post(f"{self.attempt}/{what}", headers=self.headers, **sent)

    def print(self, piece: bytes, *, offset: int) -> Response:
        query = f"{self.attempt}/log?offset={offset}"
        return self.client.put(
            query,
            content=piece,
            headers=self.headers | {"Content-Type": "application/octet-stream"},
        )

    def get(self, what: str) -> Response:
        return self.client.get(f"{self.attempt}/{what}", headers=self.headers)

    @property
    def job(self) -> Any:
        return self.client.get(f"/v1/fine_tuning/jobs/{self.job_id}").json()


@pytest.fixture
def worker(client: TestClient, file_id: str) -> Worker:
    """Return the worker of a running job."""
    return Worker(client, file_id)


def test_a_run_goes_from_claim_to_history(worker: Worker, client: TestClient, jsonl: bytes) -> None:
    assert worker.job["status"] == "running"
    assert worker.get("training-file").content == jsonl
    assert worker.post("renew").json() == {"go_on": True, "because": ""}
    batch = {"number": 1, "measurements": [POINT], "trained_tokens": 320, "progress": 0.5}
    assert worker.post("reports", batch).status_code == 204
    half_way = worker.job
    assert worker.post("finish", SUCCESS).status_code == 204

    job = worker.job
    run = client.get(f"/v1/runs/{job['peft']['run_id']}").json()
    assert (half_way["peft"]["progress"], half_way["peft"]["curve"]) == (0.5, [POINT])
    assert half_way["estimated_finish"] is not None
    assert (job["status"], job["trained_tokens"]) == ("succeeded", 900)
    assert job["fine_tuned_model"].startswith("ft:peftwise-tiny:peftwise:")
    assert run["score"] == 1.0
    assert run["curve"] == [POINT]
    assert run["origin"] == {"source": "worker", "detail": worker.job_id, "gaps": ""}
    assert run["configuration"] == job["peft"]["configuration"]
    assert run["task"]["device"]["kind"] == "cpu"
    assert client.get(f"/v1/runs/{run['id']}/curve").json()["data"] == [POINT]


@pytest.mark.parametrize("serve_with", [None, "merged", "vllm"])
def test_the_worker_is_told_what_is_to_load_the_result(
    client: TestClient, file_id: str, serve_with: str | None
) -> None:
    choice = {"configuration": CONFIGURATION, "serve_with": serve_with}

    assert Worker(client, file_id, peft=choice).assignment["serve_with"] == serve_with


def test_a_result_told_twice_counts_once(worker: Worker, client: TestClient) -> None:
    history = client.app.state.services.history  # type: ignore[attr-defined]
    before = history.count()

    for _ in range(3):
        assert worker.post("finish", SUCCESS).status_code == 204

    assert history.count() == before + 1


def test_a_run_that_a_server_did_not_live_to_record_is_recorded_at_the_next_start(
    worker: Worker, client: TestClient
) -> None:
    services = client.app.state.services  # type: ignore[attr-defined]
    outcome = Outcome.model_validate(SUCCESS)
    token = worker.assignment["token"]
    attempt_id = worker.assignment["attempt_id"]
    before = services.history.count()
    services.attempts.finish(attempt_id, token, outcome, services.desk.device)
    assert services.history.count() == before

    assert services.recorder.catch_up() == 1
    assert services.recorder.catch_up() == 0

    assert services.history.count() == before + 1


def test_the_device_is_the_one_that_the_worker_names(worker: Worker, client: TestClient) -> None:
    worker.post("finish", SUCCESS | {"device_name": "NVIDIA L40S"})

    run = client.get(f"/v1/runs/{worker.job['peft']['run_id']}").json()

    assert run["task"]["device"]["name"] == "NVIDIA L40S"


def test_a_used_code_is_refused(worker: Worker) -> None:
    answer = worker.claim()

    assert answer.status_code == 401
    assert "a code works once" in answer.json()["detail"]


def test_a_cancelled_worker_is_told_to_stop(worker: Worker, client: TestClient) -> None:
    client.post(f"/v1/fine_tuning/jobs/{worker.job_id}/cancel")

    assert worker.post("renew").json() == {"go_on": False, "because": "cancelled"}
    assert worker.post("finish", SUCCESS).status_code == 409
    assert worker.job["status"] == "cancelled"
    assert worker.job["peft"]["run_id"] is None


def test_a_zombie_is_refused(worker: Worker, client: TestClient) -> None:
    losses = client.app.state.services.losses  # type: ignore[attr-defined]
    losses.lose(worker.assignment["attempt_id"], reason="Lost.")

    answers = [
        worker.post("renew"),
        worker.post("reports", {"number": 1, "measurements": [POINT]}),
        worker.print(b"still here", offset=0),
        worker.post("release", {"reason": "I must go."}),
        worker.post("finish", SUCCESS),
        worker.get("training-file"),
    ]

    assert [answer.status_code for answer in answers] == [409, 409, 409, 204, 409, 409]
    assert (worker.job["status"], worker.job["peft"]["retries"]) == ("queued", 1)


def test_the_validation_file_is_its_own(client: TestClient, file_id: str) -> None:
    other = b'{"text": "one"}\n{"text": "two"}\n{"text": "three"}\n'
    uploaded = client.post(
        "/v1/files", data={"purpose": "fine-tune"}, files={"file": ("v.jsonl", other)}
    )
    worker = Worker(client, file_id, validation_file=uploaded.json()["id"])

    assert worker.assignment["validation_file"] is True
    assert worker.get("validation-file").content == other


def test_a_job_without_a_validation_file_says_so(worker: Worker) -> None:
    assert worker.assignment["validation_file"] is False
    assert worker.get("validation-file").status_code == 404


@pytest.mark.parametrize(
    "outcome",
    [{"state": "succeeded"}, {"state": "great"}, {"state": "failed", "reason": "x" * 2001}, {}],
)
def test_an_outcome_that_cannot_be_is_refused(worker: Worker, outcome: Any) -> None:
    answer = worker.post("finish", outcome)

    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert worker.job["status"] == "running"


def test_what_is_printed_is_read_again_and_a_piece_sent_twice_stands_once(
    worker: Worker, client: TestClient
) -> None:
    for _ in range(2):
        assert worker.print(b"one two ", offset=0).status_code == 204
    assert worker.print("drei é\n".encode(), offset=8).status_code == 204

    log = client.get(f"/v1/fine_tuning/jobs/{worker.job_id}/logs").json()
    end = client.get(f"/v1/fine_tuning/jobs/{worker.job_id}/logs?last_bytes=3").json()

    assert (log["text"], log["is_cut"]) == ("one two drei é\n", False)
    assert (end["text"], end["is_cut"]) == ("é\n", True)


def test_a_log_has_no_gap_and_an_end(worker: Worker) -> None:
    gap, long = worker.print(b"x", offset=5), worker.print(b"x", offset=2**24)

    assert (gap.status_code, long.status_code) == (409, 413)
    assert "Send it from byte 0" in gap.json()["detail"]


def test_a_worker_that_must_stop_gives_its_job_back(worker: Worker) -> None:
    for _ in range(2):
        assert worker.post("release", {"reason": "Asked to stop."}).status_code == 204

    assert (worker.job["status"], worker.job["peft"]["retries"]) == ("queued", 0)


def test_a_paused_worker_is_told_and_the_job_rests_until_it_is_resumed(
    worker: Worker, client: TestClient
) -> None:
    jobs = f"/v1/fine_tuning/jobs/{worker.job_id}"
    assert client.post(f"{jobs}/pause").json()["status"] == "paused"

    assert worker.post("renew").json() == {"go_on": False, "because": "paused"}
    assert worker.post("release", {"reason": "Paused."}).status_code == 204
    attempts = client.app.state.services.attempts  # type: ignore[attr-defined]
    assert attempts.offer() is None
    assert client.post(f"{jobs}/resume").json()["status"] == "queued"
    assert attempts.offer().job_id == worker.job_id


def test_an_attached_worker_is_offered_what_waits(client: TestClient, file_id: str) -> None:
    ask = {"worker": "gpu-box-1"}
    assert client.post("/v1/workers/offers", json=ask).status_code == 204
    body = {"model": "peftwise-tiny", "training_file": file_id}
    body |= {"peft": {"configuration": CONFIGURATION}}
    job_id = client.post("/v1/fine_tuning/jobs", json=body).json()["id"]

    offered = client.post("/v1/workers/offers", json=ask).json()

    claimed = client.post("/v1/worker/claim", json={"code": offered["code"]}).json()
    assert (offered["job_id"], claimed["job_id"]) == (job_id, job_id)
    assert claimed["attempt_id"] == offered["attempt_id"]
