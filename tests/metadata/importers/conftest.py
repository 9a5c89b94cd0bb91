"""Take what an importer finds, and the report of it."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from metadata.importers.reading import runs_at
from metadata.importers.report import ImportReport, Intake
from metadata.importers.spec import Given
from metadata.records import Measurement, Run

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


@dataclass(frozen=True)
class Taken:
    """The runs of a source and the report."""

    runs: list[Run]
    report: ImportReport

    @property
    def only(self) -> Run:
        """Return the one run."""
        assert len(self.runs) == 1, self.report
        return self.runs[0]

    def values(self, name: str, split: str) -> list[float]:
        """Return what was measured under a name in the one run."""
        return values_of(self.only, name, split)


def values_of(run: Run, name: str, split: str) -> list[float]:
    """Return what was measured under a name."""
    points: tuple[Measurement, ...] = run.curve
    return [point.value for point in points if (point.name, point.split) == (name, split)]


@pytest.fixture
def take() -> Callable[..., Taken]:
    """Return a function that imports a path."""

    def taken(path: Path, importer: str | None = None, **given: Any) -> Taken:
        intake = Intake()
        found = runs_at(path, given=Given(**given), intake=intake, now=NOON, importer=importer)
        return Taken(list(found), intake.report())

    return taken
