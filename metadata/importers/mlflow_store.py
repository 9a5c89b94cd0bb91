"""MLflow's SQL store as an SQLite file, read without its package and never written."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

from metadata.importers.files import Place, head
from metadata.importers.mlflow_runs import MOST_POINTS, Point, draft_of
from metadata.importers.mlflow_server import read_address
from metadata.importers.spec import Given, ImporterSpec, Item, Refused

SUFFIXES = frozenset({".db", ".sqlite", ".sqlite3"})
HEAD = b"SQLite format 3\x00"
LONGEST_VALUE_BYTES = 2**20
MOST_QUERY_SECONDS = 60.0  # a hostile file can hold views that never end
STEPS_BETWEEN_LOOKS = 100_000
_NEEDED = frozenset({"runs", "params", "metrics", "experiments"})
_RUNS = """\
SELECT runs.run_uuid, runs.status, runs.start_time, runs.end_time, runs.lifecycle_stage,
       experiments.name
FROM runs LEFT JOIN experiments ON experiments.experiment_id = runs.experiment_id
ORDER BY runs.run_uuid"""
_PARAMS = "SELECT key, value FROM params WHERE run_uuid = ? LIMIT 5000"
_METRICS = """\
SELECT key, CASE WHEN is_nan THEN 'nan' ELSE value END, step FROM metrics
WHERE run_uuid = ? ORDER BY key, step, timestamp LIMIT ?"""
_DATASET = """\
SELECT datasets.name FROM datasets JOIN inputs ON inputs.source_id = datasets.dataset_uuid
WHERE inputs.destination_id = ? LIMIT 1"""


def claims(place: Place) -> bool:
    """Say whether a file is SQLite with MLflow's tables."""
    if place.is_folder or place.path.suffix.lower() not in SUFFIXES:
        return False
    if head(place.path, len(HEAD)) != HEAD:
        return False
    try:
        with closing(_open(place.path)) as store:
            return _tables(store) >= _NEEDED
    except (sqlite3.Error, UnicodeError):  # it quotes what it cannot read
        return False


def read(place: Place, given: Given) -> Iterator[Item]:
    """Yield the runs of a store in the order of their ids."""
    try:
        with closing(_open(place.path)) as store:
            has_inputs = {"datasets", "inputs"} <= _tables(store)
            for row in store.execute(_RUNS):
                yield _item(store, row, given, has_inputs=has_inputs)
    except (sqlite3.Error, UnicodeError, OverflowError) as error:
        reason = f"the store cannot be read further ({type(error).__name__}: {str(error)[:100]})."
        yield Refused(label=place.label, reason=reason)


def _open(path: Path) -> sqlite3.Connection:
    """Open a store to read: nothing in it runs, grows or lasts beyond what a store needs."""
    # Its log of writes is left aside: it would have to be played back into the file.
    store = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro&immutable=1", uri=True)
    store.text_factory = partial(str, encoding="utf-8", errors="replace")
    store.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LONGEST_VALUE_BYTES)
    store.execute("PRAGMA trusted_schema = OFF")
    store.execute("PRAGMA cell_size_check = ON")
    return store


def _tables(store: sqlite3.Connection) -> set[str]:
    return {name for (name,) in store.execute("SELECT name FROM sqlite_master WHERE type='table'")}


def _item(
    store: sqlite3.Connection, row: tuple[Any, ...], given: Given, *, has_inputs: bool
) -> Item:
    run_id, status, start, end, stage, experiment = row
    label = f"run {str(run_id)[:8]}"
    if stage == "deleted":
        return Refused(label=label, reason="it is deleted there")
    _limit_time(store)
    dataset = store.execute(_DATASET, (run_id,)).fetchone() if has_inputs else None
    return draft_of(
        str(run_id),
        status=status,
        start=start,
        end=end,
        experiment=experiment,
        dataset=None if dataset is None else dataset[0],
        params=dict(store.execute(_PARAMS, (run_id,))),
        points=_points(store, run_id),
        given=given,
    )


def _points(store: sqlite3.Connection, run_id: object) -> Iterator[Point]:
    for key, value, step in store.execute(_METRICS, (run_id, MOST_POINTS + 1)):
        yield str(key), value, step


def _limit_time(store: sqlite3.Connection) -> None:
    until = time.monotonic() + MOST_QUERY_SECONDS
    store.set_progress_handler(lambda: time.monotonic() > until, STEPS_BETWEEN_LOOKS)


SPEC = ImporterSpec(
    name="mlflow",
    title="MLflow's SQL store as an SQLite file, or its server's address",
    claims=claims,
    read=read,
    read_address=read_address,
)
