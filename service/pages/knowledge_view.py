"""From versions of knowledge to what their page shows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from metadata.kinds import Kind
from metadata.knowledge import Knowledge
from service import wording
from service.pages import contexts, urls
from service.pages.forecast_charts import Point, SquareChart, square_chart
from service.pages.knowledge_contexts import (
    KindLine,
    KnowledgePage,
    ListLine,
    Outcome,
    SourceLine,
    VersionLine,
)
from service.recommender.calibration import Calibration
from service.recommender.schemas import HeldOut, HeldOutKind, KnowledgeVersion

BAR_WIDTH = 100.0
REGRETS = (0.0, 0.5, 1.0, 1.5, 2.0)
SHARES = (0.4, 0.6, 0.8, 1.0)
SOURCES = {
    "campaign": "Shipped campaign",
    "worker": "Trained here",
}


@dataclass(frozen=True, kw_only=True)
class KnowledgeSeen:
    """All that the page looks at; `runs` are recorded now, learnt from or not."""

    shown: Knowledge
    calibration: Calibration
    versions: Sequence[KnowledgeVersion]
    current: str
    runs: int
    is_fitting: bool
    outcome: Outcome | None = None


def view_knowledge(seen: KnowledgeSeen) -> KnowledgePage:
    """Return the page of one version, beside all others."""
    described = next(one for one in seen.versions if one.version == seen.shown.version)
    new = seen.runs - described.runs
    return KnowledgePage(
        title="What was learnt",
        version=described.version,
        is_current=described.is_current,
        figures=contexts.rows(*_figures(described)),
        outcome=seen.outcome,
        versions=tuple(_version(one, shown=described.version) for one in seen.versions),
        lists=_lists(described.held_out),
        kinds=tuple(_kind(name, one) for name, one in described.held_out.kinds.items()),
        truth=_truth(seen.calibration),
        coverage=_coverage(seen.calibration),
        calibration=_sentence(seen.calibration),
        sources=_sources(seen.shown.created_from.get("sources", {})),
        new_runs=f"{new:,}" if new > 0 else "",
        is_fitting=seen.is_fitting,
        json_link=urls.knowledge_json(),
        calibration_link=urls.calibration_json(described.version),
    )


def _figures(version: KnowledgeVersion) -> list[tuple[str, str]]:
    return [
        ("Runs", f"{version.runs:,}"),
        ("Datasets", f"{version.datasets:,}"),
        ("Tasks", f"{version.tasks:,}"),
        ("Base models", f"{len(version.models):,}"),
        ("Regret of the first answer", wording.decimal(version.held_out.ours.get("1"))),
    ]


def _version(one: KnowledgeVersion, *, shown: str) -> VersionLine:
    ours = one.held_out.ours
    return VersionLine(
        version=one.version,
        link=urls.knowledge(one.version),
        activate="" if one.is_current else urls.activate(one.version),
        is_current=one.is_current,
        is_shipped=one.is_shipped,
        is_shown=one.version == shown,
        runs=f"{one.runs:,}",
        datasets=f"{one.held_out.datasets:,}",
        first=wording.decimal(ours.get("1"), 3),
        fourth=wording.decimal(ours.get("4"), 3),
        portfolio=wording.decimal(one.held_out.portfolio.get("1"), 3),
    )


def _lists(held_out: HeldOut) -> tuple[ListLine, ...]:
    counts = sorted(held_out.ours, key=int)
    largest = max([*held_out.ours.values(), *held_out.portfolio.values(), 1e-9])
    return tuple(
        ListLine(
            count=count,
            ours=wording.decimal(held_out.ours[count], 3),
            portfolio=wording.decimal(held_out.portfolio.get(count), 3),
            ours_width=round(BAR_WIDTH * held_out.ours[count] / largest, 2),
            portfolio_width=round(BAR_WIDTH * held_out.portfolio.get(count, 0.0) / largest, 2),
        )
        for count in counts
    )


def _kind(name: Kind, one: HeldOutKind) -> KindLine:
    return KindLine(
        name=wording.kind(name),
        datasets=f"{one.datasets:,}",
        first=wording.decimal(one.ours.get("1"), 3),
        fourth=wording.decimal(one.ours.get("4"), 3),
        portfolio=wording.decimal(one.portfolio.get("1"), 3),
        stands_on=f"the portfolio and {one.trust:.0%} of what was learnt"
        if one.trust
        else "the portfolio alone",
    )


def _truth(found: Calibration) -> SquareChart:
    points = [
        Point(
            x=one.forecast,
            y=one.observed,
            low=one.low,
            high=one.high,
            words=f"forecast {wording.decimal(one.forecast)}, true {wording.decimal(one.observed)}"
            f" on average of {one.count:,}, most between {wording.decimal(one.low)} and "
            f"{wording.decimal(one.high)}",
        )
        for one in found.bins
    ]
    axes = "Forecast regret", "True regret"
    return square_chart(points, REGRETS, title="Forecast and truth", axes=axes, has_ranges=True)


def _coverage(found: Calibration) -> SquareChart:
    points = [
        Point(
            x=one.level,
            y=one.observed,
            low=one.observed,
            high=one.observed,
            words=f"intervals for {100 * one.level:.0f} % held {100 * one.observed:.1f} %",
        )
        for one in found.coverage
    ]
    return square_chart(
        points,
        SHARES,
        title="Intervals",
        axes=("Should hold", "Held"),
        has_ranges=False,
        in_percent=True,
    )


def _sentence(found: Calibration) -> str:
    return (
        f"{found.count:,} forecasts on {found.datasets} datasets, each left out in turn: what the "
        f"other datasets say of a configuration, held against what was true. They miss by "
        f"{wording.decimal(found.mean_miss)} on average. On the diagonal, forecasts are true and "
        "intervals hold what they should."
    )


def _sources(counts: Mapping[str, int]) -> tuple[SourceLine, ...]:
    largest = max(counts.values(), default=0) or 1
    ordered = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    return tuple(
        SourceLine(
            name=SOURCES.get(name, wording.capitalised(name.replace("_", " "))),
            runs=f"{count:,}",
            width=round(BAR_WIDTH * count / largest, 2),
        )
        for name, count in ordered
    )
