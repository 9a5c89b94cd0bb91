"""What published results say of which configuration is better, one model and data at a time.

A contest holds configurations that one source compared, each with what it lost to the best of
them. Losses are told in units of their own source, as regret is: 0 for the best, 1 for a usual
loss. Axes: C configurations.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import log2
from statistics import fmean
from typing import Literal

import numpy as np

from metadata.arrays import Floats
from metadata.priors import PUBLISHED_RATE
from metadata.published import Figure, read_figures
from metadata.regret import WORST_REGRET

LORA = "lora"
LEAST_ENTRIES = 3  # below, a rank correlation says nothing

About = Literal["methods", "ranks", "rates"]
# Within a source, what is told in one unit: losses of ranks and rates are of the same runs.
UNITS: Mapping[About, str] = {"methods": "accuracy", "ranks": "loss", "rates": "loss"}
AWAY = {"loss_at_third_rate": -log2(3), "loss_at_triple_rate": log2(3)}


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One configuration as far as a source tells it; `log2_rate_ratio` is to the usual rate."""

    method: str = LORA
    rank: int | None = None
    log2_rate_ratio: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Contest:
    """Configurations that one source compared on one model and data.

    Attributes:
        regret_C: Loss to the best, in usual losses of the source, at most 2.
    """

    source: str
    about: About
    entries: tuple[Entry, ...]
    regret_C: Floats


Key = tuple[str, About, str]  # source, what is compared, and on what
Losses = Mapping[Entry, float]  # of each, to one of them; lower is better


def contests(figures: Sequence[Figure] | None = None) -> tuple[Contest, ...]:
    """Return the contests of published figures, those shipped where not given."""
    figures = read_figures() if figures is None else figures
    found: dict[Key, dict[Entry, float]] = defaultdict(dict)
    for figure in figures:
        for about, entry, loss in _read(figure, _doublings(figure.model, figures)):
            found[figure.source, about, f"{figure.model} {figure.examples}"][entry] = loss
    groups = defaultdict(list)
    for key, losses in found.items():
        if len(losses) >= LEAST_ENTRIES and len(set(losses.values())) > 1:
            source, about, _ = key
            groups[source, UNITS[about]].append((key, losses))
    return tuple(one for group in groups.values() for one in _judge(group))


def _doublings(model: str | None, figures: Sequence[Figure]) -> float:
    """Return how many doublings the best rates found for a model lie above the usual one."""
    best = [one.value for one in figures if one.figure == "best_rate" and one.model == model]
    return fmean(log2(rate / PUBLISHED_RATE) for rate in best) if best else 0.0


def _read(figure: Figure, best: float) -> Iterator[tuple[About, Entry, float]]:
    """Yield what a figure says: what is compared, which entry, and its loss."""
    if figure.figure == "accuracy_difference" and figure.method is not None:
        yield "methods", Entry(), 0.0
        yield "methods", Entry(method=figure.method, rank=figure.rank), -figure.value
    elif figure.figure == "rank_accuracy_difference":
        yield "ranks", Entry(rank=8), 0.0
        yield "ranks", Entry(rank=figure.rank), -figure.value
    elif figure.figure == "loss_of_rank":
        yield "ranks", Entry(rank=int(figure.reference.rpartition("=")[2])), 0.0
        yield "ranks", Entry(rank=figure.rank), figure.value
    elif figure.figure in AWAY:
        yield "rates", Entry(log2_rate_ratio=best), 0.0
        yield "rates", Entry(log2_rate_ratio=best + AWAY[figure.figure]), figure.value


def _judge(group: Sequence[tuple[Key, Losses]]) -> Iterator[Contest]:
    lost = [np.array(list(losses.values())) - min(losses.values()) for _, losses in group]
    together = np.concatenate(lost)
    unit = float(np.median(together[together > 0]))
    for ((source, about, _), losses), lost_C in zip(group, lost, strict=True):
        yield Contest(
            source=source,
            about=about,
            entries=tuple(losses),
            regret_C=np.minimum(lost_C / unit, WORST_REGRET),
        )
