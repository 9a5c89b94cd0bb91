"""MLflow's store and its server, as MLflow 3.17.2 wrote and answered them."""

import json
import random
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from metadata.errors import InvalidRequest, Unavailable
from metadata.importers.reading import runs_at_address
from metadata.importers.report import Intake
from metadata.importers.spec import Given
from metadata.records import Run

HERE = Path(__file__).parent
ANSWERS: list[dict[str, Any]] = json.loads((HERE / "mlflow_answers.json").read_text())
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
KEY = "token-of-the-tracking-server"


@pytest.fixture
def store(tmp_path: Path) -> Path:
    path = tmp_path / "mlflow.db"
    with closing(sqlite3.connect(path)) as made:
        made.executescript((HERE / "mlflow_store.sql").read_text())
    return path


class Recorded(BaseHTTPRequestHandler):
    """Answers what the real server answered to the same question."""

    seen: list[str]

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        self.reply("GET", parts.path, dict(parse_qsl(parts.query)))

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.reply("POST", self.path, json.loads(body))

    def reply(self, method: str, path: str, asked: dict[str, Any]) -> None:
        self.seen.append(self.headers.get("Authorization", ""))
        wanted = {key: str(value) for key, value in asked.items()}
        found = [
            one["answer"]
            for one in ANSWERS
            if (one["method"], "/api/2.0/mlflow" + one["path"]) == (method, path)
            and {key: str(value) for key, value in one["asked"].items()} == wanted
        ]
        content = json.dumps(found[0]).encode() if found else b"{}"
        self.send_response(200 if found else 404)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    Recorded.seen = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Recorded)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def by_rate(runs: list[Run]) -> dict[float | None, Run]:
    return {run.configuration.optimizer.learning_rate: run for run in runs}


def test_runs_of_a_store_are_taken_with_values_and_curves(store: Path, take: Any) -> None:
    taken = take(store)
    runs = by_rate(taken.runs)

    assert len(taken.runs) == 3
    first = runs[2e-4]
    assert first.task.model.id == "gpt2"
    assert first.task.dataset.name == "sst2-lora"
    assert first.configuration.method.model_dump() == {
        "name": "lora", "r": 8, "lora_alpha": 16, "lora_dropout": 0.05,
    }  # fmt: skip
    assert first.configuration.batch_size == 8
    assert first.costs is not None
    assert first.costs.train_seconds == 60.5
    losses = [(p.step, p.value) for p in first.curve if (p.name, p.split) == ("loss", "train")]
    assert losses == [(10, 2.0), (20, 1.0), (30, 2 / 3)]
    assert [p.value for p in first.curve if (p.name, p.split) == ("accuracy", "validation")] == (
        pytest.approx([0.6, 0.7, 0.8])
    )


def test_states_of_a_store_are_told(store: Path, take: Any) -> None:
    taken = take(store)
    runs = by_rate(taken.runs)

    assert runs[1e-3].state == "diverged"  # its last loss is NaN
    assert runs[1e-4].state == "failed"
    reasons = sorted(one.reason for one in taken.report.refused)
    assert reasons[0] == "it is deleted there"
    assert "still under way" in reasons[1]


def test_a_store_is_left_as_it_was(store: Path, take: Any) -> None:
    before = store.read_bytes()

    take(store)

    assert store.read_bytes() == before
    assert [path.name for path in store.parent.iterdir()] == ["mlflow.db"]


def test_a_store_with_broken_bytes_is_read_as_far_as_it_goes_or_refused(
    store: Path, take: Any
) -> None:
    whole, rng = store.read_bytes(), random.Random(0)
    for _ in range(60):
        broken = bytearray(whole)
        for place in rng.sample(range(len(broken)), 20):
            broken[place] = rng.randrange(256)
        store.write_bytes(broken)

        taken = take(store.parent)

        assert len(taken.runs) <= 3


def test_neither_users_nor_paths_nor_tokens_are_kept(store: Path, take: Any) -> None:
    text = " ".join(run.model_dump_json() for run in take(store).runs)

    assert "lovelace" not in text
    assert "hf_" not in text


def test_a_server_tells_the_same_runs_as_its_store(
    store: Path, take: Any, server: ThreadingHTTPServer
) -> None:
    intake = Intake()
    address = f"http://127.0.0.1:{server.server_port}/"

    runs = list(runs_at_address(address, given=Given(key=KEY), intake=intake, now=NOON))

    of_store = {run.id: run for run in take(store).runs}
    assert {run.id for run in runs} == set(of_store)
    for run in runs:
        same = of_store[run.id]
        assert run.model_dump(exclude={"curve"}) == same.model_dump(exclude={"curve"})
        assert sorted(run.curve, key=str) == sorted(same.curve, key=str)
    assert set(Recorded.seen) == {f"Bearer {KEY}"}
    assert KEY not in " ".join(run.model_dump_json() for run in runs)


@pytest.mark.parametrize("path", ["/nothing-here", "/mlflow"])
def test_an_address_that_is_no_tracking_server_is_told(
    server: ThreadingHTTPServer, path: str
) -> None:
    address = f"http://127.0.0.1:{server.server_port}{path}"

    with pytest.raises(Unavailable, match="status 404"):
        list(runs_at_address(address, given=Given(), intake=Intake(), now=NOON))


def test_an_address_nobody_listens_on_is_told(server: ThreadingHTTPServer) -> None:
    with pytest.raises(Unavailable, match="does not answer"):
        list(runs_at_address("http://127.0.0.1:9", given=Given(), intake=Intake(), now=NOON))


def test_an_address_without_a_server_is_used_wrongly() -> None:
    with pytest.raises(InvalidRequest, match="names a server"):
        list(runs_at_address("http://", given=Given(), intake=Intake(), now=NOON))
