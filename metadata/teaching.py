"""Which runs are learnt from: those that say what learning needs.

An imported run may leave parts open; it is there to look at. It teaches where all that describes
it was told, costs alone where it has no score.
"""

from collections.abc import Iterable

from metadata.records import IMPORTED, Run

# Gaps that no surrogate reads: a cost that is 0 counts as not told.
_HARMLESS = frozenset({"created_at", "configuration.seed"})


def can_teach(run: Run) -> bool:
    """Say whether a run tells all that learning needs."""
    gaps = (gap.strip() for gap in run.origin.gaps.split(",") if gap.strip())
    return all(gap in _HARMLESS or gap.startswith("costs.") for gap in gaps)


def teaching(runs: Iterable[Run]) -> list[Run]:
    """Return the runs to learn from, in their order.

    Left out besides those with gaps are imported runs that succeeded without a score of ours on a
    pair with a core: there a run without a score counts as one that failed.
    """
    told = [run for run in runs if can_teach(run)]
    core = {run.task.pair for run in told if run.core}
    return [run for run in told if not (_is_unscored(run) and run.task.pair in core)]


def _is_unscored(run: Run) -> bool:
    is_imported = run.id.startswith(IMPORTED)
    return is_imported and run.state == "succeeded" and run.score is None
