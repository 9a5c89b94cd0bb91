"""How far own runs and published results each order what others found on large models.

Far from all own runs an answer stands on published results and rules; own runs have a say there as
far as they help to order what a source found that was left out.

Axes: C configurations, S shares.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from scipy.stats import kendalltau

from metadata.arrays import Floats
from metadata.contests import Contest, Entry, contests
from metadata.records import Configuration
from metadata.regret import WORST_REGRET
from metadata.relative import REFERENCE
from metadata.space import usual_configurations
from metadata.surrogates.intervals import tails_of_groups
from metadata.surrogates.prior import Prior, fit_prior
from metadata.surrogates.scenarios import choose
from metadata.surrogates.spec import Described, gather

SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)  # of own runs
OwnRegret = Callable[[Described], Floats]


@dataclass(frozen=True, kw_only=True)
class Far:
    """What is believed far from own runs.

    Attributes:
        own: Share of own runs, in [0, 1]; the rest is the prior's.
        middle: What the prior missed of sources left out, its median: LoRA as usual is 0 to the
            prior, and was rarely the best.
        tails: The same beyond the middle, its 5 % and 95 % ends.
        taus: Of each source, Kendall's tau of its order with that of own runs, and with that of
            the other sources: means over its contests.
    """

    prior: Prior
    own: float
    middle: float
    tails: tuple[float, float]
    taus: Mapping[str, tuple[float, float]]

    def regret(self, reference_CF: Floats) -> Floats:
        """Return the regret of each candidate by published results, 0 for the best there is."""
        return np.minimum(self.prior.regret(reference_CF) + self.middle, WORST_REGRET)

    def state(self) -> dict[str, Any]:
        """Return all that is needed, as JSON."""
        return {
            "methods": dict(self.prior.methods),
            "ranks": sorted(map(list, self.prior.ranks.items())),
            "rates": list(self.prior.rates),
            "own": self.own,
            "middle": self.middle,
            "tails": list(self.tails),
            "taus": {source: list(both) for source, both in self.taus.items()},
        }


def restore_far(state: Mapping[str, Any]) -> Far:
    """Return what a state was taken from."""
    prior = Prior(
        methods=state["methods"],
        ranks=dict(state["ranks"]),
        rates=(state["rates"][0], state["rates"][1]),
    )
    taus = {source: (own, others) for source, (own, others) in state["taus"].items()}
    low, high = state["tails"]
    return Far(prior=prior, own=state["own"], middle=state["middle"], tails=(low, high), taus=taus)


def weigh_published(own_regret: OwnRegret, known: Sequence[Contest] | None = None) -> Far:
    """Hold own runs and published results to each published source, it being left out.

    The share of own runs is the least with which both together order published results within one
    standard error of the best, sources weighing alike; none where own runs alone do not order them.

    Args:
        own_regret: Regret of configurations by own runs alone, whatever the task.
        known: Published contests, those shipped where not given.
    """
    known = contests() if known is None else known
    taus, errors, sources = {}, [], []
    for source in sorted({one.source for one in known}):
        members = [one for one in known if one.source == source]
        others = fit_prior([one for one in known if one.source != source])
        said = [others.regret(describe_entries(one.entries).reference_CF) for one in members]
        owns = [own_regret(describe_entries(one.entries)) for one in members]
        taus[source] = np.mean([_taus(*one) for one in zip(members, owns, said, strict=True)], 0)
        errors += [one.regret_C - other_C for one, other_C in zip(members, said, strict=True)]
        sources += [source for one in members for _ in one.entries]
    tau_SG = np.transpose(list(taus.values()))
    low, high = tails_of_groups(np.concatenate(errors), sources)
    middle = (low + high) / 2.0
    return Far(
        prior=fit_prior(known),
        own=SHARES[choose(-tau_SG)] if tau_SG[-1].mean() > 0 else 0.0,
        middle=middle,
        tails=(low - middle, high - middle),
        taus={source: (float(tau_S[-1]), float(tau_S[0])) for source, tau_S in taus.items()},
    )


def _taus(contest: Contest, own_C: Floats, other_C: Floats) -> Floats:
    """Return Kendall's tau of a contest with each share of own runs, S; 0 where all are alike."""
    blends = [share * own_C + (1.0 - share) * other_C for share in SHARES]
    tau_S: Floats = np.nan_to_num(
        [float(kendalltau(blend_C, contest.regret_C).statistic) for blend_C in blends]
    )
    return tau_S


@lru_cache(maxsize=256)
def describe_entries(entries: tuple[Entry, ...]) -> Described:
    """Return entries as candidates on the reference task, all else as usual."""
    return gather(REFERENCE, [_configuration(entry) for entry in entries])


def _configuration(entry: Entry) -> Configuration:
    usual = usual_configurations(entry.method, REFERENCE)[0]
    method, optimizer = usual.method, usual.optimizer
    if entry.rank is not None and "r" in method.values:
        method = method.model_copy(update={"r": entry.rank})
    rate = (optimizer.learning_rate or 0.0) * 2.0**entry.log2_rate_ratio
    optimizer = optimizer.model_copy(update={"learning_rate": rate})
    return usual.model_copy(update={"method": method, "optimizer": optimizer})
