"""What each kind of question is learnt from: the same rows and models, judged among what it allows.

Axes: N rows, T past pairs, K core configurations.
"""

from dataclasses import dataclass

import numpy as np

from metadata.arrays import Booleans, Floats, Integers
from metadata.surrogates.leanings import Trial, try_leanings
from metadata.surrogates.lessons import Lessons
from metadata.surrogates.portfolio import Scenarios, scenarios_of
from metadata.table import Table


@dataclass(frozen=True, kw_only=True)
class Ground:
    """Rows of one kind of question, and what models said that could not know them.

    Attributes:
        lessons: The rows, their regret among what is allowed.
        scenarios: The pairs.
        scale: What a unit of regret among all that was run is here, the median over pairs.
        average_N: Regret by models that never saw the row's dataset, from its configuration alone.
        trial: What leanings said of datasets left out.
        shift_N: What its task changes, by leanings that never saw its dataset; 0 outside the core.
        strange_N: Regret by models that never saw the row's configuration.
        pair_N: Row of `scenarios`.
        column_N: Column of its core; -1 for configurations outside the core.
    """

    lessons: Lessons
    scenarios: Scenarios
    scale: float
    average_N: Floats
    trial: Trial
    shift_N: Floats
    strange_N: Floats
    pair_N: Integers
    column_N: Integers


@dataclass(frozen=True, kw_only=True)
class Heard:
    """What models said of every row of `lessons` that they could not know."""

    lessons: Lessons
    average_N: Floats
    strange_N: Floats


def ground_of(table: Table, allowed: Table, heard: Heard) -> Ground:
    """Return what a kind of question is learnt from.

    Args:
        table: All runs.
        allowed: The same rows with their regret among what the kind allows.
        heard: Of the rows of `table` whose regret is defined.

    Raises:
        TooFewRuns: Too few datasets have a core to compare among what is allowed.
    """
    scenarios = scenarios_of(allowed)
    regret_N = allowed.regret_N[np.isfinite(table.regret_N)]
    kept_N: Booleans = np.isfinite(regret_N)
    lessons = heard.lessons.take(kept_N).with_regret(regret_N[kept_N])
    scale = _scale(table, allowed)
    pair_N, column_N = _places(allowed, lessons)
    trial = try_leanings(scenarios)
    return Ground(
        lessons=lessons,
        scenarios=scenarios,
        scale=scale,
        average_N=scale * heard.average_N[kept_N],
        trial=trial,
        shift_N=np.where(column_N >= 0, trial.shift_TK[pair_N, column_N], 0.0),
        strange_N=scale * heard.strange_N[kept_N],
        pair_N=pair_N,
        column_N=column_N,
    )


def _scale(table: Table, allowed: Table) -> float:
    ratio_P = table.spread_P[allowed.usable] / allowed.spread_P[allowed.usable]
    return float(np.median(ratio_P))


def _places(allowed: Table, lessons: Lessons) -> tuple[Integers, Integers]:
    column_N = np.searchsorted(allowed.core_keys, lessons.key_N)
    column_N = np.minimum(column_N, len(allowed.core_keys) - 1)
    in_core_N = allowed.core_keys[column_N] == lessons.key_N
    return np.searchsorted(allowed.usable, lessons.pair_N), np.where(in_core_N, column_N, -1)
