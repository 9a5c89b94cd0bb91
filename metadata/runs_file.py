"""Runs in one Parquet file: how the meta-dataset is shipped, exported and exchanged.

A row is a run: the typed columns of the run history, so that any tool can read the figures, and
JSON text for the rest, the learning curve among it. The same runs give the same bytes.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError
from sqlalchemy import BigInteger, Boolean, Column, Double, String
from sqlalchemy.types import TypeEngine

from metadata.collecting import uncollected
from metadata.database import UtcDateTime
from metadata.errors import InvalidRequest
from metadata.records import Run
from metadata.run_rows import FIGURES, JSON_PARTS, RunRow, columns, point_of

SHIPPED_RUNS = Path(__file__).parent / "data" / "runs.parquet"

SCHEMA_VERSION = "2"
_VERSION_KEY = b"peftwise.runs"
_ROWS_AT_ONCE = 256  # with their curves, a few MB
_OWN_FIELDS = ("id", "state", "reason", "core", "created_at")
_JSON_COLUMNS = (*JSON_PARTS, "curve")
_READ = {"1": frozenset({"objective"}), SCHEMA_VERSION: frozenset[str]()}  # what each may lack
_TYPES: Mapping[type[TypeEngine[Any]], pa.DataType] = {
    String: pa.string(),
    BigInteger: pa.int64(),
    Double: pa.float64(),
    Boolean: pa.bool_(),
    UtcDateTime: pa.timestamp("us", tz="UTC"),
}


def write_runs(path: Path, runs: Iterable[Run]) -> None:
    """Write runs in the order of their ids, whole or not at all.

    Raises:
        InvalidRequest: Two runs share an id, or one holds text that no database can.
    """
    ordered = sorted(runs, key=lambda run: run.id)
    for run, following in pairwise(ordered):
        if run.id == following.id:
            raise InvalidRequest(f"Two runs have the id {run.id}. Keep one of them.", param="runs")
    table = pa.Table.from_pylist([_row(run) for run in ordered], schema=schema_of_runs())
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.unfinished")
    pq.write_table(
        table, unfinished, compression="zstd", compression_level=19, write_page_checksum=True
    )
    unfinished.replace(path)


def read_runs(path: Path) -> list[Run]:
    """Read and check every run of a file, in its order.

    Raises:
        InvalidRequest: There is no such file, it is not one of ours, or a row is not a run; the
            message says which.
    """
    table = _read_table(path)
    _check_schema(path, table.schema)
    names = [name for name in (*_OWN_FIELDS, *_JSON_COLUMNS) if name in table.column_names]
    with uncollected():
        needed = table.select(names).to_pylist()
        return [_run(row, number, path) for number, row in enumerate(needed, start=1)]


def is_ours(schema: pa.Schema) -> bool:
    """Say whether a Parquet file says that it holds our runs, of whichever layout."""
    return _VERSION_KEY in (schema.metadata or {})


def stream_runs(path: Path) -> Iterator[Run]:
    """Yield and check every run of a file without holding all of them.

    Raises:
        InvalidRequest: As `read_runs`; the runs before a bad row have been yielded.
    """
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            schema = file.schema_arrow
            _check_schema(path, schema)
            names = [name for name in (*_OWN_FIELDS, *_JSON_COLUMNS) if name in schema.names]
            number = 0
            for batch in file.iter_batches(batch_size=_ROWS_AT_ONCE, columns=names):
                for row in batch.to_pylist():
                    number += 1
                    yield _run(row, number, path)
    except (pa.ArrowException, OSError, ValueError) as error:
        reason = str(error).partition("\n")[0].replace(str(path), path.name)
        raise InvalidRequest(f"{path.name} cannot be read as Parquet: {reason}.") from None


def schema_of_runs() -> pa.Schema:
    """Return the layout: the typed columns of the history, the rest as JSON text."""
    columns = RunRow.__table__.columns
    typed = [
        pa.field(name, _TYPES[type(columns[name].type)], columns[name].nullable) for name in FIGURES
    ]
    texts = [pa.field(name, pa.string(), nullable=True) for name in _JSON_COLUMNS]
    return pa.schema([*typed, *texts], metadata={_VERSION_KEY: SCHEMA_VERSION})


def _field(column: Column[Any]) -> pa.Field:
    return pa.field(column.name, _TYPES[type(column.type)], column.nullable)


def _row(run: Run) -> dict[str, Any]:
    curve = [point_of(measurement) for measurement in run.curve]
    values = {**columns(run), "curve": curve}
    return {**values, **{name: _text(values[name]) for name in _JSON_COLUMNS}}


def _text(value: Any) -> str | None:
    if value is None:
        return None
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _read_table(path: Path) -> pa.Table:
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            table = file.read()
        table.validate(full=True)
        return table
    except FileNotFoundError:
        raise InvalidRequest(f"There is no file {path.name}. Check the path.") from None
    except (pa.ArrowException, OSError, ValueError) as error:
        reason = str(error).partition("\n")[0].replace(str(path), path.name)
        raise InvalidRequest(
            f"{path.name} cannot be read as Parquet: {reason}. "
            "Make it with `python -m metadata export`."
        ) from None


def _check_schema(path: Path, schema: pa.Schema) -> None:
    version = (schema.metadata or {}).get(_VERSION_KEY, b"none").decode(errors="replace")
    if version not in _READ:
        raise InvalidRequest(
            f"{path.name} needs the layout of runs {SCHEMA_VERSION}, got {version[:20]}. "
            "Write it again with `python -m metadata export` of this version."
        )
    expected = schema_of_runs()
    for name in (*_OWN_FIELDS, *_JSON_COLUMNS):
        count = len(schema.get_all_field_indices(name))
        if count == 0 and name in _READ[version]:
            continue
        if count != 1:
            raise InvalidRequest(
                f"{path.name} needs one column {name}, got {count}. Export the runs again."
            )
        if schema.field(name).type != expected.field(name).type:
            raise InvalidRequest(
                f"{path.name}: the column {name} is {expected.field(name).type}, "
                f"got {schema.field(name).type}. Export the runs again."
            )


def _run(row: Mapping[str, Any], number: int, path: Path) -> Run:
    """Check one row; its number counts from 1."""
    try:
        values = {name: row[name] for name in _OWN_FIELDS}
        for name in (one for one in _JSON_COLUMNS if one in row):
            values[name] = None if row[name] is None else json.loads(row[name])
        values["curve"] = [_measurement(point) for point in values["curve"]]
        return Run.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        reason = f"{field}: {first['msg']}"
    except (ValueError, TypeError, RecursionError) as error:
        reason = str(error)
    raise InvalidRequest(
        f"Row {number} of {path.name} is not a run: {reason[:300]}. Mend or drop the row."
    )


def _measurement(point: Any) -> dict[str, Any]:
    return dict(zip(("name", "step", "value", "split"), point, strict=True))
