"""Kinds of question: everything allowed, adapters only, or half the memory or time of a usual run.

A restricted table is the same runs, their regret among what is allowed: 0 for the best of those, 1
for their median.

Axes: N rows, P pairs.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Literal, get_args

import numpy as np

from metadata.arrays import Booleans
from metadata.regret import regrets
from metadata.table import Dropped, Table

Kind = Literal["free", "peft", "memory", "time"]
KINDS: tuple[Kind, ...] = get_args(Kind)


def restrict(table: Table, kind: Kind) -> Table:
    """Return a table in which regret is among what a kind of question allows, NaN elsewhere."""
    if kind == "free":
        return table
    allowed_N = ALLOWED[kind](table)
    regret_N, spread_P, reasons = regrets(
        np.where(allowed_N, table.score_N, np.nan),
        table.failed_N,
        table.pair_N,
        table.core_N & allowed_N,
        table.noise_P,
        core_count=0,
    )
    told = {pair.pair for pair in table.dropped}
    usable_N = np.isin(table.pair_N, table.usable)
    return replace(
        table,
        regret_N=np.where(allowed_N & usable_N, regret_N, np.nan),
        spread_P=spread_P,
        dropped=(
            *table.dropped,
            *(
                Dropped(
                    pair=task.pair, dataset=task.dataset.name, model=task.model.id, reason=reason
                )
                for task, reason in ((table.tasks[pair], why) for pair, why in reasons.items())
                if task.pair not in told
            ),
        ),
    )


def _without_full(table: Table) -> Booleans:
    return np.array([one.method.name != "full" for one in table.configurations])


def _within(cost: Literal["peak_tensor_bytes", "train_cpu_seconds"]) -> Callable[[Table], Booleans]:
    """Allow what costs no more than the median core row of its pair; what failed costs too much."""

    def allowed(table: Table) -> Booleans:
        cost_N = np.array(
            [
                min((getattr(run.costs, cost) for run in row if run.costs), default=np.inf)
                for row in table.rows
            ]
        )
        usual_P = np.full(len(table.tasks), np.inf)
        for pair in np.unique(table.pair_N[table.core_N]):
            usual_P[pair] = np.median(cost_N[(table.pair_N == pair) & table.core_N])
        within_N: Booleans = cost_N <= usual_P[table.pair_N]
        return within_N

    return allowed


ALLOWED: Mapping[Kind, Callable[[Table], Booleans]] = {
    "peft": _without_full,
    "memory": _within("peak_tensor_bytes"),
    "time": _within("train_cpu_seconds"),
}
