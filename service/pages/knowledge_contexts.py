"""What the page of knowledge is given."""

from dataclasses import dataclass
from typing import ClassVar

from service.pages import forecast_charts
from service.pages.contexts import Row


@dataclass(frozen=True, kw_only=True)
class VersionLine:
    """One version; `activate` is empty where it is live already."""

    version: str
    link: str
    activate: str
    is_current: bool
    is_shipped: bool
    is_shown: bool
    runs: str
    datasets: str
    first: str
    fourth: str
    portfolio: str


@dataclass(frozen=True, kw_only=True)
class ListLine:
    """Mean regret of the best of the first so many of a list."""

    count: str
    ours: str
    portfolio: str
    ours_width: float
    portfolio_width: float


@dataclass(frozen=True, kw_only=True)
class KindLine:
    """What a question allows, how good the lists for it are, and what they stand on."""

    name: str
    datasets: str
    first: str
    fourth: str
    portfolio: str
    stands_on: str


@dataclass(frozen=True, kw_only=True)
class SourceLine:
    """Where evidence comes from, how much, and its part of all as the width of a bar."""

    name: str
    runs: str
    width: float


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a refit or a change of version came to."""

    title: str
    message: str
    is_problem: bool


@dataclass(frozen=True, kw_only=True)
class KnowledgePage:
    """What was learnt, how far it is to be believed, and what can be done about it."""

    template: ClassVar[str] = "knowledge.html"
    section: ClassVar[str] = "knowledge"

    title: str
    version: str
    is_current: bool
    figures: tuple[Row, ...]
    outcome: Outcome | None
    versions: tuple[VersionLine, ...]
    lists: tuple[ListLine, ...]
    kinds: tuple[KindLine, ...]
    truth: forecast_charts.SquareChart
    coverage: forecast_charts.SquareChart
    calibration: str
    sources: tuple[SourceLine, ...]
    new_runs: str
    is_fitting: bool
    json_link: str
    calibration_link: str
