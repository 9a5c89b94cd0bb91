"""What MLflow's tracking server answers with 20,000 runs, of the queries that it has.

Its filters know `and` alone; counts, fronts and exports it has none. Its own command makes the
tables; they are filled by bulk SQL with the same drawn runs: 12 parameters, 8 metrics and a curve
of 20 points each.
"""

import os
import sqlite3
import subprocess
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from history_data import rows
from history_server import Server, free_port, running

RUNS, POINTS, PAGE = 20_000, 20, 100
PARAMETERS = (
    "method",
    "dataset_name",
    "model_id",
    "target_modules",
    "optimizer",
    "schedule",
    "learning_rate",
    "batch_size",
    "epochs",
    "rank",
    "device_name",
    "seed",
)
METRICS = (
    "score",
    "base_loss",
    "best_loss",
    "last_loss",
    "train_seconds",
    "eval_seconds",
    "peak_tensor_bytes",
    "trained_tokens",
)
RARE = "params.method = 'boft' and params.dataset_name = 'dataset-39'"


def mlflow_figures(
    python: Path, folder: Path, measured: Callable[[Callable[[], Any]], dict[str, float | None]]
) -> dict[str, dict[str, float | None]]:
    """Return p50 and p95 of what it can answer, in milliseconds, by the names of our queries."""
    file = folder / f"mlflow-{RUNS}.sqlite"
    url = f"sqlite:///{file}"
    if not file.exists():
        unfinished = file.with_suffix(".unfinished")
        unfinished.unlink(missing_ok=True)
        _make_tables(python, f"sqlite:///{unfinished}")
        _fill(unfinished)
        unfinished.rename(file)
    port = free_port()
    command = [str(python), "-m", "mlflow", "server", "--backend-store-uri", url]
    command += ["--port", str(port), "--workers", "1", "--artifacts-destination", str(folder)]
    with running(command, f"http://127.0.0.1:{port}", "/health", os.environ) as server:
        return {name: measured(ask) for name, ask in _questions(server).items()}


def _questions(server: Server) -> Mapping[str, Callable[[], Any]]:
    middle = _search(server, max_results=RUNS // 2)["next_page_token"]
    ids = [f"{number * RUNS // 20:032x}" for number in range(20)]
    newest = ["attributes.start_time DESC"]
    return {
        "first page": lambda: _search(server, order_by=newest),
        "deep page": lambda: _search(server, page_token=middle),
        "one filter": lambda: _search(server, filter="params.method = 'dora'", order_by=newest),
        "three rare equalities, sorted": lambda: _search(
            server,
            filter=f"{RARE} and params.model_id = 'maker/model-3'",
            order_by=["metrics.score DESC"],
        ),
        "text that none has": lambda: _search(
            server, filter="params.method LIKE '%no such words%'", order_by=newest
        ),
        "sort by a JSON value": lambda: _search(server, order_by=["params.rank DESC"]),
        "20 curves compared": lambda: [_curve(server, run_id) for run_id in ids],
    }


def _search(server: Server, **asked: Any) -> Any:
    body = {"experiment_ids": ["0"], "max_results": PAGE} | asked
    answer = server.client.post("/api/2.0/mlflow/runs/search", json=body)
    answer.raise_for_status()
    return answer.json()


def _curve(server: Server, run_id: str) -> Any:
    asked = {"run_id": run_id, "metric_key": "loss", "max_results": "1000"}
    answer = server.client.get("/api/2.0/mlflow/metrics/get-history", params=asked)
    answer.raise_for_status()
    return answer.json()


def _make_tables(python: Path, url: str) -> None:
    code = "import sys; from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore as S; "
    code += "S(sys.argv[1], '/tmp')"
    subprocess.run([str(python), "-c", code, url], check=True, capture_output=True, timeout=300)


def _fill(file: Path) -> None:
    every = enumerate(rows(RUNS))
    with sqlite3.connect(file) as database:
        while some := list(islice(every, 5000)):
            for table, lines in (
                ("runs", (_run(n, row) for n, row in some)),
                ("params", (line for n, row in some for line in _parameters(n, row))),
                ("latest_metrics", (line for n, row in some for line in _latest(n, row))),
                ("metrics", (line for n, row in some for line in _points(n))),
            ):
                _insert(database, table, lines)
            database.commit()
    database.close()


def _insert(database: sqlite3.Connection, table: str, lines: Iterator[dict[str, Any]]) -> None:
    every = list(lines)
    names = list(every[0])
    marks = ", ".join("?" * len(names))
    statement = f"INSERT INTO {table} ({', '.join(names)}) VALUES ({marks})"
    database.executemany(statement, [[line[name] for name in names] for line in every])


def _run(number: int, row: Mapping[str, Any]) -> dict[str, Any]:
    start = int(row["created_at"].timestamp() * 1000)
    return {
        "run_uuid": f"{number:032x}",
        "name": row["id"],
        "source_type": "LOCAL",
        "source_name": "",
        "source_version": "",
        "entry_point_name": "",
        "user_id": "bench",
        "status": "FINISHED" if row["state"] == "succeeded" else "FAILED",
        "start_time": start,
        "end_time": start + 1000,
        "lifecycle_stage": "active",
        "artifact_uri": "mlflow-artifacts:/0",
        "experiment_id": 0,
    }


def _parameters(number: int, row: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for name in PARAMETERS:
        if row[name] is not None:
            yield {"run_uuid": f"{number:032x}", "key": name, "value": str(row[name])}


def _latest(number: int, row: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for name in METRICS:
        if row[name] is not None:
            yield _metric(number, name, row[name], 0)


def _points(number: int) -> Iterator[dict[str, Any]]:
    for step in range(POINTS):
        yield _metric(number, "loss", 3.0 / (1 + step), step)


def _metric(number: int, name: str, value: float, step: int) -> dict[str, Any]:
    return {
        "run_uuid": f"{number:032x}",
        "key": name,
        "value": value,
        "timestamp": step,
        "step": step,
        "is_nan": False,
    }
