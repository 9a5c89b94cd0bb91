"""A run history as large as asked, drawn from a seed and filled by bulk SQL.

What is drawn: 40 datasets, of which a few have most runs, 8 base models, every method of the
table with its values, 1 run of 10 failed and without a score, learning rates and ranks by powers
of two. Curves are taken from a pool of 1,000 made ones. The rows are those that
`metadata.history` would write: the bench reads some back through it.
"""

import json
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from metadata.database import open_database, parse_url
from metadata.methods import METHODS
from metadata.parameters import Categorical
from metadata.records import (
    Choice,
    Configuration,
    Costs,
    DatasetProfile,
    Device,
    Lengths,
    ModelProfile,
    OptimizerChoice,
    Origin,
    Run,
    Scores,
    Task,
)
from metadata.run_rows import CHUNK_POINTS, FIGURES, JSON_PARTS, columns

FIRST_DAY = datetime(2025, 1, 1, tzinfo=UTC)
DATASETS, MODELS, CURVES = 40, 8, 1000
ROWS_AT_ONCE = 10_000
DRAWN = 100_000  # for PostgreSQL
SECONDS_APART = 37
RARE_DATASET = DATASETS - 1
FAILURES = ("diverged", "out_of_memory", "timed_out", "failed")
REASONS = (
    "The loss was NaN at step 17.",
    "CUDA ran out of memory: 1.5 GiB were asked for, 0.3 GiB were free.",
    "Training must end within 3,600 s; step 501 of 2,000 ended at 3,600.4 s.",
    "The file train.jsonl has 3 examples; a validation split needs 10.",
)
NAMES = (*FIGURES, *JSON_PARTS)


def rows(count: int, *, seed: int = 0) -> Iterator[dict[str, Any]]:
    """Yield the columns of runs; the JSON parts are text already."""
    rng = np.random.default_rng(seed)
    tasks = [[_task(dataset, model) for model in range(MODELS)] for dataset in range(DATASETS)]
    shares = 1 / np.arange(1, DATASETS + 1)
    datasets_N = rng.choice(DATASETS, size=count, p=shares / shares.sum())
    for number in range(count):
        task = tasks[int(datasets_N[number])][int(rng.integers(MODELS))]
        values = columns(_run(number, task, rng))
        yield values | {name: json.dumps(values[name]) for name in JSON_PARTS}


def curves(points: int, *, seed: int = 0) -> list[list[str]]:
    """Return a pool of learning curves of so many points, each as JSON texts of its chunks."""
    rng = np.random.default_rng(seed)
    pool = []
    for _ in range(CURVES):
        falls_P = 3 * np.exp(-np.arange(points) / (points / 4)) + rng.normal(0, 0.02, points)
        curve = [["loss", 10 * step, round(float(v), 6), "train"] for step, v in enumerate(falls_P)]
        chunks = (curve[i : i + CHUNK_POINTS] for i in range(0, points, CHUNK_POINTS))
        pool.append([json.dumps(chunk) for chunk in chunks])
    return pool


def fill_sqlite(file: Path, count: int, points: int, *, seed: int = 0) -> None:
    """Make the tables in a file and fill them."""
    open_database(f"sqlite:///{file}").dispose()
    pool = curves(points, seed=seed)
    with sqlite3.connect(file) as database:
        database.execute("PRAGMA synchronous=OFF")  # a file that is lost is filled again
        insert = f"INSERT INTO runs ({_listed(NAMES)}) VALUES ({', '.join('?' * len(NAMES))})"
        for number, some in _numbered_batches(rows(count, seed=seed)):
            database.executemany(insert, [[_sqlite(row[name]) for name in NAMES] for row in some])
            database.executemany("INSERT INTO curves VALUES (?, ?, ?)", _chunks(number, some, pool))
            database.commit()
    database.close()


def fill_postgresql(url: str, count: int, points: int, *, seed: int = 0) -> None:
    """Make the tables in a database and fill them.

    At most 100,000 runs are drawn; more are the same again, later and under other ids.
    """
    import psycopg  # an optional extra

    open_database(url).dispose()
    drawn, pool = min(count, DRAWN), curves(points, seed=seed)
    plain = parse_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(plain) as database, database.cursor() as cursor:
        for number, some in _numbered_batches(rows(drawn, seed=seed)):
            with cursor.copy(f"COPY runs ({_listed(NAMES)}) FROM STDIN") as copy:
                for row in some:
                    copy.write_row([row[name] for name in NAMES])
            with cursor.copy("COPY curves (run_id, chunk, points) FROM STDIN") as copy:
                for chunk in _chunks(number, some, pool):
                    copy.write_row(chunk)
        for further in range(drawn, count, drawn):
            cursor.execute(_repeated("runs", NAMES, further, drawn))
            cursor.execute(_repeated("curves", ("run_id", "chunk", "points"), further, drawn))
            database.commit()
        database.commit()
        database.autocommit = True
        cursor.execute("VACUUM (ANALYZE)")  # as autovacuum does by itself after a while


def _repeated(table: str, names: tuple[str, ...], further: int, drawn: int) -> str:
    """Return SQL that adds the drawn rows again, their numbers and times moved on."""
    key = "run_id" if table == "curves" else "id"
    moved = {
        key: f"'run-' || lpad((substr({key}, 5)::bigint + {further})::text, 12, '0')",
        "created_at": f"created_at + {further} * interval '{SECONDS_APART} seconds'",
    }
    chosen = ", ".join(moved.get(name, f'"{name}"') for name in names)
    last = f"run-{drawn:012d}"
    return (
        f"INSERT INTO {table} ({_listed(names)}) "
        f"SELECT {chosen} FROM {table} WHERE {key} < '{last}' AND {key} LIKE 'run-0%'"
    )


def _numbered_batches(
    every: Iterator[dict[str, Any]],
) -> Iterator[tuple[int, list[dict[str, Any]]]]:
    number = 0
    while some := list(islice(every, ROWS_AT_ONCE)):
        yield number, some
        number += len(some)


def _chunks(
    number: int, some: list[dict[str, Any]], pool: list[list[str]]
) -> Iterator[tuple[str, int, str]]:
    for place, row in enumerate(some, start=number):
        for chunk, text in enumerate(pool[place * 7919 % len(pool)]):
            yield row["id"], chunk, text


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def _sqlite(value: Any) -> Any:
    """Return a value as SQLAlchemy keeps it in SQLite."""
    return value.strftime("%Y-%m-%d %H:%M:%S.%f") if isinstance(value, datetime) else value


def _run(number: int, task: Task, rng: np.random.Generator) -> Run:
    failure = int(rng.integers(4)) if rng.random() < 0.1 else None
    state = "succeeded" if failure is None else FAILURES[failure]
    loss, seconds = float(rng.uniform(1.5, 3.0)), float(rng.lognormal(5, 1))
    scores = Scores(
        base_loss=3.2,
        best_loss=loss,
        last_loss=loss + float(rng.exponential(0.05)),
        exact_match=float(rng.random()),
        forgotten=float(rng.normal(0.1, 0.05)),
    )
    costs = Costs(
        train_seconds=seconds,
        eval_seconds=seconds / 9,
        train_cpu_seconds=seconds,
        eval_cpu_seconds=seconds / 9,
        peak_tensor_bytes=int(rng.lognormal(22, 1)),
        peak_device_bytes=int(rng.lognormal(22.2, 1)),
        trained_tokens=int(rng.lognormal(12, 1)),
        steps=int(rng.integers(10, 5000)),
        trainable_parameters=int(rng.lognormal(13, 1)),
    )
    return Run.model_construct(
        id=f"run-{number:012d}",
        task=task,
        configuration=_configuration(rng),
        state=state,
        reason="" if failure is None else REASONS[failure],
        curve=(),
        scores=scores if failure is None else None,
        costs=costs,
        core=bool(rng.random() < 0.2),
        versions={"torch": f"2.{rng.integers(8, 14)}.0", "peft": f"0.{rng.integers(15, 22)}.0"},
        origin=Origin(source=("worker", "campaign", "mlflow")[int(rng.integers(3))]),
        created_at=FIRST_DAY + timedelta(seconds=SECONDS_APART * number),
    )


def _configuration(rng: np.random.Generator) -> Configuration:
    spec = list(METHODS.values())[int(rng.integers(len(METHODS)))]
    values: dict[str, Any] = {}
    for parameter in spec.parameters:
        if isinstance(parameter, Categorical):
            values[parameter.name] = parameter.choices[int(rng.integers(len(parameter.choices)))]
        elif isinstance(parameter.default, int):
            values[parameter.name] = min(parameter.upper, int(2 ** rng.integers(1, 8)))
        else:
            values[parameter.name] = float(rng.uniform(parameter.lower, parameter.upper))
    rate = float(2.0 ** -rng.integers(6, 16))
    return Configuration(
        method=Choice(name=spec.name, **values),
        optimizer=OptimizerChoice(name=str(rng.choice(["adamw", "lion"])), learning_rate=rate),
        batch_size=int(2 ** rng.integers(0, 7)),
        epochs=float(rng.integers(1, 20)),
        seed=int(rng.integers(3)),
    )


def _task(dataset: int, model: int) -> Task:
    sizes = np.random.default_rng((dataset, model))
    lengths = Lengths(mean=80.5, p50=70, p90=150, p99=400, max=900)
    return Task(
        model=ModelProfile(
            id=f"maker/model-{model}",
            family="llama",
            parameters=10 ** (6 + model),
            layers=4 + 4 * model,
            hidden_size=128 * 2**model,
            heads=8,
            key_value_heads=4,
            head_size=16 * 2**model,
            mlp_width=384 * 2**model,
            vocabulary=32_000,
            context_tokens=4096,
            tied_embeddings=True,
        ),
        dataset=DatasetProfile(
            name=f"dataset-{dataset:02d}",
            group=f"dataset-{dataset:02d}",
            sha256=f"{dataset:064x}",
            kind="generation",
            examples=int(np.random.default_rng(dataset).integers(100, 50_000)),
            prompt_bytes=lengths,
            completion_bytes=lengths,
            distinct_words=3000,
            repeated_word_fraction=0.5,
            distinct_completions=99,
            completion_entropy_bits=5.5,
            duplicate_fraction=0.01,
            compression_ratio=float(np.random.default_rng(dataset).uniform(1.5, 4)),
        ),
        device=Device(
            name=("NVIDIA L40S", "NVIDIA A100", "CPU")[int(sizes.integers(3))],
            kind="cuda",
            memory_bytes=48 * 2**30,
            bf16_tflops=362.0,
            bandwidth_gb_per_second=864.0,
            launch_microseconds=5.0,
        ),
    )
