"""How good is it: leave one dataset out, regret at 1 to 16 runs, forecasts held to the truth.

All sizes of a dataset form one fold, and every transform, constant and choice is fitted inside
it. Candidates of a fold are the core: configurations fixed before any result was seen. Means and
bootstrap are over datasets, each the mean of its pairs.

Axes: G datasets, Q list lengths, K core configurations, C rows of a pair, B bootstrap draws.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import kendalltau

from metadata.arrays import Floats, Integers
from metadata.held_out import Rule, described_rows, fit_proven, make_rounds
from metadata.kinds import Kind, restrict
from metadata.players import nearest_configuration, players
from metadata.records import Configuration, Run, Task
from metadata.space import default_configuration, width_rule_configuration
from metadata.spending import BUDGETS, spend
from metadata.surrogates.memory import PEAK_BYTES
from metadata.surrogates.portfolio import scenarios_of
from metadata.surrogates.rehearsal import COUNTS
from metadata.surrogates.residual import Quantity, fit_residual, observations_of
from metadata.surrogates.time import TRAIN_SECONDS
from metadata.surrogates.transfer import Quality
from metadata.table import Dropped, Table, build_table, without_groups

DRAWS = 10_000
TAIL = 0.05


@dataclass(frozen=True, kw_only=True)
class Spread:
    """A mean over datasets with its 90 % bootstrap interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class CostScore:
    """How far forecasts of a cost are from the truth, on datasets left out."""

    median_error: float  # |true / forecast - 1|, median over runs
    coverage: Spread  # of 90 % intervals, within datasets


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """All figures of leave-one-dataset-out.

    Attributes:
        regret: Mean regret of each player by list length.
        median: Median over datasets, the same way.
        regret_by_budget: Mean regret of each player by time spent, in runs of the default, or of
            what is nearest to it among what is allowed; empty where no costs are known.
        difference: Ours less the portfolio's by list length.
        tau: Kendall's rank correlation of forecast and true regret within a pair.
        coverage: Share of true regrets inside their 90 % interval, within datasets.
        stands_on: In how many folds lists were learnt, and in how many the portfolio.
        groups: The datasets left out, as numbers of the table's.
        by_dataset: Regret of each player on each of them, G x Q.
    """

    datasets: int
    pairs: int
    rows: int
    regret: dict[str, dict[int, float]]
    median: dict[str, dict[int, float]]
    regret_by_budget: dict[str, dict[int, float]]
    difference: dict[int, Spread]
    tau: Spread
    coverage: Spread
    time: CostScore | None
    memory: CostScore | None
    stands_on: dict[str, int]
    dropped: tuple[Dropped, ...]
    groups: tuple[int, ...]
    by_dataset: dict[str, Floats]

    def to_json(self) -> dict[str, Any]:
        """Return the figures as JSON: `tasks`, `regret` by player and k, and all else there is."""
        return {
            "tasks": self.datasets,
            "regret": _by_text(self.regret),
            "median": _by_text(self.median),
            "regret_by_budget": _by_text(self.regret_by_budget),
            "pairs": self.pairs,
            "rows": self.rows,
            "difference": {str(count): vars(one) for count, one in self.difference.items()},
            "kendall_tau": vars(self.tau),
            "coverage": vars(self.coverage),
            "time": _cost_json(self.time),
            "memory": _cost_json(self.memory),
            "stands_on": self.stands_on,
            "dropped": [vars(one) for one in self.dropped],
        }


@dataclass(frozen=True, kw_only=True)
class Fold:
    """What one dataset showed: means over its pairs."""

    regret: dict[str, Floats]
    by_budget: dict[str, Floats]
    tau: float
    coverage: float
    stands_on: str


def evaluate(
    runs: Sequence[Run],
    *,
    seed: int = 0,
    kinds: Sequence[Kind] = ("free",),
    rules: Mapping[str, Rule] | None = None,
    draws: int = DRAWS,
) -> dict[Kind, Evaluation]:
    """Play leave-one-dataset-out by some kinds of question, each judged among what it allows.

    Args:
        runs: Past runs with a core.
        seed: Of the surrogates and of the bootstrap.
        kinds: What a question allows.
        rules: Rules of thumb among the players, our own where not given.
        draws: Bootstrap samples.

    Raises:
        TooFewRuns: Without a dataset there is nothing left to learn from.
    """
    return evaluate_table(
        build_table(runs), rules or OWN_RULES, seed=seed, kinds=kinds, draws=draws
    )


def evaluate_table(
    table: Table,
    rules: Mapping[str, Rule],
    *,
    seed: int = 0,
    kinds: Sequence[Kind] = ("free",),
    draws: int = DRAWS,
) -> dict[Kind, Evaluation]:
    """Play leave-one-dataset-out on any table, with rules of thumb among the players.

    Raises:
        TooFewRuns: Too few datasets have a core to compare.
    """
    allowed = {kind: restrict(table, kind) for kind in kinds}
    groups = {kind: np.unique(scenarios_of(one).group_T) for kind, one in allowed.items()}
    folds: dict[Kind, list[Fold]] = {kind: [] for kind in kinds}
    for group in np.unique(np.concatenate(list(groups.values()))):
        quality, _ = fit_proven(without_groups(table, [group]), seed)
        for kind, one in allowed.items():
            if group in groups[kind]:
                folds[kind].append(_play(one, int(group), rules, quality.of(kind)))
    rng = np.random.default_rng(seed)
    return {
        kind: _summarise(one, folds[kind], groups[kind], rng=rng, draws=draws)
        for kind, one in allowed.items()
    }


def rule_of(wanted: Callable[[Task], Configuration]) -> Rule:
    """Return the rule that begins with what is nearest to a wanted configuration."""

    def first(table: Table, rows: Integers) -> int:
        tried = [table.configurations[row] for row in rows]
        return nearest_configuration(wanted(table.tasks[table.pair_N[rows[0]]]), tried)

    return first


OWN_RULES: Mapping[str, Rule] = {
    "default": rule_of(default_configuration),
    "width_rule": rule_of(width_rule_configuration),
}


def _play(table: Table, group: int, rules: Mapping[str, Rule], quality: Quality) -> Fold:
    rounds = make_rounds(table, group, quality, rules)
    regret = {
        name: np.mean([player(game, COUNTS) for game in rounds], axis=0)
        for name, player in players(rules).items()
    }
    pairs = [pair for pair in table.usable if table.group_P[pair] == group]
    seen = [_judge(table, int(pair), quality) for pair in pairs]
    return Fold(
        regret=regret,
        by_budget=_mean_of_each([spend(game) for game in rounds]),
        tau=float(np.mean([tau for tau, _ in seen])),
        coverage=float(np.mean([share for _, share in seen])),
        stands_on="learnt" if quality.view.trust else "portfolio",
    )


def _judge(table: Table, pair: int, quality: Quality) -> tuple[float, float]:
    """Return rank correlation and coverage over all rows of a pair."""
    rows = np.flatnonzero((table.pair_N == pair) & np.isfinite(table.regret_N))
    said = quality.forecast(described_rows(table, rows))
    true_C = table.regret_N[rows]
    tau = float(kendalltau(said.expected_C, true_C).statistic)
    inside_C = (said.low_C <= true_C) & (true_C <= said.high_C)
    return (tau if np.isfinite(tau) else 0.0), float(inside_C.mean())


def _summarise(
    table: Table,
    folds: Sequence[Fold],
    groups: Integers,
    *,
    rng: np.random.Generator,
    draws: int,
) -> Evaluation:
    regret = {name: np.array([fold.regret[name] for fold in folds]) for name in folds[0].regret}
    lead_GQ = regret["ours"] - regret["portfolio"]
    return Evaluation(
        datasets=len(folds),
        pairs=len(table.usable),
        rows=int(np.isfinite(table.regret_N).sum()),
        regret={name: _by_count(values.mean(axis=0)) for name, values in regret.items()},
        median={name: _by_count(np.median(values, axis=0)) for name, values in regret.items()},
        regret_by_budget={
            name: dict(zip(BUDGETS, value_B.tolist(), strict=True))
            for name, value_B in _mean_of_each([fold.by_budget for fold in folds]).items()
        },
        difference={
            count: bootstrap(lead_GQ[:, q], rng=rng, draws=draws) for q, count in enumerate(COUNTS)
        },
        tau=bootstrap(np.array([fold.tau for fold in folds]), rng=rng, draws=draws),
        coverage=bootstrap(np.array([fold.coverage for fold in folds]), rng=rng, draws=draws),
        time=_score_cost(table, TRAIN_SECONDS, rng=rng, draws=draws),
        memory=_score_cost(table, PEAK_BYTES, rng=rng, draws=draws),
        stands_on=dict(Counter(fold.stands_on for fold in folds).most_common()),
        dropped=table.dropped,
        groups=tuple(int(group) for group in groups),
        by_dataset=regret,
    )


def _mean_of_each(figures: Sequence[Mapping[str, Floats]]) -> dict[str, Floats]:
    """Return the mean of each player's figures over those that have any."""
    told = [one for one in figures if one]
    return {name: np.mean([one[name] for one in told], axis=0) for name in (told or [{}])[0]}


def bootstrap(value_G: Floats, *, rng: np.random.Generator, draws: int) -> Spread:
    """Return the mean over datasets with the interval of means of datasets drawn again."""
    drawn_BG = rng.integers(len(value_G), size=(draws, len(value_G)))
    low, high = np.quantile(value_G[drawn_BG].mean(axis=1), (TAIL, 1.0 - TAIL))
    return Spread(mean=float(value_G.mean()), low=float(low), high=float(high))


def _score_cost(
    table: Table, quantity: Quantity, *, rng: np.random.Generator, draws: int
) -> CostScore | None:
    """Forecast each dataset's costs from the others'; None where runs do not report them."""
    if not table.runs:  # of another make, whose costs no formula knows
        return None
    seen = observations_of(table, quantity)
    group_M = np.array(seen.groups)
    if len(np.unique(group_M)) < 2:
        return None
    errors, coverage = [], []
    for group in np.unique(group_M):
        held = seen.take(np.flatnonzero(group_M == group))
        fitted = fit_residual(seen.take(np.flatnonzero(group_M != group)), quantity)
        said = fitted.predict(held)
        true_M = held.formula_M * np.exp(held.log_ratio_M)
        errors.append(np.abs(true_M / said.expected_C - 1.0))
        coverage.append(float(((said.low_C <= true_M) & (true_M <= said.high_C)).mean()))
    return CostScore(
        median_error=float(np.median(np.concatenate(errors))),
        coverage=bootstrap(np.array(coverage), rng=rng, draws=draws),
    )


def _by_count(value_Q: Floats) -> dict[int, float]:
    return {count: float(value) for count, value in zip(COUNTS, value_Q, strict=True)}


def _by_text(figures: dict[str, dict[int, float]]) -> dict[str, dict[str, float]]:
    return {
        name: {str(count): value for count, value in by_count.items()}
        for name, by_count in figures.items()
    }


def _cost_json(score: CostScore | None) -> dict[str, Any] | None:
    if score is None:
        return None
    return {"median_error": score.median_error, "coverage": vars(score.coverage)}
