"""Who plays leave-one-dataset-out: each turns one held-out pair into regrets at 1, 2, 4, ... runs.

Axes: K core configurations, Q list lengths.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from math import comb, log2

import numpy as np

from metadata.arrays import Booleans, Floats, Integers
from metadata.records import Configuration, Scalar
from metadata.surrogates.scenarios import best_so_far


@dataclass(frozen=True, kw_only=True)
class Round:
    """One held-out pair, and what players who saw only other datasets would try on it.

    Attributes:
        regret_K: Regret of each core configuration that was run on the pair.
        mean_K: Mean regret of each over the other datasets.
        portfolio: Columns in the order of the greedy portfolio of the other datasets.
        ours: Columns in our order.
        firsts: Where each rule of thumb begins.
        cost_K: Seconds of each over those of the default, where they are known.
    """

    regret_K: Floats
    mean_K: Floats
    portfolio: Integers
    ours: Integers
    firsts: Mapping[str, int] = field(default_factory=dict)
    cost_K: Floats | None = None


Player = Callable[[Round, Sequence[int]], Floats]


def play_random(game: Round, counts: Sequence[int]) -> Floats:
    """Draw without replacement: the expectation, exactly."""
    return np.array([expected_least(game.regret_K, count) for count in counts])


def play_rule(game: Round, counts: Sequence[int], *, rule: str) -> Floats:
    """Try what a rule of thumb says first, then draw at random."""
    first = game.firsts[rule]
    rest_K = np.minimum(np.delete(game.regret_K, first), game.regret_K[first])
    return np.array(
        [
            expected_least(rest_K, count - 1) if count > 1 else float(game.regret_K[first])
            for count in counts
        ]
    )


def play_best_average(game: Round, counts: Sequence[int]) -> Floats:
    """Go by mean regret over past tasks."""
    return best_so_far(game.regret_K, np.argsort(game.mean_K, kind="stable"), counts)


def play_portfolio(game: Round, counts: Sequence[int]) -> Floats:
    """Go by the greedy portfolio."""
    return best_so_far(game.regret_K, game.portfolio, counts)


def play_ours(game: Round, counts: Sequence[int]) -> Floats:
    """Go by the recommender."""
    return best_so_far(game.regret_K, game.ours, counts)


def players(rules: Iterable[str]) -> Mapping[str, Player]:
    """Return who plays, rules of thumb of these names among them."""
    return {
        "random": play_random,
        **{rule: partial(play_rule, rule=rule) for rule in rules},
        "best_average": play_best_average,
        "portfolio": play_portfolio,
        "ours": play_ours,
    }


def expected_least(regret_K: Floats, count: int) -> float:
    """Return the expected least of `count` draws without replacement."""
    ordered = np.sort(regret_K)
    drawn = min(count, len(ordered))
    ways = [comb(len(ordered) - 1 - place, drawn - 1) for place in range(len(ordered))]
    return float(np.dot(ways, ordered) / comb(len(ordered), drawn))


def nearest_configuration(wanted: Configuration, known: Sequence[Configuration]) -> int:
    """Return which known configuration is most like the wanted one, itself if it is there.

    Doublings apart are summed over the numbers, the learning rate twice; another method counts
    as ten doublings, another choice as three.
    """
    return int(np.argmin([_apart(wanted, one) for one in known]))


def _apart(one: Configuration, other: Configuration) -> float:
    apart = 10.0 * (one.method.name != other.method.name)
    apart += 3.0 * (one.target_modules != other.target_modules)
    apart += 3.0 * (one.optimizer.name != other.optimizer.name)
    apart += 1.0 * (one.schedule.name != other.schedule.name)
    apart += 2.0 * _doublings(one.optimizer.learning_rate, other.optimizer.learning_rate)
    apart += _doublings(one.epochs, other.epochs) + _doublings(one.batch_size, other.batch_size)
    values = other.method.values
    return apart + sum(
        _doublings(value, values.get(name)) for name, value in one.method.values.items()
    )


def _doublings(one: Scalar, other: Scalar) -> float:
    if isinstance(one, int | float) and isinstance(other, int | float) and min(one, other) > 0:
        return abs(log2(one / other))
    return float(one != other)


def available(regret_K: Floats) -> Booleans:
    """Say which core configurations were run on a pair."""
    return np.isfinite(regret_K)
