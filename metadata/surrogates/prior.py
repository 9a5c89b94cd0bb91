"""Regret by published results and rules: what is believed far from all runs of our own.

It is a sum: what the method adds to LoRA, what the rank adds, how far the rate is from the usual
one, a usual loss for an optimizer that nobody compared, and a small charge for each other choice
that is not the usual. Parts are means over contests.
Axes: C candidates, F features.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import log2
from statistics import fmean
from typing import Any

import numpy as np

from metadata.arrays import Floats
from metadata.contests import AWAY, LORA, About, Contest, Entry
from metadata.features import FEATURES
from metadata.methods import METHODS
from metadata.regret import WORST_REGRET

THIRD, TRIPLE = AWAY.values()
# Charges, of regret: for a doubling of batch, epochs or alpha away from the usual, and for other
# layers than all linear ones. No published figure says them; they only tell apart what else is
# equal.
DOUBLING, OTHER_LAYERS = 0.05, 0.1
USUAL = {"log2_batch_size": log2(8), "log2_epochs": log2(3), "target_all-linear": 1.0}
# What a method that nobody compared adds: a usual loss. What sources say of one is drawn to it as
# if one more source had said it: one table alone does not put a method before LoRA. What they say
# of a rank is drawn to nothing the same way.
UNHEARD = 1.0
USUAL_RANK = 16
# All published figures are AdamW's, which 8-bit states do not change.
HEARD_OPTIMIZERS = ("adamw", "adamw_8bit")
# Published rates were found with an alpha of 32, or of twice the rank: all between is usual.
LOG2_USUAL_ALPHA, LOG2_USUAL_SCALE = 5.0, 1.0


@dataclass(frozen=True, kw_only=True)
class Prior:
    """Parts of the sum, in regret.

    Attributes:
        methods: What each adds to LoRA's.
        ranks: What each rank of LoRA loses to the best, by doublings of rank.
        rates: What a third, and three times, the usual rate lose.
    """

    methods: Mapping[str, float]
    ranks: Mapping[float, float]
    rates: tuple[float, float]

    def regret(self, reference_CF: Floats) -> Floats:
        """Return the regret of each candidate by what it is, apart from any task.

        Below 0 it is expected to be better than LoRA of the usual rank at the usual rate.
        """
        column = {name: reference_CF[:, place] for place, name in enumerate(FEATURES)}
        is_ranked_C = _ranked(column)
        total_C = self._of_methods(column) + self._of_rates(column["log2_rate_ratio"])
        total_C += DOUBLING * is_ranked_C * np.abs(_log2_unusual_alpha(column))
        total_C += UNHEARD * (1.0 - sum(column[f"optimizer_{one}"] for one in HEARD_OPTIMIZERS))
        total_C += np.where(is_ranked_C, self._of_ranks(column["log2_rank"]), 0.0)
        for name, usual in USUAL.items():
            charge = OTHER_LAYERS if name.startswith("target_") else DOUBLING
            total_C += charge * np.abs(column[name] - usual)
        return np.minimum(total_C, WORST_REGRET)

    def _of_methods(self, column: Mapping[str, Floats]) -> Floats:
        parts = [self.methods.get(name, UNHEARD) * column[f"method_{name}"] for name in METHODS]
        added_C: Floats = np.sum(parts, axis=0)
        return added_C

    def _of_ranks(self, log2_rank_C: Floats) -> Floats:
        known = sorted(self.ranks)
        return np.interp(log2_rank_C, known, [self.ranks[rank] for rank in known])

    def _of_rates(self, log2_ratio_C: Floats) -> Floats:
        below, above = self.rates
        lost_C: Floats = np.where(
            log2_ratio_C < 0, below * log2_ratio_C / THIRD, above * log2_ratio_C / TRIPLE
        )
        return lost_C


RANKED = frozenset(
    name
    for name, spec in METHODS.items()
    if {"r", "lora_alpha"} <= {one.name for one in spec.parameters}
)


def _ranked(column: Mapping[str, Floats]) -> Floats:
    """Return 1 where a candidate's rank means what LoRA's does."""
    is_ranked: Floats = np.sum([column[f"method_{name}"] for name in RANKED], axis=0)
    return is_ranked


def _log2_unusual_alpha(column: Mapping[str, Floats]) -> Floats:
    """Return how many doublings alpha is above or below what published rates were found with.

    It means something where `_ranked` is 1.
    """
    log2_rank_C = column["log2_rank"]
    log2_alpha_C = column["log2_scale"] + log2_rank_C * (1.0 - 0.5 * column["method_rslora"])
    twice_C = log2_rank_C + LOG2_USUAL_SCALE
    low_C, high_C = np.minimum(twice_C, LOG2_USUAL_ALPHA), np.maximum(twice_C, LOG2_USUAL_ALPHA)
    unusual_C: Floats = log2_alpha_C - np.clip(log2_alpha_C, low_C, high_C)
    return unusual_C


def fit_prior(known: Sequence[Contest]) -> Prior:
    """Return what contests say; where none does, a usual loss for a rate three times off."""
    methods = _told(known, "methods", lambda entry: entry.method, LORA)
    ranks = _told(known, "ranks", lambda entry: log2(entry.rank or 1), log2(USUAL_RANK))
    rates = _told(known, "rates", lambda entry: round(entry.log2_rate_ratio / TRIPLE), 0)
    return Prior(
        methods={
            name: 0.0 if name == LORA else fmean([*told, UNHEARD])
            for name, told in {LORA: [], **methods}.items()
        },
        ranks={rank: fmean([*told, 0.0]) for rank, told in ranks.items()} or {0.0: 0.0},
        rates=(fmean(rates.get(-1, [UNHEARD])), fmean(rates.get(1, [UNHEARD]))),
    )


def _told(
    known: Sequence[Contest], about: About, key_of: Callable[[Entry], Any], usual: Any
) -> dict[Any, list[float]]:
    """Return what each key adds to the regret of the usual one, as each source says it.

    Contests of a source try different keys: each has a level of its own, by least squares.
    """
    told: dict[Any, list[float]] = defaultdict(list)
    for source in sorted({one.source for one in known if one.about == about}):
        members = [one for one in known if (one.source, one.about) == (source, about)]
        rows = [
            (number, key_of(entry), regret)
            for number, one in enumerate(members)
            for entry, regret in zip(one.entries, one.regret_C.tolist(), strict=True)
        ]
        keys = sorted({key for _, key, _ in rows})
        design = np.zeros((len(rows), len(members) + len(keys)))
        for row, (number, key, _) in enumerate(rows):
            design[row, [number, len(members) + keys.index(key)]] = 1.0
        levels = np.linalg.lstsq(design, np.array([regret for *_, regret in rows]))[0]
        added = levels[len(members) :]
        added -= added[keys.index(usual)] if usual in keys else added.mean()
        for key, value in zip(keys, added.tolist(), strict=True):
            told[key].append(value)
    return told
