"""A real PostgreSQL that is stopped, stands still, or is cut off in the middle of a commit."""

import os
import re
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.testclient import TestClient

from metadata.database import open_database, read_session, write_session
from metadata.errors import UnknownFate
from service.jobs.queue import Queue
from service.settings import Settings

pytest.importorskip("psycopg", reason="needs the extra `postgres`")
NEED_DATABASE = ["/readyz", "/v1/files", "/v1/fine_tuning/jobs", "/v1/runs"]
TRACES = re.compile(r"Traceback|only-for-tests|psycopg|SELECT|127\.0\.0\.1:\d+")


@contextmanager
def stopped(server: Any) -> Iterator[None]:
    """Stop a server as a crash would, and start it again."""
    control = [str(server.bin / "pg_ctl"), "-D", str(server.folder / "data"), "-w"]
    as_user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    options = f"-p {server.port} -c listen_addresses=127.0.0.1 -c fsync=off -k {server.folder}"
    subprocess.run([*as_user, *control, "-m", "immediate", "stop"], check=True, cwd="/")
    try:
        yield
    finally:
        start = [*control, "-o", options, "-l", str(server.folder / "log"), "start"]
        subprocess.run([*as_user, *start], check=True, cwd="/", stdout=subprocess.DEVNULL)


@contextmanager
def frozen(server: Any) -> Iterator[None]:
    """Stop every process of a server where it stands: its sockets stay open and answer nothing."""
    pid = int((server.folder / "data" / "postmaster.pid").read_text().split()[0])
    postmaster = psutil.Process(pid)
    processes = [postmaster, *postmaster.children()]
    for process in processes:
        process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        for process in processes:
            process.send_signal(signal.SIGCONT)


@pytest.fixture
def served(
    make_client: Any, postgres_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> TestClient:
    """Return a client of an application on PostgreSQL, without the shipped runs."""
    monkeypatch.setattr("service.services.SHIPPED_RUNS", tmp_path / "none")
    client: TestClient = make_client(database_url=postgres_url)
    return client


def plain_routes(client: TestClient) -> list[str]:
    """Return every route that can be asked without knowing an id."""
    paths = client.get("/openapi.json").json()["paths"]
    return [path for path, methods in paths.items() if "get" in methods and "{" not in path]


def check_away(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 503, (path, answer.text)
    assert int(answer.headers["retry-after"]) > 0
    assert not TRACES.search(answer.text), answer.text
    if path.startswith(("/v1/files", "/v1/fine_tuning")):
        assert "does not answer" in answer.json()["error"]["message"]
    else:
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["status"] == 503


def test_while_the_database_is_stopped_routes_say_so_and_recover_by_themselves(
    served: TestClient, postgres_server: Any
) -> None:
    assert [served.get(path).status_code for path in NEED_DATABASE] == [200] * 4

    with stopped(postgres_server):
        for path in NEED_DATABASE:
            check_away(served, path)
        assert served.get("/livez").status_code == 200
        others = {path: served.get(path).status_code for path in plain_routes(served)}
        assert set(others.values()) <= {200, 422, 503}, others

    assert [served.get(path).status_code for path in NEED_DATABASE] == [200] * 4


def test_a_job_is_not_accepted_while_the_database_is_stopped(
    served: TestClient, postgres_server: Any, jsonl: bytes
) -> None:
    sent = {"file": ("train.jsonl", jsonl)}
    with stopped(postgres_server):
        answer = served.post("/v1/files", data={"purpose": "fine-tune"}, files=sent)

    assert answer.status_code == 503
    assert served.get("/v1/files").json()["data"] == []
    folder = served.app.state.services.files.folder  # type: ignore[attr-defined]
    assert list(folder.iterdir()) == []


def test_it_lives_at_once_while_the_database_stands_still(
    served: TestClient, postgres_server: Any
) -> None:
    assert [served.get(path).status_code for path in NEED_DATABASE] == [200] * 4

    with frozen(postgres_server), ThreadPoolExecutor(8) as threads:
        start = time.monotonic()
        asked = [threads.submit(check_away, served, path) for path in NEED_DATABASE * 2]
        time.sleep(0.3)
        assert not any(one.done() for one in asked)
        before = time.monotonic()
        assert served.get("/livez").status_code == 200
        live_seconds = time.monotonic() - before
        for one in asked:
            one.result(timeout=30)
        away_seconds = time.monotonic() - start

    assert live_seconds < 1
    assert away_seconds < 10  # a ping and a new connection, 2 s each, and some for a busy machine
    assert [served.get(path).status_code for path in NEED_DATABASE] == [200] * 4


def test_a_statement_that_stands_still_ends_in_time(
    postgres_url: str, postgres_server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("metadata.postgresql.STATEMENT_SECONDS", 1)
    engine = open_database(postgres_url)
    with read_session(engine) as session:
        session.execute(text("SELECT 1"))
        with frozen(postgres_server), pytest.raises(Exception, match="silent for 3 s"):
            session.execute(text("SELECT 2"))
    with read_session(engine) as session:
        assert session.execute(text("SELECT 3")).scalar() == 3
    engine.dispose()


def test_a_statement_that_takes_too_long_is_ended_by_the_server(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("metadata.postgresql.STATEMENT_SECONDS", 1)
    engine = open_database(postgres_url)
    with (
        read_session(engine) as session,
        pytest.raises(Exception, match="statement timeout"),
    ):
        session.execute(text("SELECT pg_sleep(20)"))
    engine.dispose()


def test_a_pool_that_is_used_up_is_said_in_time(
    served: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine: Engine = served.app.state.services.engine  # type: ignore[attr-defined]
    held = [engine.connect() for _ in range(engine.pool.size())]  # type: ignore[attr-defined]
    start = time.monotonic()

    answer = served.get("/v1/files")

    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert "More is asked at once" in answer.json()["error"]["message"]
    assert 1.5 < time.monotonic() - start < 10
    with pytest.raises(PoolTimeoutError):
        engine.connect()
    for connection in held:
        connection.close()
    assert served.get("/v1/files").status_code == 200


class CutsCommits:
    """A proxy that ends a connection at its COMMIT: before the server has it, or after."""

    def __init__(self, port: int, *, delivers: bool) -> None:
        self.is_armed = False
        self._delivers = delivers
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._target))
                threading.Thread(target=self._there, args=(client, server), daemon=True).start()
                threading.Thread(target=self._back, args=(server, client), daemon=True).start()

    def _there(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while data := client.recv(65_536):
                is_cut = self.is_armed and b"COMMIT" in data
                if is_cut:
                    client.shutdown(socket.SHUT_RDWR)  # no answer gets through any more
                if not is_cut or self._delivers:
                    server.sendall(data)
                if is_cut:
                    time.sleep(0.3)  # for the server to do it
                    break
        client.close()
        server.close()

    def _back(self, server: socket.socket, client: socket.socket) -> None:
        with suppress(OSError):
            while data := server.recv(65_536):
                client.sendall(data)


@pytest.fixture(params=[True, False], ids=["done", "not done"])
def cutting(request: pytest.FixtureRequest, postgres_server: Any) -> Iterator[CutsCommits]:
    proxy = CutsCommits(postgres_server.port, delivers=request.param)
    yield proxy
    proxy.close()


def through(proxy: CutsCommits, url: str) -> str:
    return re.sub(r":\d+/", f":{proxy.port}/", url) + "?sslmode=disable"


def test_a_commit_whose_fate_is_unknown_is_no_success(
    cutting: CutsCommits, postgres_url: str, request: pytest.FixtureRequest
) -> None:
    engine, direct = open_database(through(cutting, postgres_url)), open_database(postgres_url)
    with direct.begin() as connection:
        connection.execute(text("CREATE TABLE notes (n int)"))
    cutting.is_armed = True

    with pytest.raises(UnknownFate, match="not known"), write_session(engine) as session:
        session.execute(text("INSERT INTO notes VALUES (1)"))

    cutting.is_armed = False
    with write_session(engine) as session:  # by itself on a new connection
        count = session.execute(text("SELECT count(*) FROM notes")).scalar()
    assert count == (1 if cutting._delivers else 0)
    engine.dispose()
    direct.dispose()


def test_a_route_whose_commit_has_an_unknown_fate_answers_503(
    cutting: CutsCommits,
    postgres_url: str,
    make_client: Any,
    make_order: Any,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr("service.services.SHIPPED_RUNS", tmp_path / "none")
    client: TestClient = make_client(database_url=through(cutting, postgres_url))
    queue: Queue = client.app.state.services.queue  # type: ignore[attr-defined]
    job = queue.submit(make_order())
    cutting.is_armed = True

    answer = client.post(f"/v1/fine_tuning/jobs/{job.id}/cancel")

    cutting.is_armed = False
    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "unknown_fate"
    assert answer.headers["x-should-retry"] == "false"
    assert answer.headers["retry-after"] == "5"
    is_cancelled = client.get(f"/v1/fine_tuning/jobs/{job.id}").json()["status"] == "cancelled"
    assert is_cancelled == cutting._delivers
