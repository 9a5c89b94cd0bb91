"""The greedy portfolio: what worked best on average over past tasks, whatever the task.

It is the baseline to beat, and what every other list falls back to.

Axes: T past pairs, K core configurations, C candidates.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from metadata.arrays import Booleans, Floats, Integers
from metadata.errors import TooFewRuns
from metadata.features import TASK_FEATURES
from metadata.surrogates.distance import Distances, distances_by
from metadata.surrogates.scenarios import balance, fill, greedy
from metadata.surrogates.shrinkage import without_noise
from metadata.surrogates.spec import Candidates, Prediction, State, SurrogateSpec
from metadata.table import Table

MINIMUM_DATASETS = 4  # with fewer, what is left after leaving one out says nothing
TAIL = 0.05  # each end of a 90 % interval


@dataclass(frozen=True, kw_only=True)
class Scenarios:
    """The regrets of the core over past pairs, and where those pairs lie.

    Attributes:
        keys: Relative keys of the core, K.
        regret_TK: Regret, NaN where a configuration was not run.
        group_T: The fold of each pair.
        task_TT: Task features of each pair.
        task_names: Their names.
    """

    keys: tuple[str, ...]
    regret_TK: Floats
    group_T: Integers
    task_TT: Floats
    task_names: tuple[str, ...] = TASK_FEATURES

    def take(self, rows_T: Booleans) -> "Scenarios":
        """Return some of the pairs."""
        return replace(
            self,
            regret_TK=self.regret_TK[rows_T],
            group_T=self.group_T[rows_T],
            task_TT=self.task_TT[rows_T],
        )

    def filled(self, keys: Sequence[str]) -> Floats:
        """Return regrets without gaps of any configurations, T x C.

        What was not run gets its configuration's mean; one that is not in the core, that of all.
        """
        place = {key: column for column, key in enumerate(self.keys)}
        strange_T1 = np.full((len(self.group_T), 1), np.nan)
        filled_TC = fill(np.hstack([self.regret_TK, strange_T1]), balance(self.group_T))
        return filled_TC[:, [place.get(key, -1) for key in keys]]

    @cached_property
    def lasting(self) -> Floats:
        """Return regrets without gaps as they would be again, T x K: means stay, noise goes."""
        weight_T = balance(self.group_T)
        return without_noise(fill(self.regret_TK, weight_T), weight_T)

    @cached_property
    def columns(self) -> Mapping[str, int]:
        """Return the columns by key; those that were run."""
        ran_K = np.isfinite(self.regret_TK).sum(axis=0) > 0
        return {key: column for column, key in enumerate(self.keys) if ran_K[column]}

    @cached_property
    def distances(self) -> Distances:
        """Return distances to these pairs by what describes model and data."""
        return distances_by(self.task_names, self.task_TT, self.group_T)


def scenarios_of(table: Table) -> Scenarios:
    """Return the core's regrets of a table, in the pairs where regret is defined.

    Raises:
        TooFewRuns: Fewer than four datasets have a core to compare.
    """
    pairs = table.usable
    groups = np.unique(table.group_P[pairs])
    if len(groups) < MINIMUM_DATASETS:
        raise TooFewRuns(
            f"Learning needs a core of configurations run on at least {MINIMUM_DATASETS} "
            f"datasets that tell them apart, got {len(groups)} ({len(table.dropped)} pairs were "
            "dropped). Run `python -m training_worker campaign` on more datasets, or import runs."
        )
    return Scenarios(
        keys=tuple(table.keys[key] for key in table.core_keys),
        regret_TK=table.core_regret[pairs],
        group_T=table.group_P[pairs],
        task_TT=table.task_PT[pairs],
        task_names=table.names.of_task,
    )


@dataclass(frozen=True, kw_only=True)
class Portfolio:
    """Mean regret of each core configuration; of others, that of the core as a whole."""

    scenarios: Scenarios

    def order(self, *, count: int) -> Integers:
        """Return the portfolio, columns of the core in the order to try them."""
        weight_T = balance(self.scenarios.group_T)
        return greedy(fill(self.scenarios.regret_TK, weight_T), weight_T, count=count)

    def forecast(self, candidates: Candidates) -> Prediction:
        """Forecast regret by what each candidate did on average."""
        regret_TK, weight_T = self.scenarios.regret_TK, balance(self.scenarios.group_T)
        filled_TK = fill(regret_TK, weight_T)
        sides = {
            key: (weight_T @ filled_TK[:, k], *_ends(regret_TK[:, k]))
            for k, key in enumerate(self.scenarios.keys)
        }
        other = (float(weight_T @ filled_TK.mean(axis=1)), *_ends(regret_TK))
        expected_C, low_C, high_C = np.array([sides.get(key, other) for key in candidates.keys]).T
        return Prediction(expected_C=expected_C, low_C=low_C, high_C=high_C)

    def state(self) -> State:
        """Return the scenarios."""
        return scenarios_state(self.scenarios)


def _ends(regret: Floats) -> tuple[float, float]:
    low, high = np.nanquantile(regret, (TAIL, 1.0 - TAIL))
    return float(low), float(high)


def scenarios_state(scenarios: Scenarios) -> State:
    """Return scenarios as data."""
    return State(
        values={"keys": list(scenarios.keys)},
        arrays={
            "regret_TK": scenarios.regret_TK,
            "group_T": scenarios.group_T,
            "task_TT": scenarios.task_TT,
        },
    )


def restore_scenarios(state: State) -> Scenarios:
    """Return the scenarios of a state."""
    return Scenarios(
        keys=tuple(state.values["keys"]),
        regret_TK=state.arrays["regret_TK"],
        group_T=state.arrays["group_T"],
        task_TT=state.arrays["task_TT"],
    )


def fit(table: Table, seed: int) -> Portfolio:
    """Take the scenarios of a table; there is nothing random in it."""
    del seed
    return Portfolio(scenarios=scenarios_of(table))


def restore(state: State) -> Portfolio:
    """Return the portfolio that a state was taken from."""
    return Portfolio(scenarios=restore_scenarios(state))


SPEC = SurrogateSpec(
    name="portfolio",
    title="greedy portfolio",
    predicts="regret",
    fit=fit,
    restore=restore,
    paper="Xu, Hoos, Leyton-Brown (AAAI 2010)",
)
