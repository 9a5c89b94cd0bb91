"""Rows of CSV and Parquet files, a few at a time: memory does not grow with the file."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

import pyarrow as pa
import pyarrow.parquet as pq

from metadata.errors import InvalidRequest
from metadata.importers.files import head

LONGEST_LINE = 2**20  # of characters; a row of a table of runs has some hundred
MOST_COLUMNS = 2_000
ROWS_AT_ONCE = 256
LARGEST_ROW_GROUP_BYTES = 2**30  # as it says itself, unpacked
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


def csv_rows(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows of a CSV in UTF-8 or UTF-16, by the names of its first line.

    Commas, semicolons and tabs part columns: whichever the first line has the most of.

    Raises:
        InvalidRequest: A line is too long, not of that encoding, or no CSV; rows before it have
            been yielded.
    """
    encoding = "utf-16" if head(path, 2) in _UTF16 else "utf-8-sig"
    number = 1
    with _opened(path, encoding) as file:
        try:
            lines = _lines(file)
            first = next(lines, "")
            delimiter = max(",;\t", key=first.count)
            header = _header(next(csv.reader([first], delimiter=delimiter), []))
            for values in csv.reader(lines, delimiter=delimiter):
                number += 1
                if values:
                    yield dict(zip(header, values, strict=False))
        except UnicodeError:
            raise InvalidRequest(
                f"{path.name} must be UTF-8, which row {number + 1} is not. Save it as UTF-8."
            ) from None
        except csv.Error as error:
            raise InvalidRequest(
                f"Row {number + 1} of {path.name} cannot be read as CSV: {str(error)[:100]}."
            ) from None


def _opened(path: Path, encoding: str) -> TextIO:
    try:
        return path.open(encoding=encoding, newline="")
    except OSError as error:
        raise InvalidRequest(f"{path.name} cannot be read ({type(error).__name__}).") from None


def parquet_rows(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows of a Parquet file; columns that hold lists or structures are left out.

    Raises:
        InvalidRequest: It is no Parquet, damaged, or has row groups that no table of runs has.
    """
    try:
        with pq.ParquetFile(path) as file:
            _check_groups(path, file)
            fields = (field for field in file.schema_arrow if not pa.types.is_nested(field.type))
            names = list(dict.fromkeys(field.name for field in fields))[:MOST_COLUMNS]
            for batch in file.iter_batches(batch_size=ROWS_AT_ONCE, columns=names):
                yield from batch.to_pylist()
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        reason = str(error).partition("\n")[0].replace(str(path), path.name)[:150]
        raise InvalidRequest(f"{path.name} cannot be read as Parquet: {reason}.") from None


def _check_groups(path: Path, file: pq.ParquetFile) -> None:
    about = file.metadata
    largest = max(
        (about.row_group(group).total_byte_size for group in range(about.num_row_groups)), default=0
    )
    if largest > LARGEST_ROW_GROUP_BYTES:
        raise InvalidRequest(
            f"{path.name} has a row group of {largest / 2**30:.1f} GiB; 1 GiB is the most. "
            "Write it again with smaller ones."
        )


def _header(names: list[str]) -> list[str]:
    """Return the names of columns, each once."""
    if len(names) > MOST_COLUMNS:
        raise csv.Error(f"{len(names):,} columns, {MOST_COLUMNS:,} are the most")
    seen: dict[str, int] = {}
    found = []
    for name in names:
        plain = name.strip()
        seen[plain] = seen.get(plain, 0) + 1
        found.append(plain if seen[plain] == 1 else f"{plain}.{seen[plain]}")
    return found


def _lines(file: TextIO) -> Iterator[str]:
    """Yield lines; one that never ends is no line of a table."""
    while line := file.readline(LONGEST_LINE):
        if len(line) >= LONGEST_LINE:
            raise csv.Error(f"a line of over {LONGEST_LINE:,} characters")
        yield line
