"""The geometry of the charts, in the units of each SVG's view box; templates only draw it."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor, isfinite, log10

from metadata.records import Measurement
from service import wording

BAR_WIDTH = 200.0
CURVE_WIDTH, CURVE_HEIGHT = 720.0, 300.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 52.0, 16.0, 14.0, 34.0
_TICKS = 5
_NAMES = {"train": "training", "validation": "validation", "test": "test"}


@dataclass(frozen=True, kw_only=True)
class IntervalBar:
    """A forecast on a line: where its interval starts, how wide it is, where it is expected."""

    start: float
    width: float
    expected: float
    median: float
    label: str


@dataclass(frozen=True, kw_only=True)
class EffectBar:
    """A change left or right of the middle, as start and width."""

    start: float
    width: float
    helps: bool


@dataclass(frozen=True, kw_only=True)
class Tick:
    """A labelled place on an axis."""

    at: float
    label: str


@dataclass(frozen=True, kw_only=True)
class Line:
    """One learning curve."""

    name: str
    split: str
    points: str
    dots: tuple[tuple[float, float], ...]


@dataclass(frozen=True, kw_only=True)
class CurveChart:
    """Losses over optimizer steps."""

    title: str
    lines: tuple[Line, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    left: float = _LEFT
    right: float = CURVE_WIDTH - _RIGHT
    top: float = _TOP
    bottom: float = CURVE_HEIGHT - _BOTTOM
    width: float = CURVE_WIDTH
    height: float = CURVE_HEIGHT


def interval_bar(expected: float, low: float, high: float, *, largest: float) -> IntervalBar:
    """Place a regret with its interval on a line from 0 to `largest`."""
    start, middle, end = (_along(v, largest) for v in (low, expected, high))
    return IntervalBar(
        start=start,
        width=round(max(end - start, 2.0), 2),
        expected=middle,
        median=_along(1.0, largest),
        label=f"expected {wording.decimal(expected)}, "
        f"90 % interval {wording.decimal(low)} to {wording.decimal(high)}",
    )


def effect_bar(change: float, *, largest: float) -> EffectBar:
    """Place a change of regret beside the middle; left of it helps."""
    half = BAR_WIDTH / 2
    length = round(half * min(abs(change) / largest, 1.0), 2) if largest > 0 else 0.0
    return EffectBar(start=half - length if change < 0 else half, width=length, helps=change < 0)


def curve_chart(curve: Sequence[Measurement], *, name: str, title: str) -> CurveChart | None:
    """Draw one measurement of a run over its steps, a line for each split; None without points.

    The test split is measured once, at the end, so it is a figure and no line.
    """
    points = [m for m in curve if m.name == name and m.split != "test" and isfinite(m.value)]
    if not points:
        return None
    steps = _nice_ticks(0, max(m.step for m in points))
    values = _nice_ticks(min(m.value for m in points), max(m.value for m in points))
    return CurveChart(
        title=title,
        lines=tuple(
            _line([m for m in points if m.split == split], split, steps, values)
            for split in ("train", "validation")
            if any(m.split == split for m in points)
        ),
        x_ticks=tuple(Tick(at=_x(s, steps), label=f"{s:,.0f}") for s in steps),
        y_ticks=tuple(Tick(at=_y(v, values), label=f"{v:.3g}") for v in values),
    )


def _line(
    points: Sequence[Measurement], split: str, steps: Sequence[float], values: Sequence[float]
) -> Line:
    places = tuple(
        (_x(m.step, steps), _y(m.value, values)) for m in sorted(points, key=lambda m: m.step)
    )
    return Line(
        name=_NAMES[split],
        split=split,
        points=" ".join(f"{x},{y}" for x, y in places),
        dots=places if len(places) <= 40 else (),
    )


def _along(value: float, largest: float) -> float:
    return round(BAR_WIDTH * min(max(value / largest, 0.0), 1.0), 2)


def _x(step: float, ticks: Sequence[float]) -> float:
    share = step / (ticks[-1] or 1.0)
    return round(_LEFT + share * (CURVE_WIDTH - _LEFT - _RIGHT), 2)


def _y(value: float, ticks: Sequence[float]) -> float:
    share = (value - ticks[0]) / ((ticks[-1] - ticks[0]) or 1.0)
    return round(CURVE_HEIGHT - _BOTTOM - share * (CURVE_HEIGHT - _TOP - _BOTTOM), 2)


def _nice_ticks(low: float, high: float) -> tuple[float, ...]:
    """Cover [low, high] with about five steps of 1, 2 or 5 times a power of ten."""
    span = (high - low) or abs(high) or 1.0
    power = 10.0 ** floor(log10(span / _TICKS))
    step = next(power * f for f in (1, 2, 5, 10) if power * f >= span / _TICKS)
    first, last = floor(low / step), max(ceil(high / step), floor(low / step) + 1)
    return tuple(round(i * step, 10) for i in range(first, last + 1))
