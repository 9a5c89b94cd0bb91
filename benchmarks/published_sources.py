"""The sources of published figures, and how a figure is made of measured values."""

import csv
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from metadata.published import MEANINGS, Figure

UNLICENSED = "none stated"
Ends = tuple[float | None, float | None]
DIGITS = 4  # of a figure; the runs behind it are known to two or three


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where figures are from: a repository at a commit, and the file in it."""

    folder: Path
    source: str
    file: str
    commit: str
    licence: str

    def figure(
        self,
        name: str,
        value: float,
        *,
        ends: Ends = (None, None),
        over: str = "",
        digits: int = DIGITS,
        **columns: Any,
    ) -> Figure:
        """Return a figure of this source; `over` says what its range is over."""
        low, high = (None if end is None else rounded(end, digits) for end in ends)
        return Figure(
            figure=name,
            value=rounded(value, digits),
            unit=MEANINGS[name].unit,
            low=low,
            high=high,
            over="" if low is None and high is None else over,
            source=self.source,
            file=self.file,
            commit=self.commit,
            licence=self.licence,
            **columns,
        )

    def mean(self, name: str, values: Sequence[float], *, over: str, **columns: Any) -> Figure:
        """Return the mean of values as a figure, with their range."""
        return self.figure(name, fmean(values), ends=ends_of(values), over=over, **columns)


def find_source(runs: Path, folder: str, *, file: str) -> Source:
    """Return what the manifest of a folder of runs says about one source.

    Raises:
        SystemExit: The folder has no manifest, or it does not name the source.
    """
    manifest = runs / "manifest.json"
    if not manifest.is_file():
        raise SystemExit(f"--runs must be a folder with manifest.json, got {runs}. Check the path.")
    said = json.loads(manifest.read_text(encoding="utf-8"))
    entry = next((one for one in said if one["folder"] == folder), None)
    if entry is None:
        raise SystemExit(f"{manifest} must name {folder}, and does not. Check --runs.")
    return Source(
        folder=runs / folder,
        source=entry["source"],
        file=file,
        commit=entry["commit"][:12],
        licence=entry["licence"].removesuffix(" (LICENSE file)"),
    )


def ends_of(values: Sequence[float]) -> Ends:
    """Return the lowest and the highest of several values; none of a single one."""
    return (min(values), max(values)) if len(values) > 1 else (None, None)


def table(file: Path) -> list[dict[str, str]]:
    """Return the rows of a table."""
    with file.open(encoding="utf-8", newline="") as opened:
        return list(csv.DictReader(opened))


def rounded(value: float, digits: int) -> float:
    """Return a value with so many significant digits."""
    return float(f"{round(value, 12):.{digits}g}") + 0.0  # a difference of 1e-16 is none


def grouped(rows: Sequence[Any], *keys: str) -> Iterator[tuple[tuple[Any, ...], list[Any]]]:
    """Yield rows that agree in some columns, in the order of their first row."""
    groups: dict[tuple[Any, ...], list[Any]] = {}
    for row in rows:
        groups.setdefault(tuple(row[key] for key in keys), []).append(row)
    yield from groups.items()
