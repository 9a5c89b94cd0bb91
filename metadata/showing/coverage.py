"""What of the space of configurations was tried: each knob's values seen, against what it may be.

Ranges are those that the search draws from (`metadata.space`): a run may lie outside. The
learning rate is counted as a multiple of the usual rate of its method and optimizer on its model,
as the search does.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import log
from typing import Any

from metadata.browsing import Browser, View
from metadata.config_space import LARGEST_BATCH_LOG2, RATE_RATIO, SHARED, TARGETS
from metadata.exporting import configurations
from metadata.methods import METHODS
from metadata.optimizers import OPTIMIZERS, SCHEDULES
from metadata.parameters import Categorical, Float, Integer, Parameter
from metadata.priors import usual_rate
from metadata.records import ModelProfile
from metadata.showing.knobs import BLOCKS, NOT_KNOBS

SHOWN_VALUES = 20  # of a knob, the most frequent
RATE = "configuration.optimizer.learning_rate"
RATIO = "rate_ratio"
_WHOLE = "configuration."
_TABLES: Mapping[str, Mapping[str, Any]] = {
    "configuration.method.": METHODS,
    "configuration.optimizer.": OPTIMIZERS,
    "configuration.schedule.": SCHEDULES,
}
_SHARED: Mapping[str, Parameter] = {
    "configuration.batch_size": Integer(
        name="batch_size", lower=1, upper=2**LARGEST_BATCH_LOG2, default=8, log=True
    ),
    "configuration.epochs": next(one for one in SHARED if one.name == "epochs"),
    "configuration.schedule.warmup_fraction": next(
        one for one in SHARED if one.name == "warmup_fraction"
    ),
    "configuration.target_modules": Categorical(name="target_modules", choices=TARGETS),
    "configuration.method.name": Categorical(name="method", choices=tuple(METHODS)),
    "configuration.optimizer.name": Categorical(name="optimizer", choices=tuple(OPTIMIZERS)),
    "configuration.schedule.name": Categorical(name="schedule", choices=tuple(SCHEDULES)),
    RATIO: RATE_RATIO,
}


@dataclass(frozen=True, kw_only=True)
class KnobCoverage:
    """One knob: what was seen, what the space has, and the share of it that was covered.

    `entry` is the method, optimizer or schedule whose knob it is, None for one of all. Numbers
    have `low` and `high`, and what of the range between them the space has (by logarithm where
    the space is drawn so); choices have `unseen`. A knob that the space does not draw has neither
    range nor share.
    """

    name: str
    entry: str | None
    runs: int
    distinct: int
    low: float | None
    high: float | None
    space_low: float | None
    space_high: float | None
    is_log: bool
    values: dict[str, int]
    unseen: tuple[str, ...]
    share: float | None


@dataclass(kw_only=True)
class MethodCount:
    """How often a method was tried, failed, and was scored."""

    runs: int = 0
    failed: int = 0
    scored: int = 0


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """The knobs by name, the methods by how often they were tried, those never tried."""

    runs: int
    knobs: tuple[KnobCoverage, ...]
    methods: dict[str, MethodCount]
    untried_methods: tuple[str, ...]


_Places = dict[str, Counter[Any] | None]  # of the names in a block, where each is counted


@dataclass
class _Seen:
    counts: Counter[Any] = field(default_factory=Counter)

    def numbers(self) -> list[float]:
        return [
            float(value)
            for value in self.counts
            if isinstance(value, int | float) and not isinstance(value, bool)
        ]


class _AllSeen:
    """The values of many configurations, by knob and the entry whose own it is.

    Where a value is counted is found once for each block, entry and name: there are millions.
    """

    def __init__(self) -> None:
        self.by_knob: dict[tuple[str, str | None], _Seen] = defaultdict(_Seen)
        self._places: dict[tuple[str, str | None], _Places] = defaultdict(dict)

    def add(self, configuration: Mapping[str, Any]) -> None:
        self._count(_WHOLE, None, configuration)
        for block in BLOCKS:
            values = configuration[block.split(".")[1]]
            self._count(block, values["name"], values)

    def _count(self, block: str, entry: str | None, values: Mapping[str, Any]) -> None:
        places = self._places[block, entry]
        for name, value in values.items():
            if name not in places:
                places[name] = self._place(f"{block}{name}", entry)
            counts = places[name]
            if counts is not None and value is not None:
                counts[value] += 1

    def _place(self, name: str, entry: str | None) -> Counter[Any] | None:
        """Return where a knob is counted, None for what is no knob."""
        if name in NOT_KNOBS or f"{name}." in BLOCKS:
            return None
        is_own = name not in _SHARED and name != RATE
        return self.by_knob[name, entry if is_own else None].counts


def coverage(browser: Browser, view: View) -> Coverage:
    """Return what the runs of a view cover.

    Raises:
        BadFilter: The view cannot be read.
    """
    seen = _AllSeen()
    methods: dict[str, MethodCount] = defaultdict(MethodCount)
    rates = _UsualRates(browser, view)
    runs = 0
    names = ("model_id", "method", "state", "score")
    for configuration, model_id, method, state, score in configurations(browser, view, names):
        runs += 1
        one = methods[method]
        one.runs += 1
        one.failed += state != "succeeded"
        one.scored += score is not None
        seen.add(configuration)
        ratio = rates.ratio(configuration, model_id)
        if ratio is not None:
            seen.by_knob[RATIO, None].counts[ratio] += 1
    knobs = [_covered(name, entry, one) for (name, entry), one in seen.by_knob.items()]
    return Coverage(
        runs=runs,
        knobs=tuple(sorted(knobs, key=lambda knob: (knob.name, knob.entry or ""))),
        methods=dict(sorted(methods.items(), key=lambda item: (-item[1].runs, item[0]))),
        untried_methods=tuple(name for name in METHODS if name not in methods),
    )


class _UsualRates:
    """The usual learning rates of the models of a view."""

    def __init__(self, browser: Browser, view: View) -> None:
        last_runs = [run_id for _, _, run_id in browser.counted(view, ["model_id"])]
        self._models = {run.task.model.id: run.task.model for run in browser.some(last_runs)}
        self._known: dict[tuple[str, str, str], float | None] = {}

    def ratio(self, configuration: Mapping[str, Any], model_id: str) -> float | None:
        """Return the rate as a multiple of the usual one, three digits of it."""
        rate = configuration["optimizer"].get("learning_rate")
        key = (configuration["method"]["name"], configuration["optimizer"]["name"], model_id)
        if rate is None:
            return None
        if key not in self._known:
            self._known[key] = self._usual(*key, self._models.get(model_id))
        usual = self._known[key]
        return None if usual is None else float(f"{rate / usual:.3g}")

    def _usual(
        self, method: str, optimizer: str, _: str, model: ModelProfile | None
    ) -> float | None:
        if model is None or method not in METHODS or optimizer not in OPTIMIZERS:
            return None
        return usual_rate(method, optimizer, model)


def _covered(name: str, entry: str | None, seen: _Seen) -> KnobCoverage:
    parameter = _parameter(name, entry)
    numbers = seen.numbers()
    low, high = min(numbers, default=None), max(numbers, default=None)
    choices = parameter.choices if isinstance(parameter, Categorical) else ()
    unseen = tuple(_said(choice) for choice in choices if choice not in seen.counts)
    is_range = isinstance(parameter, Integer | Float)
    return KnobCoverage(
        name=name,
        entry=entry,
        runs=seen.counts.total(),
        distinct=len(seen.counts),
        low=low,
        high=high,
        space_low=float(parameter.lower) if isinstance(parameter, Integer | Float) else None,
        space_high=float(parameter.upper) if isinstance(parameter, Integer | Float) else None,
        is_log=parameter.log if isinstance(parameter, Integer | Float) else False,
        values={_said(value): count for value, count in seen.counts.most_common(SHOWN_VALUES)},
        unseen=unseen,
        share=(
            _share(parameter, low, high)
            if is_range
            else 1 - len(unseen) / len(choices)
            if choices
            else None
        ),
    )


def _parameter(name: str, entry: str | None) -> Parameter | None:
    if name in _SHARED:
        return _SHARED[name]
    own = name.rpartition(".")[2]
    return next(iter(_own_parameters(name, entry, own)), None)


def _own_parameters(name: str, entry: str | None, own: str) -> Iterator[Parameter]:
    for block, table in _TABLES.items():
        if name.startswith(block) and entry is not None and entry in table:
            yield from (one for one in table[entry].parameters if one.name == own)


def _share(parameter: Parameter | None, low: float | None, high: float | None) -> float | None:
    assert isinstance(parameter, Integer | Float)
    if low is None or high is None:
        return None
    if parameter.upper <= parameter.lower:
        return 1.0
    ends = (
        min(max(value, parameter.lower), parameter.upper)
        for value in (low, high, parameter.lower, parameter.upper)
    )
    first, last, start, end = (log(one) if parameter.log else float(one) for one in ends)
    return (last - first) / (end - start)


def _said(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
