"""Runs as files that are sent while they are read: CSV, Parquet, and Parquet of whole runs.

CSV and Parquet hold chosen fields as plain values, a column each, for spreadsheets and notebooks.
`runs` holds whole runs in the layout of `metadata.runs_file`, curves too: another Peftwise imports
it, and nothing but what people said of the runs is lost. It is a format of its own because a table
of chosen fields cannot be made into runs again.
"""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
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
GROUP_ROWS, GROUP_CHARACTERS = 5_000, 8_000_000  # of a row group: what is held in memory
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
        return parquet_bytes(whole_rows(browser, view), schema_of_runs())
    schema = _schema(browser, view, names)
    batches = ([_typed(row, schema) for row in batch] for batch in tables(browser, view, names))
    return parquet_bytes(batches, schema)


def csv_lines(batches: Iterable[Iterable[Values]], names: Sequence[str]) -> Iterator[bytes]:
    """Yield a header, then the lines of each batch; texts that a spreadsheet would run are quoted.

    Tags are parted by commas.
    """
    columns = _with_id(names)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for batch in batches:
        for row in batch:
            writer.writerow([_harmless(_plain(row[name])) for name in columns])
        yield _emptied(text)
    yield _emptied(text)


def parquet_bytes(batches: Iterable[Iterable[Values]], schema: pa.Schema) -> Iterator[bytes]:
    """Yield a Parquet file, a row group at a time."""
    file = io.BytesIO()
    sink = _Sent(file)
    with pq.ParquetWriter(sink, schema, compression="zstd", write_page_checksum=True) as writer:
        yield sink.taken()
        for rows in _groups(batches):
            writer.write_table(pa.Table.from_pylist(rows, schema=schema))
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


def _groups(batches: Iterable[Iterable[Values]]) -> Iterator[list[Values]]:
    """Gather rows into groups that are neither many nor large."""
    rows: list[Values] = []
    characters = 0
    for batch in batches:
        for row in batch:
            rows.append(row)
            characters += len(row.get("curve", ""))
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


def _typed(row: Values, schema: pa.Schema) -> Values:
    return {field.name: _cast(row[field.name], field.type) for field in schema}


def _cast(value: Any, kind: pa.DataType) -> Any:
    if value is None:
        return None
    if kind == pa.float64():
        return float(value)  # Arrow refuses whole numbers that a float would round
    return str(value) if kind == pa.string() else value


def _with_id(names: Sequence[str]) -> list[str]:
    return ["id", *(name for name in dict.fromkeys(names) if name != "id")]


def _emptied(text: io.StringIO) -> bytes:
    found = text.getvalue().encode()
    text.seek(0)
    text.truncate()
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    return ", ".join(value) if isinstance(value, list) else value


def _harmless(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
