"""Fit quality, and keep what was learnt only where it wins on datasets left out of everything.

Axes: G datasets, K core configurations, Q list lengths.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from metadata.arrays import Floats, Integers
from metadata.kinds import Kind
from metadata.players import Round, available
from metadata.surrogates.grounds import Ground
from metadata.surrogates.quality import learn
from metadata.surrogates.rehearsal import COUNTS, PROOF_COUNTS, rehearse, rehearse_learnt
from metadata.surrogates.scenarios import balance, greedy, group_means
from metadata.surrogates.spec import Described
from metadata.surrogates.transfer import Quality
from metadata.table import Table

Rule = Callable[[Table, Integers], int]  # (table, rows of a pair) -> the place where it begins
NO_RULES: Mapping[str, Rule] = {}
# Standard errors over datasets that a learnt list must gain over its first runs. More would keep
# the portfolio through gains that a few dozen datasets cannot make surer, and where the decision is
# near its bound it goes against the dataset that was left out: that one alone tips it.
SURE_ERRORS = 1.0


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """Mean regret on datasets left out, by list length; and of each dataset."""

    groups: tuple[int, ...]
    ours_GQ: Floats
    portfolio_GQ: Floats


def fit_proven(table: Table, seed: int) -> tuple[Quality, Mapping[Kind, HeldOut]]:
    """Fit the quality surrogate; it is the portfolio where the learnt list does not prove better.

    Both play on each dataset by what the others say, each kind of question apart.

    Raises:
        TooFewRuns: Too few datasets have a core to compare.
    """
    learnt = learn(table, seed)
    trust = learnt.trust()
    held_out = {kind: _play(ground) for kind, ground in learnt.grounds.items()}
    for kind, found in held_out.items():
        if not is_proven(_of_short(found.ours_GQ), _of_short(found.portfolio_GQ)):
            trust[kind] = 0.0
            held_out[kind] = replace(found, ours_GQ=found.portfolio_GQ)
    return learnt.believe(trust), held_out


def _play(ground: Ground) -> HeldOut:
    scenarios = ground.scenarios
    ours, portfolio = (
        group_means(play(scenarios, counts=COUNTS), scenarios.group_T)
        for play in (rehearse_learnt, rehearse)
    )
    groups = tuple(int(group) for group in np.unique(scenarios.group_T))
    return HeldOut(groups=groups, ours_GQ=ours, portfolio_GQ=portfolio)


def is_proven(learnt_G: Floats, portfolio_G: Floats) -> bool:
    """Say whether the learnt list's first runs are better than the portfolio's by the one-SE rule.

    Paper: Breiman et al. (1984), Classification and Regression Trees.
    """
    gain_G = portfolio_G - learnt_G
    error = gain_G.std(ddof=1) / np.sqrt(len(gain_G))
    return bool(gain_G.mean() > SURE_ERRORS * error)


def _of_short(regret_GQ: Floats) -> Floats:
    """Return the mean regret of each dataset over the short lists that proof is by."""
    short_G: Floats = regret_GQ[:, [COUNTS.index(count) for count in PROOF_COUNTS]].mean(axis=1)
    return short_G


def make_round(
    table: Table, pair: int, quality: Quality, rules: Mapping[str, Rule] = NO_RULES
) -> Round:
    """Let the players choose among the core configurations that were run on a pair."""
    columns = np.flatnonzero(available(table.core_regret[pair]))
    rows = table.core_rows[pair, columns]
    described = described_rows(table, rows)
    weight_T = balance(quality.scenarios.group_T)
    filled_TK = quality.scenarios.filled(described.keys)
    return Round(
        regret_K=table.core_regret[pair, columns],
        mean_K=weight_T @ filled_TK,
        portfolio=greedy(filled_TK, weight_T, count=max(COUNTS)),
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


def make_rounds(
    table: Table, group: int, quality: Quality, rules: Mapping[str, Rule] = NO_RULES
) -> list[Round]:
    """Let the players choose on each pair of a dataset."""
    pairs = [int(pair) for pair in table.usable if table.group_P[pair] == group]
    return [make_round(table, pair, quality, rules) for pair in pairs]
