"""Repeated runs: the same configuration but its seed, on the same task; what differs is noise.

Configurations whose scores differ by less than the noise are not told apart by one run each.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

from metadata.browsing import Browser, View

_SAME = (
    "pair",
    "dataset_name",
    "model_id",
    "device_name",
    "method",
    "configuration_key",
    "objective.name",
    "objective.beta",
    "origin_source",
)
_OWN = ("seed", "state", "score", "train_seconds")


@dataclass(frozen=True, kw_only=True)
class Repeats:
    """Runs of one configuration on one task.

    `mean` and `spread`, the sample standard deviation, are of the scores; None where there is no
    score, or fewer than two.
    """

    dataset_name: str
    model_id: str
    device_name: str
    method: str
    configuration_key: str
    run_ids: tuple[str, ...]
    seeds: tuple[int, ...]
    scored: int
    failed: int
    mean: float | None
    spread: float | None
    lowest: float | None
    highest: float | None
    mean_train_seconds: float | None


@dataclass(frozen=True, kw_only=True)
class Repeated:
    """Every configuration that was run more than once, those run most often first.

    `noise` is the standard deviation of a score over all of them (pooled), None where none has
    two; `degrees_of_freedom` says on how much it stands.
    """

    groups: tuple[Repeats, ...]
    runs: int
    noise: float | None
    degrees_of_freedom: int


def repeated(browser: Browser, view: View) -> Repeated:
    """Group the repeated runs of a view.

    Raises:
        BadFilter: The view cannot be read.
    """
    groups: dict[tuple[Any, ...], list[tuple[Any, ...]]] = defaultdict(list)
    runs = 0
    for run_id, *values in browser.columns(view, [*_SAME, *_OWN], in_order=False):
        groups[tuple(values[: len(_SAME)])].append((run_id, *values[len(_SAME) :]))
        runs += 1
    found = [_repeats(same, rows) for same, rows in groups.items() if len(rows) > 1]
    found.sort(key=lambda one: (-len(one.run_ids), one.dataset_name, one.run_ids))
    noise, degrees = _pooled(found)
    return Repeated(groups=tuple(found), runs=runs, noise=noise, degrees_of_freedom=degrees)


def _repeats(same: tuple[Any, ...], rows: Iterable[tuple[Any, ...]]) -> Repeats:
    told = dict(zip(_SAME, same, strict=True))
    ordered = sorted(rows, key=lambda row: (row[1], row[0]))
    scores = [row[3] for row in ordered if row[3] is not None]
    seconds = [row[4] for row in ordered if row[4] is not None]
    return Repeats(
        dataset_name=told["dataset_name"],
        model_id=told["model_id"],
        device_name=told["device_name"],
        method=told["method"],
        configuration_key=told["configuration_key"],
        run_ids=tuple(row[0] for row in ordered),
        seeds=tuple(row[1] for row in ordered),
        scored=len(scores),
        failed=sum(row[2] != "succeeded" for row in ordered),
        mean=fmean(scores) if scores else None,
        spread=stdev(scores) if len(scores) > 1 else None,
        lowest=min(scores, default=None),
        highest=max(scores, default=None),
        mean_train_seconds=fmean(seconds) if seconds else None,
    )


def _pooled(groups: Sequence[Repeats]) -> tuple[float | None, int]:
    """Return the standard deviation within groups, and how many values it stands on."""
    told = [(one.scored - 1, one.spread) for one in groups if one.spread is not None]
    degrees = sum(count for count, _ in told)
    if not degrees:
        return None, 0
    return (sum(count * spread**2 for count, spread in told) / degrees) ** 0.5, degrees
