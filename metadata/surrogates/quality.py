"""Quality: fitted on past runs; trust, intervals and shrinkage come from datasets left out.

Axes: N rows, K core configurations, F features.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from metadata.errors import TooFewRuns
from metadata.kinds import KINDS, Kind, restrict
from metadata.surrogates.calibration import (
    AVERAGE_TREES,
    fit_view,
    forecast_left_out,
)
from metadata.surrogates.failure import Failure, fit_failure
from metadata.surrogates.far import restore_far, weigh_published
from metadata.surrogates.grounds import Ground, Heard, ground_of
from metadata.surrogates.left_out import fit_left_out
from metadata.surrogates.lessons import lessons_of
from metadata.surrogates.line import Line
from metadata.surrogates.portfolio import scenarios_of
from metadata.surrogates.spec import State, SurrogateSpec
from metadata.surrogates.transfer import Core, Quality
from metadata.surrogates.trees import Trees
from metadata.surrogates.view import restore_view
from metadata.table import Table

SMALLEST_SPREAD = 1e-6  # of a feature; below, it is constant but for rounding


@dataclass(frozen=True, kw_only=True)
class Learnt:
    """Models, and what each kind of question is to be judged by."""

    table: Table
    averages: tuple[Trees, ...]
    failure: Failure
    grounds: Mapping[Kind, Ground]

    def trust(self) -> dict[Kind, float]:
        """Return how far what tasks change is believed, by kind of question."""
        return {kind: one.trial.trust for kind, one in self.grounds.items()}

    def believe(self, trust: Mapping[Kind, float]) -> Quality:
        """Return the surrogate that believes so much; with 0 it begins as the portfolio."""
        quality = Quality(
            tried=_tried(self.table),
            averages=self.averages,
            core=_core(self.table),
            failure=self.failure,
            views={kind: fit_view(one, trust[kind]) for kind, one in self.grounds.items()},
        )
        if not self.table.rows:
            return quality
        return replace(quality, far=weigh_published(quality.on_average))


def fit(table: Table, seed: int) -> Quality:
    """Fit the surrogate.

    Raises:
        TooFewRuns: Too few datasets have a core to compare.
    """
    learnt = learn(table, seed)
    return learnt.believe(learnt.trust())


def learn(table: Table, seed: int) -> Learnt:
    """Fit the models; kinds of question that too few datasets tell of are left out.

    Raises:
        TooFewRuns: Too few datasets have a core to compare.
    """
    scenarios_of(table)  # or there is nothing to learn from
    lessons = lessons_of(table)
    averages, average_N = fit_left_out(
        lessons.reference_NF,
        lessons.regret_N,
        lessons.group_N,
        names=lessons.names,
        trees=AVERAGE_TREES,
        seed=seed,
    )
    heard = Heard(
        lessons=lessons,
        average_N=average_N,
        strange_N=forecast_left_out(lessons, seed=seed),
    )
    return Learnt(
        table=table,
        averages=averages,
        failure=fit_failure(table, seed),
        grounds=_grounds(table, heard),
    )


def _grounds(table: Table, heard: Heard) -> Mapping[Kind, Ground]:
    grounds: dict[Kind, Ground] = {"free": ground_of(table, table, heard)}
    for kind in KINDS[1:] if table.rows else ():  # of another make, what is allowed is not known
        try:
            grounds[kind] = ground_of(table, restrict(table, kind), heard)
        except TooFewRuns:
            continue
    return grounds


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
    values, arrays = state.values, state.arrays
    models = tuple(Trees.restore(text) for text in state.texts)
    averages = values["averages"]
    return Quality(
        tried=tuple(values["tried"]),
        averages=models[:averages],
        core=Core(reference_KF=arrays["core_KF"], scale_F=arrays["core_scale_F"]),
        failure=Failure(models=models[averages:], line=Line(**values["failure"])),
        far=None if values["far"] is None else restore_far(values["far"]),
        views={
            kind: restore_view(
                view,
                {
                    name.removeprefix(f"{kind}."): array
                    for name, array in arrays.items()
                    if name.startswith(f"{kind}.")
                },
            )
            for kind, view in values["views"].items()
        },
    )


SPEC = SurrogateSpec(
    name="quality",
    title="transfer from past tasks",
    predicts="regret",
    fit=fit,
    restore=restore,
    paper="Strangmann et al., arXiv:2411.01195; the shrinkage to the portfolio is ours",
)
