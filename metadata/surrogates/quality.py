"""Quality: fitted on past runs, with a setting, intervals and shrinkage from datasets left out.

Axes: N rows, T past pairs, K core configurations, F features.
"""

import numpy as np

from metadata.arrays import Floats, Integers
from metadata.surrogates.bags import Lessons, first_repeat, fit_bags, lessons_of, unseen
from metadata.surrogates.calibration import (
    Outside,
    fit_differences,
    fit_intervals,
    fit_outside,
    held_out_forecast,
)
from metadata.surrogates.choice import Rehearsal, choose_setting
from metadata.surrogates.failure import Failure, fit_failure
from metadata.surrogates.intervals import Errors
from metadata.surrogates.line import Line
from metadata.surrogates.portfolio import (
    Scenarios,
    restore_scenarios,
    scenarios_of,
)
from metadata.surrogates.scenarios import Setting
from metadata.surrogates.spec import State, SurrogateSpec
from metadata.surrogates.transfer import Core, Quality, bounded, distances_of
from metadata.surrogates.trees import Trees
from metadata.table import Table

SMALLEST_SPREAD = 1e-6  # of a feature; below, it is constant but for rounding


def fit(table: Table, seed: int) -> Quality:
    """Fit the surrogate.

    Raises:
        TooFewRuns: Too few datasets have a core to compare.
    """
    return fit_with_rehearsal(table, seed)[0]


def fit_with_rehearsal(
    table: Table, seed: int, *, setting: Setting | None = None
) -> tuple[Quality, Rehearsal]:
    """Fit the surrogate; return also what its bags said of datasets they never saw.

    The setting is chosen by that rehearsal where it is not given.
    """
    scenarios, lessons = scenarios_of(table), lessons_of(table)
    bags = fit_bags(lessons, seed=seed)
    average_N, shift_N = unseen(bags, lessons)
    place_N = _places(table, lessons)
    rehearsal = Rehearsal(
        scenarios=scenarios,
        distances=distances_of(scenarios),
        shift_TK=_core_shifts(scenarios, shift_N, place_N),
    )
    setting = setting or choose_setting(rehearsal)
    outside = fit_outside(lessons, seed=seed)
    forecast_N = bounded(
        held_out_forecast(lessons, rehearsal, (average_N, shift_N), setting, outside, place_N)
    )
    quality = Quality(
        scenarios=scenarios,
        tried=_tried(table),
        averages=tuple(bag.average for bag in first_repeat(bags)),
        shifts=tuple(bag.shift for bag in bags),
        setting=setting,
        core=_core(table),
        outside=outside,
        errors=fit_intervals(lessons, forecast_N, place_N[0], rehearsal),
        difference_Q=fit_differences(lessons, forecast_N),
        failure=fit_failure(table, seed),
    )
    return quality, rehearsal


def _places(table: Table, lessons: Lessons) -> tuple[Integers, Integers]:
    """Return the pair of each row among the scenarios, and its column of the core or -1."""
    column_N = np.searchsorted(table.core_keys, lessons.key_N)
    column_N = np.minimum(column_N, len(table.core_keys) - 1)
    in_core_N = table.core_keys[column_N] == lessons.key_N
    return np.searchsorted(table.usable, lessons.pair_N), np.where(in_core_N, column_N, -1)


def _core_shifts(
    scenarios: Scenarios, shift_N: Floats, place_N: tuple[Integers, Integers]
) -> Floats:
    pair_N, column_N = place_N
    shift_TK = np.full(scenarios.regret_TK.shape, np.nan)
    in_core_N = column_N >= 0
    shift_TK[pair_N[in_core_N], column_N[in_core_N]] = shift_N[in_core_N]
    return shift_TK


def _tried(table: Table) -> tuple[str, ...]:
    rows = np.flatnonzero(np.isfinite(table.regret_N))
    return tuple(sorted({name for row in rows for name in table.kinds[int(row)]}))


def _core(table: Table) -> Core:
    first_K = [int(np.flatnonzero(table.key_N == key)[0]) for key in table.core_keys]
    spread_F = table.reference_NF.std(axis=0)
    return Core(
        reference_KF=table.reference_NF[first_K],
        scale_F=np.where(spread_F > SMALLEST_SPREAD, spread_F, 1.0),
    )


def restore(state: State) -> Quality:
    """Return the surrogate that a state was taken from."""
    arrays = state.arrays
    models = tuple(Trees.restore(text) for text in state.texts)
    averages, shifts = state.values["averages"], state.values["shifts"]
    return Quality(
        scenarios=restore_scenarios(state),
        tried=tuple(state.values["tried"]),
        averages=models[:averages],
        shifts=models[averages : averages + shifts],
        setting=Setting(**state.values["setting"]),
        core=Core(reference_KF=arrays["core_KF"], scale_F=arrays["core_scale_F"]),
        outside=Outside(**state.values["outside"]),
        errors=Errors(
            level_L=arrays["level_L"],
            near=state.values["near"],
            low_LD=arrays["low_LD"],
            high_LD=arrays["high_LD"],
        ),
        difference_Q=arrays["difference_Q"],
        failure=Failure(models=models[averages + shifts :], line=Line(**state.values["failure"])),
    )


SPEC = SurrogateSpec(
    name="quality",
    title="transfer from past tasks",
    predicts="regret",
    fit=fit,
    restore=restore,
    paper="Strangmann et al., arXiv:2411.01195; the shrinkage to the portfolio is ours",
)
