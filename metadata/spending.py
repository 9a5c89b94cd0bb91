"""What players have found once so much time is spent, rather than after so many runs.

Time is told in units of one run of the default. All go through their lists alike: what no longer
fits in the time that is left is passed over, as anyone would who has a forecast.

Axes: K core configurations, C rows of a pair, B budgets.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from metadata.arrays import Floats, Integers
from metadata.players import Round
from metadata.records import Run
from metadata.regret import WORST_REGRET
from metadata.surrogates.time import alone_seconds
from metadata.table import Table

BUDGETS = (1, 2, 4, 8, 16)  # runs of the default
SHUFFLES = 200  # of what a player tries at random
SLACK = 1e-9


def costs_of(table: Table, rows: Integers, default: int) -> Floats | None:
    """Return the seconds of each row over those of the default; without a time it is the median."""
    if not table.rows:  # of another make, whose costs are not kept
        return None
    seconds_C = np.array([_seconds(table.rows[row]) for row in rows])
    known_C = seconds_C > 0  # what failed before its first step has a time of 0
    if not known_C.any():
        return None
    seconds_C[~known_C] = np.median(seconds_C[known_C])
    costs_C: Floats = seconds_C / seconds_C[default]
    return costs_C


def _seconds(runs: Sequence[Run]) -> float:
    seconds = [alone_seconds(run.costs, run.task.device) for run in runs if run.costs]
    return min(seconds, default=np.nan)


def spend(game: Round, budgets: Sequence[int] = BUDGETS) -> dict[str, Floats]:
    """Return each player's mean regret within each budget, B; empty where no cost is known."""
    if game.cost_K is None:
        return {}
    return {
        name: np.mean([best_within(game, order, budgets) for order in orders], axis=0)
        for name, orders in _orders(game).items()
    }


def best_within(game: Round, order: Sequence[int] | Integers, budgets: Sequence[int]) -> Floats:
    """Return the least regret of what an order tries within each budget, B.

    Where nothing fits it is that of a failure.
    """
    assert game.cost_K is not None
    tried = list(zip(game.cost_K[order].tolist(), game.regret_K[order].tolist(), strict=True))
    found = []
    for budget in budgets:
        left, best = budget + SLACK, WORST_REGRET
        for cost, regret in tried:
            if cost <= left:
                left, best = left - cost, min(best, regret)
        found.append(best)
    return np.array(found)


def _orders(game: Round) -> Mapping[str, Sequence[Integers]]:
    rng = np.random.default_rng(0)
    random = [rng.permutation(len(game.regret_K)) for _ in range(SHUFFLES)]
    return {
        "random": random,
        **{
            rule: [np.concatenate([[first], order[order != first]]) for order in random]
            for rule, first in game.firsts.items()
        },
        "best_average": [np.argsort(game.mean_K, kind="stable")],
        "portfolio": [game.portfolio],
        "ours": [game.ours],
    }
