"""Fit quality, and keep what was learnt only where it wins on datasets left out of everything.

Axes: G datasets, K core configurations, Q list lengths.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from metadata.arrays import Floats, Integers
from metadata.errors import TooFewRuns
from metadata.kinds import Kind, restrict
from metadata.players import Round, available, play_ours
from metadata.surrogates.grounds import Ground
from metadata.surrogates.portfolio import Portfolio
from metadata.surrogates.quality import fit, learn
from metadata.surrogates.rehearsal import COUNTS, PROOF_COUNTS, rehearse
from metadata.surrogates.scenarios import balance, fill, group_means
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


def fit_proven(table: Table, seed: int) -> tuple[Quality, Mapping[Kind, HeldOut]]:
    """Fit the quality surrogate; it is the portfolio where the learnt list does not prove better.

    The learnt list is fitted again without some of the datasets in turn, and plays on those, by
    each kind of question apart.

    Raises:
        TooFewRuns: Too few datasets have a core to compare.
    """
    learnt = learn(table, seed)
    trust = learnt.trust()
    held_out = {kind: _by_portfolio(ground) for kind, ground in learnt.grounds.items()}
    wanted = [kind for kind, share in trust.items() if share > 0]
    for kind, found in _play_learnt(table, {kind: held_out[kind] for kind in wanted}, seed).items():
        if is_proven(_of_short(found.ours_GQ), _of_short(found.portfolio_GQ)):
            held_out[kind] = found
        else:
            trust[kind] = 0.0
    return learnt.believe(trust), held_out


def _by_portfolio(ground: Ground) -> HeldOut:
    group_T = ground.scenarios.group_T
    regret_GQ = group_means(rehearse(ground.scenarios, counts=COUNTS), group_T)
    groups = tuple(int(group) for group in np.unique(group_T))
    return HeldOut(groups=groups, ours_GQ=regret_GQ, portfolio_GQ=regret_GQ)


def is_proven(learnt_G: Floats, portfolio_G: Floats) -> bool:
    """Say whether the learnt list's first runs are better than the portfolio's beyond chance."""
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
    table: Table, held_out: Mapping[Kind, HeldOut], seed: int
) -> Mapping[Kind, HeldOut]:
    """Return the learnt list's regret on each dataset; the portfolio's where too few are left."""
    if not held_out:
        return {}
    allowed = {kind: restrict(table, kind) for kind in held_out}
    ours = {kind: found.ours_GQ.copy() for kind, found in held_out.items()}
    groups = sorted({group for found in held_out.values() for group in found.groups})
    shuffled = np.random.default_rng(seed).permutation(groups)
    for part in np.array_split(shuffled, min(PROOF_FOLDS, len(groups))):
        try:
            quality = fit(without_groups(table, part.tolist()), seed)
        except TooFewRuns:
            continue
        for kind, found in held_out.items():
            for group in set(part.tolist()) & set(found.groups):
                rounds = make_rounds(allowed[kind], group, quality.of(kind))
                regret_Q = np.mean([play_ours(one, COUNTS) for one in rounds], axis=0)
                ours[kind][found.groups.index(group)] = regret_Q
    return {kind: replace(found, ours_GQ=ours[kind]) for kind, found in held_out.items()}


def make_rounds(
    table: Table, group: int, quality: Quality, rules: Mapping[str, Rule] = NO_RULES
) -> list[Round]:
    """Let the players choose on each pair of a dataset."""
    pairs = [int(pair) for pair in table.usable if table.group_P[pair] == group]
    return [make_round(table, pair, quality, rules) for pair in pairs]
