"""Runs as files that are sent while they are read: CSV, Parquet, and Parquet of whole runs.

CSV and Parquet hold chosen fields as plain values, a column each, for spreadsheets and notebooks.
`runs` holds whole runs in the layout of `metadata.runs_file`, curves too: another Peftwise imports
it, and nothing but what people said of the runs is lost. It is a format of its own because a table
of chosen fields cannot be made into runs again.
"""

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, get_args

import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy import BigInteger

from metadata.browsing import Browser, View
from metadata.exporting import Values, kinds_met, tables, whole_rows
from metadata.query import Field, field_of
from metadata.run_rows import RunRow
from metadata.runs_file import schema_of_runs

Format = Literal["csv", "parquet", "runs"]
FORMATS: tuple[Format, ...] = get_args(Format)
MEDIA_TYPES: Mapping[Format, str] = {
    "csv": "text/csv",
    "parquet": "application/vnd.apache.parquet",
    "runs": "application/vnd.apache.parquet",
}
FILE_NAMES: Mapping[Format, str] = {
    "csv": "runs.csv",
    "parquet": "runs.parquet",
    "runs": "peftwise-runs.parquet",
}
GROUP_ROWS, GROUP_CHARACTERS = 2_000, 4_000_000  # of a row group: what is held in memory
_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what spreadsheets run
_MOMENT = pa.timestamp("us", tz="UTC")
_TYPES: Mapping[str, pa.DataType] = {
    "number": pa.float64(),
    "text": pa.string(),
    "flag": pa.bool_(),
    "moment": _MOMENT,
    "tags": pa.list_(pa.string()),
}


def exported(
    browser: Browser, view: View, names: Sequence[str], *, form: Format
) -> Iterator[bytes]:
    """Yield a file of the runs of a view, some hundred at a time; the first piece comes at once.

    Args:
        browser: Looks at the runs.
        view: Which runs, in which order.
        names: The fields of CSV and Parquet; `id` comes first in any case.
        form: The kind of file.

    Raises:
        BadFilter: A name is no field, or the view cannot be read.
    """
    if form == "csv":
        return csv_lines(tables(browser, view, names), names)
    if form == "runs":
        schema = schema_of_runs()
        wanted = schema.names
        whole = whole_rows(browser, view)
        batches = ([tuple(row[name] for name in wanted) for row in rows] for rows in whole)
        return parquet_bytes(batches, schema)
    schema = _schema(browser, view, names)
    casts = [_cast_to(field.type) for field in schema]
    return parquet_bytes(
        (
            [tuple(cast(v) for cast, v in zip(casts, row, strict=True)) for row in rows]
            for rows in tables(browser, view, names)
        ),
        schema,
    )


def csv_lines(batches: Iterable[Sequence[Values]], names: Sequence[str]) -> Iterator[bytes]:
    """Yield a header, then the lines of each batch; texts that a spreadsheet would run are quoted.

    Tags are parted by commas.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_with_id(names))
    yield _emptied(text)
    for rows in batches:
        writer.writerows([_harmless(value) for value in row] for row in rows)
        yield _emptied(text)


def parquet_bytes(batches: Iterable[Sequence[Values]], schema: pa.Schema) -> Iterator[bytes]:
    """Yield a Parquet file, a row group at a time."""
    sink = _Sent(io.BytesIO())
    with pq.ParquetWriter(sink, schema, compression="zstd", write_page_checksum=True) as writer:
        yield sink.taken()
        for rows in _groups(batches):
            columns = zip(*rows, strict=True)
            arrays = [
                pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)
            ]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
            yield sink.taken()
    yield sink.taken()


class _Sent(io.RawIOBase):
    """A file that forgets what was taken from it."""

    def __init__(self, file: io.BytesIO) -> None:
        self._file = file
        self._sent = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        return self._file.write(data)

    def tell(self) -> int:
        return self._sent + self._file.tell()

    def taken(self) -> bytes:
        """Return what was written since the last time."""
        found = self._file.getvalue()
        self._sent += len(found)
        self._file.seek(0)
        self._file.truncate()
        return found


def _groups(batches: Iterable[Sequence[Values]]) -> Iterator[list[Values]]:
    """Gather rows into groups that are neither many nor large; what is long in them is text."""
    rows: list[Values] = []
    characters = 0
    for batch in batches:
        rows += batch
        characters += sum(len(one) for row in batch for one in row if isinstance(one, str))
        if len(rows) >= GROUP_ROWS or characters >= GROUP_CHARACTERS:
            yield rows
            rows, characters = [], 0
    if rows:
        yield rows


def _schema(browser: Browser, view: View, names: Sequence[str]) -> pa.Schema:
    fields = [field_of(name, param="fields") for name in _with_id(names)]
    met = kinds_met(browser, view, [one.name for one in fields if one.kind == "any"])
    return pa.schema([pa.field(one.name, _type(one, met)) for one in fields])


def _type(field: Field, met: Mapping[str, set[type]]) -> pa.DataType:
    """Return the type of a column; an open field is what all its values are, else text."""
    if field.is_typed and isinstance(RunRow.__table__.columns[field.name].type, BigInteger):
        return pa.int64()
    if field.kind != "any":
        return _TYPES[field.kind]
    types = met[field.name] - {type(None)}
    if types == {bool}:
        return pa.bool_()
    return pa.float64() if types and types <= {int, float} else pa.string()


def _cast_to(kind: pa.DataType) -> Callable[[Any], Any]:
    """Return what makes values fit a column."""
    if kind == pa.float64():  # Arrow refuses whole numbers that a float would round
        return lambda value: None if value is None else float(value)
    if kind == pa.string():
        return lambda value: None if value is None else str(value)
    return lambda value: value


def _with_id(names: Sequence[str]) -> list[str]:
    return ["id", *(name for name in dict.fromkeys(names) if name != "id")]


def _emptied(text: io.StringIO) -> bytes:
    found = text.getvalue().encode()
    text.seek(0)
    text.truncate()
    return found


def _harmless(value: Any) -> Any:
    if isinstance(value, str):
        return f"'{value}" if value.startswith(_FORMULA) else value
    if isinstance(value, datetime):
        return value.isoformat()
    return ", ".join(value) if isinstance(value, list) else value
