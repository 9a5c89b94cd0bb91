"""Runs as CSV, a line at a time."""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence

from metadata.looking import picked
from metadata.records import Run

_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what spreadsheets run


def csv_lines(runs: Iterable[Run], names: Sequence[str]) -> Iterator[str]:
    """Yield a header and a line for each run; texts that a spreadsheet would run are quoted."""
    columns = ["id", *(name for name in names if name != "id")]
    line = io.StringIO()
    writer = csv.writer(line, lineterminator="\n")
    writer.writerow(columns)
    for run in runs:
        yield _emptied(line)
        values = picked(run, columns)
        writer.writerow([_harmless(values[name]) for name in columns])
    yield _emptied(line)


def _emptied(line: io.StringIO) -> str:
    text = line.getvalue()
    line.seek(0)
    line.truncate()
    return text


def _harmless(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
