"""How quickly a large run history answers, side by side with another database and a peer.

    python benchmarks/history.py --folder DIR [--runs 100000] [--points 100] [--json FILE]
        [--postgresql-url URL --postgresql-runs 1000000 --postgresql-points 20]
        [--mlflow-python VENV/bin/python]

A server of its own answers over HTTP, 100 runs a page: named queries by one client, p50 and
p95, beside them the server's own processor time, which a busy machine changes least, and the p95
of 8 clients; and what memory an export adds. Histories are drawn from a
seed, filled by bulk SQL and kept in DIR. PostgreSQL is one that runs already, its database empty
at first. MLflow's server, of an environment of its own, answers what it can with 20,000 runs.

Each answer of one client is held to a target on SQLite with 100,000 runs (typed columns 100 ms,
any JSON value 400 ms, 20 curves 250 ms) and on PostgreSQL with 1,000,000 (typed columns 300 ms);
an export to 200 MB. A search of text that none has reads every reason: it is held to the target
on SQLite alone. The exit is 1 where one is missed. Other work on the machine counts as ours.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import quantiles
from typing import Any

import httpx
from history_data import fill_postgresql, fill_sqlite
from history_mlflow import mlflow_figures
from history_server import Server, served
from sqlalchemy import func, select

from metadata.database import open_database, read_session
from metadata.run_rows import RunRow

PAGE, CLIENTS, WARM_UP = 100, 8, 2
SLOW_MILLISECONDS, FEW = 3_000.0, 3
SQLITE_MILLISECONDS = {"typed": 100.0, "scan": 100.0, "json": 400.0, "curves": 250.0}
POSTGRESQL_MILLISECONDS = {"typed": 300.0}
EXPORT_MEGABYTES = 200.0
EXPORTS = ("csv", "parquet", "runs")
RARE = "method = 'boft' and dataset_name = 'dataset-39' and model_id = 'maker/model-3'"


@dataclass(frozen=True, kw_only=True)
class Query:
    """A named question; `kind` has the target."""

    name: str
    kind: str
    path: str
    asked: Mapping[str, str]


def queries(count: int) -> list[Query]:
    """Return the questions to a history of so many runs."""

    def listed(name: str, kind: str, **asked: str) -> Query:
        return Query(name=name, kind=kind, path="/v1/runs", asked={"limit": str(PAGE)} | asked)

    ids = ",".join(f"run-{number * count // 20:012d}" for number in range(20))
    counted = {"limit": "1", "with_total": "true", "filter": "method = 'dora' and score > 1"}
    return [
        listed("first page", "typed"),
        listed("deep page", "typed", after=f"run-{count // 2:012d}"),
        listed("one filter", "typed", filter="method = 'dora'"),
        listed("OR", "typed", filter="method = 'boft' or (score > 1.5 and train_seconds < 30)"),
        listed("three rare equalities, sorted", "typed", filter=RARE, sort="-score"),
        listed("NULL scores, sorted", "typed", filter="score is null", sort="-train_seconds"),
        listed("text search", "typed", filter="reason like '%out of memory%'"),
        listed("text that none has", "scan", filter="reason like '%no such words%'"),
        Query(name="count of a filter", kind="typed", path="/v1/runs", asked=counted),
        listed("sort by a JSON value", "json", sort="-configuration.method.lora_alpha"),
        listed("JSON value that none has", "json", filter="configuration.method.lora_alpha = 33"),
        Query(
            name="20 curves compared", kind="curves", path="/v1/runs/compare", asked={"ids": ids}
        ),
        Query(name="Pareto front", kind="whole", path="/v1/runs/pareto", asked={}),
    ]


def main() -> int:
    """Measure, print tables, write JSON where asked; 1 where a target is missed."""
    arguments = _parse()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    found: dict[str, Any] = {"load_average": os.getloadavg()[0]}
    missed = 0
    if arguments.runs:
        found["sqlite"] = _sqlite(arguments)
        missed += _print(found["sqlite"], f"SQLite, {arguments.runs:,} runs", SQLITE_MILLISECONDS)
    if arguments.postgresql_url:
        found["postgresql"] = _postgresql(arguments)
        title = f"PostgreSQL, {arguments.postgresql_runs:,} runs"
        missed += _print(found["postgresql"], title, POSTGRESQL_MILLISECONDS)
    if arguments.mlflow_python:
        timed = partial(measured, repeats=arguments.repeats)
        figures = mlflow_figures(arguments.mlflow_python, arguments.folder, timed)
        found["mlflow"] = {"queries": figures}
        _print(found["mlflow"], "MLflow on SQLite, 20,000 runs", {})
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(found, indent=2) + "\n")
    return 1 if missed else 0


def _sqlite(arguments: argparse.Namespace) -> dict[str, Any]:
    file = arguments.folder / f"history-{arguments.runs}-{arguments.points}.sqlite"
    if not file.exists():
        unfinished = file.with_suffix(".unfinished")
        unfinished.unlink(missing_ok=True)
        fill_sqlite(unfinished, arguments.runs, arguments.points)
        unfinished.rename(file)
    return _figures(f"sqlite:///{file}", arguments.runs, arguments.repeats)


def _postgresql(arguments: argparse.Namespace) -> dict[str, Any]:
    url, count = arguments.postgresql_url, arguments.postgresql_runs
    engine = open_database(url)
    with read_session(engine) as session:
        known = session.scalar(select(func.count()).select_from(RunRow)) or 0
    engine.dispose()
    if known < count:
        fill_postgresql(url, count, arguments.postgresql_points)
    return _figures(url, count, arguments.repeats)


def _figures(url: str, count: int, repeats: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder, served(url, Path(folder)) as server:
        timed = {query.name: _timed(server, query, repeats) for query in queries(count)}
        exports = {form: _export(server, form) for form in EXPORTS}
    return {"queries": timed, "exports": exports}


def _timed(server: Server, query: Query, repeats: int) -> dict[str, Any]:
    """Return the figures of a query, or the status with which the server gave it up."""
    try:
        figures: dict[str, Any] = measured(lambda: _ask(server, query), repeats)
        before = server.cpu_milliseconds()
        for _ in range(FEW):
            _ask(server, query)
        figures["cpu"] = (server.cpu_milliseconds() - before) / FEW
    except httpx.HTTPStatusError as error:
        figures = {"refused_with": error.response.status_code}
    return {"kind": query.kind} | figures


def measured(ask: Callable[[], object], repeats: int) -> dict[str, float | None]:
    """Return p50 and p95 of one client and p95 of eight, in milliseconds.

    What takes seconds is asked a few times only, and not by eight.
    """
    warm = [_milliseconds(ask) for _ in range(WARM_UP)]
    if warm[-1] > SLOW_MILLISECONDS:
        slow = sorted(_milliseconds(ask) for _ in range(FEW))
        return {"p50": slow[FEW // 2], "p95": slow[-1], "p95_of_8_clients": None}
    alone = [_milliseconds(ask) for _ in range(repeats)]
    with ThreadPoolExecutor(CLIENTS) as pool:
        crowd = list(pool.map(lambda _: _milliseconds(ask), range(max(repeats, CLIENTS))))
    cuts, crowded = (quantiles(some, n=20, method="inclusive") for some in (alone, crowd))
    return {"p50": cuts[9], "p95": cuts[18], "p95_of_8_clients": crowded[18]}


def _milliseconds(ask: Callable[[], object]) -> float:
    start = time.perf_counter()
    ask()
    return 1000 * (time.perf_counter() - start)


def _ask(server: Server, query: Query) -> None:
    answer = server.client.get(query.path, params=dict(query.asked))
    answer.raise_for_status()


def _export(server: Server, form: str) -> dict[str, float]:
    """Return what an export takes: seconds, megabytes sent, megabytes of memory added."""
    start, before, sent = time.perf_counter(), server.resident_bytes(), 0
    most = before
    asked = {"format": form}
    with server.client.stream("GET", "/v1/runs/export", params=asked, timeout=600) as answer:
        answer.raise_for_status()
        for piece in answer.iter_raw(2**20):
            sent += len(piece)
            most = max(most, server.resident_bytes())
    return {
        "seconds": time.perf_counter() - start,
        "megabytes_sent": sent / 1e6,
        "megabytes_added": (most - before) / 1e6,
    }


def _print(found: Mapping[str, Any], title: str, targets: Mapping[str, float]) -> int:
    """Print a table; return how many targets were missed."""
    missed = 0
    print(f"\n{title:<34}{'p50 ms':>9}{'p95 ms':>9}{'cpu ms':>9}{'8 clients':>11}{'target':>8}")
    for name, figures in found["queries"].items():
        target = targets.get(figures.get("kind", ""))
        if "refused_with" in figures:
            missed += target is not None
            print(f"{name:<34} given up, answered {figures['refused_with']}")
            continue
        is_missed = target is not None and figures["p95"] > target
        missed += is_missed
        shown = "" if target is None else f"{target:.0f}{' !' if is_missed else ''}"
        crowd = figures["p95_of_8_clients"]
        many, cpu = (
            "-" if value is None else f"{value:.1f}" for value in (crowd, figures.get("cpu"))
        )
        row = f"{figures['p50']:>9.1f}{figures['p95']:>9.1f}{cpu:>9}{many:>11}{shown:>8}"
        print(f"{name:<34}{row}")
    for form, figures in found.get("exports", {}).items():
        added = figures["megabytes_added"]
        missed += added > EXPORT_MEGABYTES
        print(
            f"export as {form:<24}{figures['seconds']:>8.1f} s, {figures['megabytes_sent']:.0f} MB "
            f"sent, {added:.0f} MB of memory added{' !' if added > EXPORT_MEGABYTES else ''}"
        )
    return missed


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="How quickly a large run history answers.")
    parser.add_argument("--folder", type=Path, required=True, help="where histories are kept")
    parser.add_argument("--runs", type=int, default=100_000, help="in SQLite; 0: leave it out")
    parser.add_argument("--points", type=int, default=100, help="of each learning curve there")
    parser.add_argument("--postgresql-url", help="a database of our own")
    parser.add_argument("--postgresql-runs", type=int, default=1_000_000)
    parser.add_argument("--postgresql-points", type=int, default=20, help="of each curve there")
    parser.add_argument("--mlflow-python", type=Path, help="the interpreter that has MLflow")
    parser.add_argument("--repeats", type=int, default=40, help="of each query")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
