"""Fit quality, and keep what was learnt only where it wins on datasets left out of everything.

Axes: G datasets, K core configurations, Q list lengths.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from metadata.arrays import Floats, Integers
from metadata.errors import TooFewRuns
from metadata.players import Round, available, play_ours
from metadata.surrogates.choice import CHOICE_COUNTS, COUNTS, rehearse
from metadata.surrogates.portfolio import Portfolio
from metadata.surrogates.quality import fit, fit_with_rehearsal
from metadata.surrogates.scenarios import PORTFOLIO, balance, fill, group_means
from metadata.surrogates.spec import Described
from metadata.surrogates.transfer import Quality
from metadata.table import Table, without_groups

Rule = Callable[[Table, Integers], int]  # (table, rows of a pair) -> the place where it begins
NO_RULES: Mapping[str, Rule] = {}
# Standard errors, over datasets, that a learnt list must gain over its first runs: 5 % by chance.
SURE_ERRORS = 1.645
PROOF_FOLDS = 8  # of the datasets; a fit without each alone would tell little more


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """Mean regret on datasets left out, by list length; and of each dataset."""

    groups: tuple[int, ...]
    ours_GQ: Floats
    portfolio_GQ: Floats


def fit_proven(table: Table, seed: int) -> tuple[Quality, HeldOut]:
    """Fit the quality surrogate; it is the portfolio where the learnt list does not prove better.

    The learnt list is fitted again without some of the datasets in turn, settings and all, and
    plays on those. Forecasts that only the choice of settings did not see flatter themselves:
    with a dozen datasets they left the portfolio in most folds, and lost.

    Raises:
        TooFewRuns: Too few datasets have a core to compare.
    """
    quality, rehearsal = fit_with_rehearsal(table, seed)
    group_T = rehearsal.scenarios.group_T
    groups = tuple(int(group) for group in np.unique(group_T))
    portfolio_GQ = group_means(rehearse(rehearsal, [PORTFOLIO], counts=COUNTS)[0], group_T)
    ours_GQ = portfolio_GQ
    if quality.setting != PORTFOLIO:
        learnt_GQ = _play_learnt(table, groups, portfolio_GQ, seed=seed)
        if is_proven(_of_short(learnt_GQ), _of_short(portfolio_GQ)):
            ours_GQ = learnt_GQ
        else:
            quality, _ = fit_with_rehearsal(table, seed, setting=PORTFOLIO)
    return quality, HeldOut(groups=groups, ours_GQ=ours_GQ, portfolio_GQ=portfolio_GQ)


def is_proven(learnt_G: Floats, portfolio_G: Floats) -> bool:
    """Say whether the learnt list's first runs are better than the portfolio's beyond chance."""
    gain_G = portfolio_G - learnt_G
    error = gain_G.std(ddof=1) / np.sqrt(len(gain_G))
    return bool(gain_G.mean() > SURE_ERRORS * error)


def _of_short(regret_GQ: Floats) -> Floats:
    """Return the mean regret of each dataset over the short lists that settings are chosen by."""
    short_G: Floats = regret_GQ[:, [COUNTS.index(count) for count in CHOICE_COUNTS]].mean(axis=1)
    return short_G


def make_round(
    table: Table, pair: int, quality: Quality, rules: Mapping[str, Rule] = NO_RULES
) -> Round:
    """Let the players choose among the core configurations that were run on a pair."""
    columns = np.flatnonzero(available(table.core_regret[pair]))
    rows = table.core_rows[pair, columns]
    described = described_rows(table, rows)
    weight_T = balance(quality.scenarios.group_T)
    filled_TK = fill(quality.scenarios.regret_TK, weight_T)[:, columns]
    return Round(
        regret_K=table.core_regret[pair, columns],
        mean_K=weight_T @ filled_TK,
        portfolio=Portfolio(scenarios=quality.scenarios).order_of(columns, count=max(COUNTS)),
        ours=quality.pick(described, quality.look(described).expected, count=max(COUNTS)),
        firsts={name: rule(table, rows) for name, rule in rules.items()},
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


def _play_learnt(
    table: Table, groups: tuple[int, ...], portfolio_GQ: Floats, *, seed: int
) -> Floats:
    """Return the learnt list's regret on each dataset; the portfolio's where too few are left."""
    learnt_GQ = portfolio_GQ.copy()
    shuffled = np.random.default_rng(seed).permutation(len(groups))
    for places in np.array_split(shuffled, min(PROOF_FOLDS, len(groups))):
        try:
            quality = fit(without_groups(table, [groups[place] for place in places]), seed)
        except TooFewRuns:
            continue
        for place in places:
            pairs = [int(pair) for pair in table.usable if table.group_P[pair] == groups[place]]
            rounds = [make_round(table, pair, quality) for pair in pairs]
            learnt_GQ[place] = np.mean([play_ours(one, COUNTS) for one in rounds], axis=0)
    return learnt_GQ
