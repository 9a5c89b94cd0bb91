"""How far a run is from the best of its pair, and which pairs tell.

Axes: N rows (one configuration on one pair, its repeats together), P pairs.
"""

from collections.abc import Sequence
from math import isfinite

import numpy as np

from metadata.arrays import Booleans, Floats, Integers
from metadata.records import Run

WORST_REGRET = 2.0  # also of a run that failed or went over its budget
MEDIAN_REGRET = 1.0  # of the core's median configuration, by the definition of regret
# About the standard error of a mean regret over a few dozen datasets: nearer ones hardly differ.
INDIFFERENT_REGRET = 0.05
NOISES = 4.0  # the best must exceed the median by so many standard deviations of repeats
MINIMUM_CORE = 5  # scored core configurations, fewer give no median worth the name
LIMITED_STATES = ("timed_out", "out_of_memory")  # by what was granted, not by the configuration
CORE_SHARE = 0.8  # of the core must have been tried on a pair that is to be compared with others


def scores_of(row: Sequence[Run]) -> list[float]:
    """Return the scores of those repeats that have one."""
    return [
        run.score
        for run in row
        if run.state == "succeeded" and run.score is not None and isfinite(run.score)
    ]


def mean_score(row: Sequence[Run]) -> float:
    """Return the mean score of repeats, NaN where none has one."""
    scores = scores_of(row)
    return float(np.mean(scores)) if scores else float("nan")


def failed_shares(rows: Sequence[Sequence[Run]], core_N: Booleans) -> Floats:
    """Return the share of each row's runs that failed, NaN where none says anything."""
    shares = []
    for row, core in zip(rows, core_N, strict=True):
        telling = [run for run in row if core or run.state not in LIMITED_STATES]
        shares.append(1.0 - len(scores_of(row)) / len(telling) if telling else float("nan"))
    return np.array(shares)


def noise_of(scores_N: Sequence[Sequence[float]], pair_N: Integers, *, count: int) -> Floats:
    """Return the standard deviation of repeats in each pair; the usual one where there are few."""
    squares_P, degrees_P = np.zeros(count), np.zeros(count)
    for scores, pair in zip(scores_N, pair_N, strict=True):
        if len(scores) > 1:
            squares_P[pair] += float(np.var(scores)) * len(scores)
            degrees_P[pair] += len(scores) - 1
    noise_P = np.sqrt(squares_P / np.maximum(degrees_P, 1))
    known_P = degrees_P >= 3  # below, chance equality of two repeats would pass for precision
    usual = float(np.median(noise_P[known_P])) if known_P.any() else 0.0
    return np.where(known_P, noise_P, np.maximum(noise_P, usual))


def regrets(
    score_N: Floats,
    failed_N: Floats,
    pair_N: Integers,
    core_N: Booleans,
    noise_P: Floats,
    *,
    core_count: int,
) -> tuple[Floats, Floats, dict[int, str]]:
    """Return regret_N, spread_P and why pairs with a core have no regret.

    Args:
        score_N: Mean scores, NaN where no repeat has one.
        failed_N: Share of the repeats that failed; each counts as the worst regret.
        pair_N: The pair of each row.
        core_N: Whether the row is of the core.
        noise_P: Standard deviation of repeats.
        core_count: How many configurations the core has.
    """
    regret_N = np.full(len(score_N), np.nan)
    spread_P = np.full(len(noise_P), np.nan)
    reasons: dict[int, str] = {}
    for pair, noise in enumerate(noise_P):
        rows = np.flatnonzero(pair_N == pair)
        core = rows[core_N[rows]]
        if len(core) == 0:
            continue  # runs of users: evidence of cost, and of what was tried, but of no regret
        scores = score_N[core][np.isfinite(score_N[core])]
        reason = _why_dropped(scores, noise, tried=len(core), core_count=core_count)
        if reason:
            reasons[pair] = reason
            continue
        spread_P[pair] = scores.max() - np.median(scores)
        distance = np.clip((scores.max() - score_N[rows]) / spread_P[pair], 0.0, WORST_REGRET)
        succeeded = np.where(np.isfinite(distance), distance, WORST_REGRET)
        regret_N[rows] = failed_N[rows] * WORST_REGRET + (1.0 - failed_N[rows]) * succeeded
    return regret_N, spread_P, reasons


def _why_dropped(scores: Floats, noise: float, *, tried: int, core_count: int) -> str:
    if tried < CORE_SHARE * core_count:
        return f"only {tried} of {core_count} core configurations were run"
    if len(scores) < MINIMUM_CORE:
        return f"only {len(scores)} core configurations have a score, {MINIMUM_CORE} are needed"
    spread = float(scores.max() - np.median(scores))
    if spread <= NOISES * noise or spread <= 0:
        return (
            f"the best exceeds the median by {spread:.3g} nats per token, less than "
            f"{NOISES:g} times the {noise:.3g} of repeats"
        )
    return ""
