"""Why runs failed: counted by state and reason, numbers in reasons left out so that likes meet."""

import re
from collections import Counter
from dataclasses import dataclass, field

from metadata.browsing import Browser, View

SHOWN_RUNS = 5  # of each reason
_NUMBER = re.compile(r"\d[\d,.]*\d|\d")


@dataclass(kw_only=True)
class Failure:
    """A reason for which runs failed; `reason` has # for each number, `example` is one in full."""

    state: str
    reason: str
    example: str
    runs: int = 0
    methods: Counter[str] = field(default_factory=Counter)
    run_ids: list[str] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Failures:
    """The reasons, the most frequent first, and how many runs there are in all."""

    reasons: tuple[Failure, ...]
    runs: int
    failed: int
    failed_by_method: dict[str, tuple[int, int]]  # failed, of all


def failures(browser: Browser, view: View) -> Failures:
    """Count the failed runs of a view by reason.

    Raises:
        BadFilter: The view cannot be read.
    """
    rows = browser.counted(view, ["state", "reason", "method"])
    found: dict[tuple[str, str], Failure] = {}
    tried: Counter[str] = Counter()
    failed: Counter[str] = Counter()
    for state, reason, method, count, run_id in sorted(rows, key=lambda row: -row[3]):
        tried[method] += count
        if state == "succeeded":
            continue
        failed[method] += count
        like = _NUMBER.sub("#", reason)
        one = found.setdefault((state, like), Failure(state=state, reason=like, example=reason))
        one.runs += count
        one.methods[method] += count
        if len(one.run_ids) < SHOWN_RUNS:
            one.run_ids.append(run_id)
    return Failures(
        reasons=tuple(sorted(found.values(), key=lambda one: (-one.runs, one.state, one.reason))),
        runs=tried.total(),
        failed=failed.total(),
        failed_by_method={name: (failed[name], tried[name]) for name in sorted(tried)},
    )
