"""Order the candidates that fit, by what is wanted.

- `quality`: the least expected regret.
- `balanced`: ten times the training time has to buy `REGRET_PER_TENFOLD` less regret.
- `cheapest`: the least training time among those within `cheapest_within` of the least regret.

A nat that is forgotten of the base's own text costs `forgetting_weight` nats of quality; that lifts
nothing which is expected to learn less than the median configuration of the core.

The first is the best by its objective; the list is then chosen to be good *and* different, as the
best of several tries is what counts. Axes: C candidates, B those that fit, Q = regret, seconds,
bytes.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from metadata.arrays import Booleans, Floats
from metadata.kinds import Kind
from metadata.knowledge import Forecast, Knowledge
from metadata.methods import METHODS
from metadata.records import Configuration
from metadata.regret import MEDIAN_REGRET
from service.recommender.fitting import Planned
from service.recommender.question import Question
from service.recommender.schemas import Exclusion

REGRET_PER_TENFOLD = 0.15  # regret: a doubled time has to buy 0.045
LOOKED_AT = 4  # times the count: some of what is picked is too like the rest
LONGEST_FRONT = 20  # points: what a table shows at a glance
ALIKE_TIMES = 2.0  # rank, rate, batch and epochs that differ by less make no different list


def rank(
    question: Question,
    candidates: list[Planned],
    forecast: Forecast,
    fits_C: Booleans,
    known: Knowledge,
    *,
    kind: Kind = "free",
) -> list[int]:
    """Return at most `question.count` rows of C that fit, best first."""
    rows_B = np.flatnonzero(fits_C)
    fitting = _less_forgotten(forecast.take(rows_B), question.forgetting_weight, known)
    if question.objective == "cheapest":
        kept = np.flatnonzero(_given_away(fitting) <= question.cheapest_within)
        rows_B, fitting = rows_B[kept], _by_seconds(fitting.take(kept))
    elif question.objective == "balanced":
        fitting = _traded(fitting)
    configurations = [candidates[row].configuration for row in rows_B]
    enough = min(LOOKED_AT * question.count, len(rows_B))
    picked = known.pick(fitting, count=enough, kind=kind)
    order = _unlike_first(picked, configurations)
    return [int(rows_B[row]) for row in order[: question.count]]


def beyond_margin(
    question: Question, forecast: Forecast, fits_C: Booleans, known: Knowledge
) -> list[Exclusion]:
    """Say how many that fit the cheapest was not looked for among, as an exclusion."""
    if question.objective != "cheapest":
        return []
    fitting = forecast.take(np.flatnonzero(fits_C))
    given_B = _given_away(_less_forgotten(fitting, question.forgetting_weight, known))
    left_B = given_B[given_B > question.cheapest_within]
    if not left_B.size:
        return []
    return [
        Exclusion(
            rule=f"regret within {question.cheapest_within:g} of the least, for the cheapest",
            count=left_B.size,
            next_step=f"The nearest of them gives away {left_B.min():.3g}. "
            "Raise cheapest_within to let more in.",
        )
    ]


def _given_away(fitting: Forecast) -> Floats:
    given_B: Floats = fitting.regret - fitting.regret.min()
    return given_B


def _unlike_first(picked: Sequence[int], configurations: Sequence[Configuration]) -> list[int]:
    """Return the rows in order, those much like an earlier one after all others."""
    unlike: list[int] = []
    for row in picked:
        if not any(_are_alike(configurations[row], configurations[other]) for other in unlike):
            unlike.append(row)
    return [*unlike, *(row for row in picked if row not in unlike)]


def _are_alike(one: Configuration, other: Configuration) -> bool:
    """Say whether two configurations differ in small steps only."""
    if _kind(one) != _kind(other):
        return False
    pairs = zip(_sizes(one), _sizes(other), strict=True)
    return all(max(a, b) < ALIKE_TIMES * min(a, b) for a, b in pairs)


def _kind(configuration: Configuration) -> tuple[str, ...]:
    spec = METHODS[configuration.method.name]
    target = configuration.target_modules if spec.uses_target_modules else ""
    return configuration.method.name, target, configuration.optimizer.name


def _sizes(configuration: Configuration) -> tuple[float, ...]:
    rank = configuration.method.values.get("r")
    return (
        float(rank) if isinstance(rank, int) else 1.0,
        configuration.optimizer.learning_rate or 1.0,
        float(configuration.batch_size),
        configuration.epochs,
    )


def is_pareto(forecast: Forecast, fits_C: Booleans) -> Booleans:
    """Say which candidates that fit are beaten by no other in regret, seconds and bytes."""
    cost_CQ = np.stack([forecast.regret, forecast.seconds, forecast.bytes], axis=1)
    no_worse_CC = (cost_CQ[:, None] <= cost_CQ[None]).all(axis=2)
    better_CC = (cost_CQ[:, None] < cost_CQ[None]).any(axis=2)
    beaten_C = (no_worse_CC & better_CC & fits_C[:, None]).any(axis=0)
    return fits_C & ~beaten_C


def front(forecast: Forecast, pareto_C: Booleans) -> list[int]:
    """Return the rows of the Pareto front, the fastest first.

    Of more than `LONGEST_FRONT` every so many-th is taken, the first and the last among them.
    """
    rows_B = np.flatnonzero(pareto_C)
    ordered_B = rows_B[np.argsort(forecast.seconds[rows_B], kind="stable")]
    count = min(LONGEST_FRONT, len(ordered_B))
    kept = np.linspace(0, len(ordered_B) - 1, count).round().astype(int)
    return [int(row) for row in ordered_B[kept]]


def _less_forgotten(forecast: Forecast, weight: float, known: Knowledge) -> Forecast:
    if not weight:
        return forecast
    lost = forecast.forgotten - forecast.forgotten.min()
    price = weight * lost / known.nats_of_regret
    # Regret ends at 2: of what learns little or nothing it no longer says how much that costs.
    return _shifted(forecast, np.where(forecast.regret < MEDIAN_REGRET, price, price.max()))


def _traded(forecast: Forecast) -> Forecast:
    price = REGRET_PER_TENFOLD * np.log10(forecast.seconds / forecast.seconds.min())
    return _shifted(forecast, price)


def _by_seconds(forecast: Forecast) -> Forecast:
    price = np.log10(forecast.seconds / forecast.seconds.min()) - forecast.regret
    return _shifted(forecast, price)


def _shifted(forecast: Forecast, price: Floats) -> Forecast:
    return replace(
        forecast,
        regret=forecast.regret + price,
        regret_low=forecast.regret_low + price,
        regret_high=forecast.regret_high + price,
    )
