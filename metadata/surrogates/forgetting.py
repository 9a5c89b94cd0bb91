"""Forgetting: nats per token that a base model loses on text of its own, forecast.

Learnt where past runs report it; where too few do, nothing is said and nothing is held against a
configuration.

Axes: N rows, C candidates.
"""

from dataclasses import dataclass

import numpy as np

from metadata.arrays import Floats, Integers
from metadata.errors import TooFewRuns
from metadata.surrogates.intervals import tails_of_groups
from metadata.surrogates.left_out import fit_left_out
from metadata.surrogates.line import Line, fit_line
from metadata.surrogates.portfolio import MINIMUM_DATASETS
from metadata.surrogates.scenarios import balance
from metadata.surrogates.spec import Candidates, Prediction, State, SurrogateSpec
from metadata.surrogates.trees import Trees, mean_of
from metadata.table import Table

TREES = 60


@dataclass(frozen=True, kw_only=True)
class Forgetting:
    """Forecasts nats forgotten.

    Attributes:
        models: None of them where past runs report nothing.
        tails: What held-out datasets missed, its 5 % and 95 % ends.
        nats_of_regret: What one unit of regret is worth, median over pairs.
    """

    models: tuple[Trees, ...]
    line: Line
    tails: tuple[float, float]
    nats_of_regret: float

    @property
    def is_known(self) -> bool:
        """Say whether past runs report what was forgotten."""
        return bool(self.models)

    def forecast(self, candidates: Candidates) -> Prediction:
        """Forecast nats per token; 0 of unknown width where nothing is known."""
        nothing_C = np.zeros(len(candidates.keys))
        if not self.is_known:
            return Prediction(expected_C=nothing_C, low_C=nothing_C, high_C=nothing_C)
        expected_C = self.line.shrink(mean_of(self.models, candidates.X_CF))
        low, high = self.tails
        return Prediction(
            expected_C=expected_C,
            low_C=expected_C + min(low, 0.0),
            high_C=expected_C + max(high, 0.0),
        )

    def state(self) -> State:
        """Return all that forecasts need."""
        return State(
            values={
                "line": vars(self.line),
                "tails": list(self.tails),
                "nats_of_regret": self.nats_of_regret,
            },
            texts=tuple(model.text for model in self.models),
        )


def fit(table: Table, seed: int) -> Forgetting:
    """Fit the surrogate.

    Raises:
        TooFewRuns: The table has fewer than four datasets.
    """
    if len(np.unique(table.row_groups)) < MINIMUM_DATASETS:
        raise TooFewRuns(
            f"Learning what is forgotten needs runs on at least {MINIMUM_DATASETS} datasets. "
            "Run more, or import them."
        )
    forgotten_N = _forgotten(table)
    rows = np.flatnonzero(np.isfinite(forgotten_N))
    spread_P = table.spread_P[np.isfinite(table.spread_P)]
    unit = float(np.median(spread_P)) if len(spread_P) else 1.0
    if len(np.unique(table.row_groups[rows])) < MINIMUM_DATASETS:
        nothing = Line(mean=0.0, forecast_mean=0.0, slope=0.0)
        return Forgetting(models=(), line=nothing, tails=(0.0, 0.0), nats_of_regret=unit)
    return _learn(table, rows, forgotten_N[rows], unit=unit, seed=seed)


def _learn(
    table: Table, rows: Integers, forgotten_N: Floats, *, unit: float, seed: int
) -> Forgetting:
    """Learn from rows that tell, drawn to the mean by what held-out datasets say."""
    group_N = table.row_groups[rows]
    models, forecast_N = fit_left_out(
        table.X_NF[rows], forgotten_N, group_N, names=table.names.all, trees=TREES, seed=seed
    )
    line = fit_line(forgotten_N, forecast_N, balance(group_N))
    error_N = forgotten_N - line.shrink(forecast_N)
    tails = tails_of_groups(error_N, [table.groups[group] for group in group_N])
    return Forgetting(models=models, line=line, tails=tails, nats_of_regret=unit)


def _forgotten(table: Table) -> Floats:
    """Return the mean of each row's repeats, NaN where none says it."""
    told = [
        [run.scores.forgotten for run in row if run.scores and run.scores.forgotten is not None]
        for row in table.rows
    ]
    return np.array([float(np.mean(one)) if one else np.nan for one in told])


def restore(state: State) -> Forgetting:
    """Return the surrogate that a state was taken from."""
    low, high = state.values["tails"]
    return Forgetting(
        models=tuple(Trees.restore(text) for text in state.texts),
        line=Line(**state.values["line"]),
        tails=(low, high),
        nats_of_regret=state.values["nats_of_regret"],
    )


SPEC = SurrogateSpec(
    name="forgetting",
    title="forgetting",
    predicts="nats",
    fit=fit,
    restore=restore,
    paper="Biderman et al., LoRA Learns Less and Forgets Less, arXiv:2405.09673",
)
