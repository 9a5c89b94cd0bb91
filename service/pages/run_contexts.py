"""What the pages of past runs are given."""

from dataclasses import dataclass
from typing import ClassVar

from service.pages import charts
from service.pages.contexts import Group, Problem, Row


@dataclass(frozen=True, kw_only=True)
class RunLine:
    """One run in the table."""

    link: str
    dataset: str
    model: str
    method: str
    values: str
    rate: str
    state: str
    state_kind: str
    score: str
    time: str
    created: str
    created_iso: str


@dataclass(frozen=True, kw_only=True)
class RunFilters:
    """The filters as they were typed."""

    state: str = ""
    method: str = ""
    dataset: str = ""
    model: str = ""


@dataclass(frozen=True, kw_only=True)
class RunsPage:
    """The table of past runs."""

    template: ClassVar[str] = "runs.html"
    section: ClassVar[str] = "runs"

    title: str
    filters: RunFilters
    states: tuple[Row, ...]
    methods: tuple[Group, ...]
    lines: tuple[RunLine, ...]
    total: str
    first_link: str
    next_link: str
    problem: Problem | None = None

    @property
    def is_filtered(self) -> bool:
        """Say whether anything is left out."""
        return self.filters != RunFilters()


@dataclass(frozen=True, kw_only=True)
class RunPage:
    """One run with its curve and all its values."""

    template: ClassVar[str] = "run.html"
    section: ClassVar[str] = "runs"

    title: str
    id: str
    sentence: str
    state: str
    state_kind: str
    reason: str
    figures: tuple[Row, ...]
    chart: charts.CurveChart | None
    points: tuple[tuple[str, str, str, str], ...]
    groups: tuple[Group, ...]
    json_link: str
