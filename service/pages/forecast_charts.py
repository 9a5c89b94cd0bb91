"""The geometry of forecasts held against what happened, in the units of each view box."""

from collections.abc import Sequence
from dataclasses import dataclass

from service import wording
from service.pages.charts import Tick

BAR_WIDTH = 200.0
SIDE = 320.0  # of a square chart
_LEFT, _RIGHT, _TOP, _BOTTOM = 46.0, 14.0, 12.0, 44.0
_ROOM = 1.08  # beyond the largest value, so that its mark is whole


@dataclass(frozen=True, kw_only=True)
class ForecastBar:
    """An interval on a line from 0, where it is expected, and what was observed, None so far."""

    start: float
    width: float
    expected: float
    observed: float | None
    label: str


@dataclass(frozen=True, kw_only=True)
class Mark:
    """A point with the range around it, and what it says in words."""

    x: float
    y: float
    low: float
    high: float
    words: str


@dataclass(frozen=True, kw_only=True)
class SquareChart:
    """Two quantities that should be the same: on the diagonal they are."""

    title: str
    x_title: str
    y_title: str
    marks: tuple[Mark, ...]
    has_ranges: bool
    line: str
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    diagonal: tuple[float, float, float, float]
    left: float = _LEFT
    right: float = SIDE - _RIGHT
    top: float = _TOP
    bottom: float = SIDE - _BOTTOM
    width: float = SIDE
    height: float = SIDE


@dataclass(frozen=True, kw_only=True)
class Point:
    """What a mark stands for, in the units of its axes."""

    x: float
    y: float
    low: float
    high: float
    words: str


def forecast_bar(
    low: float, expected: float, high: float, *, observed: float | None, label: str
) -> ForecastBar:
    """Place an interval and what was observed on a line from 0 to the larger of both."""
    largest = max(high, observed or 0.0) * _ROOM or 1.0
    start, middle, end = (_along(value, largest) for value in (low, expected, high))
    return ForecastBar(
        start=start,
        width=round(max(end - start, 2.0), 2),
        expected=middle,
        observed=None if observed is None else _along(observed, largest),
        label=label,
    )


def square_chart(
    points: Sequence[Point],
    ticks: Sequence[float],
    *,
    title: str,
    axes: tuple[str, str],
    has_ranges: bool,
    in_percent: bool = False,
) -> SquareChart:
    """Draw points over the same axis twice, from the first tick to the last."""
    ends = ticks[0], ticks[-1]
    labels = [f"{100 * one:.0f} %" if in_percent else wording.decimal(one, 1) for one in ticks]
    marks = tuple(
        Mark(
            x=_x(point.x, ends),
            y=_y(point.y, ends),
            low=_y(point.low, ends),
            high=_y(point.high, ends),
            words=point.words,
        )
        for point in points
    )
    return SquareChart(
        title=title,
        x_title=axes[0],
        y_title=axes[1],
        marks=marks,
        has_ranges=has_ranges,
        line=" ".join(f"{mark.x},{mark.y}" for mark in marks),
        x_ticks=tuple(
            Tick(at=_x(one, ends), label=label) for one, label in zip(ticks, labels, strict=True)
        ),
        y_ticks=tuple(
            Tick(at=_y(one, ends), label=label) for one, label in zip(ticks, labels, strict=True)
        ),
        diagonal=(_x(ends[0], ends), _y(ends[0], ends), _x(ends[1], ends), _y(ends[1], ends)),
    )


def _along(value: float, largest: float) -> float:
    return round(BAR_WIDTH * min(max(value / largest, 0.0), 1.0), 2)


def _share(value: float, ends: tuple[float, float]) -> float:
    return min(max((value - ends[0]) / (ends[1] - ends[0]), 0.0), 1.0)


def _x(value: float, ends: tuple[float, float]) -> float:
    return round(_LEFT + _share(value, ends) * (SIDE - _LEFT - _RIGHT), 2)


def _y(value: float, ends: tuple[float, float]) -> float:
    return round(SIDE - _BOTTOM - _share(value, ends) * (SIDE - _TOP - _BOTTOM), 2)
