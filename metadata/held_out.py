"""Fit quality, and keep what was learnt only where it errs less on datasets left out of everything.

Axes: T past pairs, G datasets, K core configurations, C rows of a pair, Q list lengths.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy.stats import t as student

from metadata.arrays import Floats, Integers
from metadata.kinds import Kind
from metadata.players import Round, available
from metadata.spending import costs_of
from metadata.surrogates.leanings import change_left_out, errors_saved
from metadata.surrogates.portfolio import Scenarios
from metadata.surrogates.quality import learn
from metadata.surrogates.rehearsal import COUNTS, rehearse
from metadata.surrogates.scenarios import balance, greedy, group_means
from metadata.surrogates.spec import Described
from metadata.surrogates.transfer import Quality
from metadata.table import Table

Rule = Callable[[Table, Integers], int]  # (table, rows of a pair) -> the place where it begins
NO_RULES: Mapping[str, Rule] = {}
# That what is learnt errs less than the mean does must be as sure as this. Errors are over the
# whole core: the regret of first runs comes from so few datasets that leaving one out turns it.
SURE = 0.95


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """Mean regret on datasets left out, by list length; and of each dataset."""

    groups: tuple[int, ...]
    ours_GQ: Floats
    portfolio_GQ: Floats


def fit_proven(table: Table, seed: int) -> tuple[Quality, Mapping[Kind, HeldOut]]:
    """Fit the quality surrogate; it begins as the portfolio unless the learnt errs less for sure.

    Both play on each dataset by what the others say, each kind of question apart.

    Raises:
        TooFewRuns: Too few datasets have a core to compare.
    """
    learnt = learn(table, seed)
    trust, held_out = learnt.trust(), {}
    for kind, ground in learnt.grounds.items():
        change_TK = change_left_out(ground.scenarios)
        proven = is_proven(errors_saved(ground.scenarios, change_TK))
        held_out[kind] = _play(ground.scenarios, proven * change_TK)
        trust[kind] = trust[kind] if proven else 0.0
    return learnt.believe(trust), held_out


def _play(scenarios: Scenarios, change_TK: Floats) -> HeldOut:
    ours, portfolio = (
        group_means(rehearse(scenarios, counts=COUNTS, change_TK=change), scenarios.group_T)
        for change in (change_TK, None)
    )
    groups = tuple(int(group) for group in np.unique(scenarios.group_T))
    return HeldOut(groups=groups, ours_GQ=ours, portfolio_GQ=portfolio)


def is_proven(saved_G: Floats) -> bool:
    """Say whether errors of datasets left out fall for sure, by Student's one-sided test."""
    error = saved_G.std(ddof=1) / np.sqrt(len(saved_G))
    return bool(saved_G.mean() > student.ppf(SURE, len(saved_G) - 1) * error)


def make_round(
    table: Table, pair: int, quality: Quality, rules: Mapping[str, Rule] = NO_RULES
) -> Round:
    """Let the players choose among the core configurations that were run on a pair."""
    columns = np.flatnonzero(available(table.core_regret[pair]))
    rows = table.core_rows[pair, columns]
    described = described_rows(table, rows)
    weight_T = balance(quality.scenarios.group_T)
    filled_TK = quality.scenarios.filled(described.keys)
    firsts = {name: rule(table, rows) for name, rule in rules.items()}
    return Round(
        regret_K=table.core_regret[pair, columns],
        mean_K=weight_T @ filled_TK,
        portfolio=greedy(filled_TK, weight_T, count=len(rows)),
        ours=quality.pick(described, quality.look(described).expected, count=len(rows)),
        firsts=firsts,
        cost_K=costs_of(table, rows, firsts["default"]) if "default" in firsts else None,
    )


def described_rows(table: Table, rows: Integers) -> Described:
    """Return rows of one pair as candidates are described."""
    return Described(
        kinds=tuple(table.kinds[row] for row in rows),
        keys=tuple(table.keys[table.key_N[row]] for row in rows),
        X_CF=table.X_NF[rows],
        reference_CF=table.reference_NF[rows],
        task_T=table.task_PT[int(table.pair_N[rows[0]])],
    )


def make_rounds(
    table: Table, group: int, quality: Quality, rules: Mapping[str, Rule] = NO_RULES
) -> list[Round]:
    """Let the players choose on each pair of a dataset."""
    pairs = [int(pair) for pair in table.usable if table.group_P[pair] == group]
    return [make_round(table, pair, quality, rules) for pair in pairs]
