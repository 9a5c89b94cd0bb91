"""Read a long-format Parquet file: a row per (task, configuration, step), into one row a run.

Axes: M runs.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from metadata.arrays import Floats, Integers
from metadata.errors import InvalidRequest

CONFIG, FEATURE = "config.", "feature."
REQUIRED = ("task", "configuration_id", "step", "score")
SHOWN_CHARACTERS = 60


@dataclass(frozen=True, kw_only=True)
class Column:
    """Values of one name: numbers, or texts where `texts_M` is given; empty ones NaN or None."""

    name: str
    number_M: Floats
    texts_M: tuple[str | None, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class Ended:
    """The last step of each run.

    Attributes:
        tasks: Their names.
        task_M: The task of each run.
        score_M: NaN where the run has none.
        configs, features: Columns, without what stands before their names.
    """

    tasks: tuple[str, ...]
    task_M: Integers
    score_M: Floats
    configs: tuple[Column, ...]
    features: tuple[Column, ...]


def read_ended(path: Path) -> Ended:
    """Return the last step of each run of a file.

    Raises:
        InvalidRequest: The file is no such table; the message names the column.
    """
    found = _read(path)
    names = found.column_names
    tasks, task_R = _codes(found, "task")
    _, run_R = _codes(found, "configuration_id")
    last_M = _last(task_R, run_R, _numbers(found, "step"))
    for name in names:
        if name.startswith(FEATURE):
            _check_feature(found, name, task_R)
    ended = found.take(pa.array(last_M))
    return Ended(
        tasks=tasks,
        task_M=task_R[last_M],
        score_M=_numbers(ended, "score"),
        configs=tuple(_column(ended, name) for name in names if name.startswith(CONFIG)),
        features=tuple(_column(ended, name) for name in names if name.startswith(FEATURE)),
    )


def _read(path: Path) -> pa.Table:
    try:
        with pq.ParquetFile(path) as file:
            names = file.schema_arrow.names
            missing = [name for name in REQUIRED if name not in names]
            if missing or not any(name.startswith(CONFIG) for name in names):
                raise InvalidRequest(
                    f"A table needs the columns {', '.join(REQUIRED)} and at least one "
                    f"{CONFIG}<name>, got {', '.join(names)[:300]}. Add what is missing.",
                    param=missing[0] if missing else "config",
                )
            wanted = [n for n in names if n in REQUIRED or n.startswith((CONFIG, FEATURE))]
            found = file.read(columns=wanted)
    except (OSError, pa.ArrowException) as error:
        raise InvalidRequest(
            f"A table is a readable Parquet file, got {path.name}: {type(error).__name__}. "
            "Write it again with pyarrow or pandas.",
            param="table",
        ) from None
    if not found.num_rows:
        raise InvalidRequest("A table needs rows, got 0. Write its runs.", param="table")
    return found


def _codes(found: pa.Table, name: str) -> tuple[tuple[str, ...], Integers]:
    column = found[name]
    if column.null_count:
        raise _wrong(name, "has a value in every row", f"{column.null_count} empty ones")
    values, codes_R = np.unique(
        np.array([str(one) for one in column.to_pylist()], dtype=object), return_inverse=True
    )
    return tuple(values.tolist()), codes_R.astype(np.int64)


def _last(task_R: Integers, run_R: Integers, step_R: Floats) -> Integers:
    """Return the row of the last step of each run."""
    if not np.isfinite(step_R).all() or (step_R < 1).any() or (step_R % 1 != 0).any():
        raise _wrong("step", "is a whole number from 1 in every row", "another")
    order = np.lexsort((step_R, run_R, task_R))
    same_run = (np.diff(task_R[order]) == 0) & (np.diff(run_R[order]) == 0)
    if (same_run & (np.diff(step_R[order]) == 0)).any():
        raise _wrong("step", "stands once for each task and configuration", "one twice")
    last_M: Integers = order[np.append(~same_run, True)]
    return last_M


def _column(found: pa.Table, name: str) -> Column:
    short, kind = name.split(".", 1)[1], found.schema.field(name).type
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        texts = tuple(found[name].to_pylist())
        return Column(name=short, number_M=np.full(len(texts), np.nan), texts_M=texts)
    return Column(name=short, number_M=_numbers(found, name))


def _check_feature(found: pa.Table, name: str, task_R: Integers) -> None:
    """Let a column pass that holds one number a task."""
    number_R = _numbers(found, name)
    first_P = np.unique(task_R, return_index=True)[1]
    if not np.array_equal(number_R[first_P][task_R], number_R, equal_nan=True):
        raise _wrong(name, "is the same in every row of a task", "several values")


def _numbers(found: pa.Table, name: str) -> Floats:
    kind = found.schema.field(name).type
    is_number = pa.types.is_integer(kind) or pa.types.is_floating(kind)
    if not (is_number or pa.types.is_boolean(kind) or pa.types.is_null(kind)):
        raise _wrong(name, "holds numbers", str(kind))
    whole = pc.cast(found[name], pa.float64(), safe=False)
    values: Any = whole.to_numpy().astype(np.float64)
    numbers: Floats = np.where(np.isfinite(values), values, np.nan)
    return numbers


def _wrong(name: str, rule: str, seen: str) -> InvalidRequest:
    return InvalidRequest(
        f"The column {name[:SHOWN_CHARACTERS]} of a table {rule}, got {seen[:SHOWN_CHARACTERS]}. "
        "Write the file again.",
        param=name[:SHOWN_CHARACTERS],
    )
