"""Forgetting: nats per token that a base model loses on text of its own, forecast.

Learnt where past runs report it; where too few do, nothing is said and nothing is held against a
configuration. It is learnt and held to held-out datasets as its inverse hyperbolic sine, which is
itself where little is forgotten and a logarithm where much is: a few runs forget fifty times the
usual.

Axes: N rows, C candidates, L levels, D distances.
"""

from dataclasses import dataclass

import numpy as np

from metadata.arrays import Floats, Integers
from metadata.errors import TooFewRuns
from metadata.surrogates.intervals import Errors, fit_errors
from metadata.surrogates.left_out import fit_left_out
from metadata.surrogates.line import Line, fit_line
from metadata.surrogates.portfolio import MINIMUM_DATASETS
from metadata.surrogates.scenarios import balance
from metadata.surrogates.spec import Candidates, Prediction, State, SurrogateSpec
from metadata.surrogates.trees import Trees, mean_of
from metadata.table import Table

TREES = 60
ANY_DISTANCE = 0.0  # what is forgotten is as sure far from past tasks as near


@dataclass(frozen=True, kw_only=True)
class Forgetting:
    """Forecasts nats forgotten.

    Attributes:
        models: None of them where past runs report nothing.
        errors: What was missed of held-out datasets, by how much was forecast.
        nats_of_regret: What one unit of regret is worth, median over pairs.
    """

    models: tuple[Trees, ...]
    line: Line
    errors: Errors
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
        said_C = self.line.shrink(mean_of(self.models, candidates.X_CF))
        low_C, high_C = self.errors.around(said_C, ANY_DISTANCE, widen=1.0)
        expected_C = np.sinh(said_C)
        return Prediction(
            expected_C=expected_C,
            low_C=np.minimum(np.sinh(np.maximum(low_C, 0.0)), expected_C),
            high_C=np.maximum(np.sinh(high_C), expected_C),
        )

    def state(self) -> State:
        """Return all that forecasts need."""
        return State(
            values={
                "line": vars(self.line),
                "nats_of_regret": self.nats_of_regret,
            },
            arrays={
                "level_L": self.errors.level_L,
                "low_LD": self.errors.low_LD,
                "high_LD": self.errors.high_LD,
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
        none_N = np.zeros(1)
        errors = fit_errors(none_N, none_N, none_N)
        return Forgetting(models=(), line=nothing, errors=errors, nats_of_regret=unit)
    return _learn(table, rows, np.arcsinh(forgotten_N[rows]), unit=unit, seed=seed)


def _learn(
    table: Table, rows: Integers, forgotten_N: Floats, *, unit: float, seed: int
) -> Forgetting:
    """Learn from rows that tell, drawn to the mean by what held-out datasets say."""
    group_N = table.row_groups[rows]
    models, forecast_N = fit_left_out(
        table.X_NF[rows], forgotten_N, group_N, names=table.names.all, trees=TREES, seed=seed
    )
    line = fit_line(forgotten_N, forecast_N, balance(group_N))
    errors = fit_errors(forgotten_N, line.shrink(forecast_N), np.full(len(rows), ANY_DISTANCE))
    return Forgetting(models=models, line=line, errors=errors, nats_of_regret=unit)


def _forgotten(table: Table) -> Floats:
    """Return the mean of each row's repeats, NaN where none says it."""
    told = [
        [run.scores.forgotten for run in row if run.scores and run.scores.forgotten is not None]
        for row in table.rows
    ]
    return np.array([float(np.mean(one)) if one else np.nan for one in told])


def restore(state: State) -> Forgetting:
    """Return the surrogate that a state was taken from."""
    arrays = state.arrays
    return Forgetting(
        models=tuple(Trees.restore(text) for text in state.texts),
        line=Line(**state.values["line"]),
        errors=Errors(
            level_L=arrays["level_L"],
            near=ANY_DISTANCE,
            low_LD=arrays["low_LD"],
            high_LD=arrays["high_LD"],
        ),
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
