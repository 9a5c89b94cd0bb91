"""What was forecast of recommended configurations, beside what their runs came to.

A job names the answer and the rank that it took; its run is what happened. Of quality the answer
forecast a regret, 0 for the best of a task and 1 for its median: what was observed is counted
among the runs known on the same pair by now, where enough of them were scored.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from sqlalchemy import Engine, Row, func, select
from sqlalchemy.orm import Session

from metadata.browsing import View, filtered
from metadata.database import read_session
from metadata.regret import MINIMUM_CORE, WORST_REGRET
from metadata.run_rows import RunRow
from service.tables import JobRow, RecommendationRow

QUANTITIES = ("train_seconds", "peak_memory_bytes", "regret")
ROWS_AT_ONCE = 200  # answers are large: 50 configurations each at most


@dataclass(frozen=True, kw_only=True)
class Compared:
    """One quantity of one run: the forecast with its 90 % interval, and what was observed."""

    expected: float
    low: float
    high: float
    observed: float | None

    @property
    def is_inside(self) -> bool | None:
        """Say whether the interval held; None where nothing was observed."""
        return None if self.observed is None else self.low <= self.observed <= self.high


@dataclass(frozen=True, kw_only=True)
class Predicted:
    """A run of a recommended configuration; `quantities` are those of `QUANTITIES`."""

    run_id: str
    job_id: str
    recommendation_id: str
    rank: int
    knowledge_version: str
    dataset_name: str
    model_id: str
    method: str
    state: str
    score: float | None
    failure_probability: float
    quantities: Mapping[str, Compared]


@dataclass(frozen=True, kw_only=True)
class Held:
    """How well one quantity was forecast: how many were inside, and the median of true / said."""

    runs: int
    inside: int
    median_ratio: float | None


def predicted(engine: Engine, view: View) -> list[Predicted]:
    """Return the runs of a view whose configuration was recommended, newest first.

    Raises:
        BadFilter: The view cannot be read.
    """
    with read_session(engine) as session:
        return list(_predicted(session, view))


def held(found: Sequence[Predicted]) -> dict[str, Held]:
    """Return how well each quantity was forecast."""
    return {name: _held([one.quantities[name] for one in found]) for name in QUANTITIES}


def _held(compared: Sequence[Compared]) -> Held:
    told = [one for one in compared if one.observed is not None]
    ratios = [one.observed / one.expected for one in told if one.observed and one.expected > 0]
    return Held(
        runs=len(told),
        inside=sum(bool(one.is_inside) for one in told),
        median_ratio=median(ratios) if ratios else None,
    )


def _predicted(session: Session, view: View) -> Iterator[Predicted]:
    query = (
        filtered(_joined(), view)
        .order_by(RunRow.created_at.desc(), RunRow.id.desc())
        .execution_options(yield_per=ROWS_AT_ONCE)
    )
    pairs = _Pairs(session)
    for rows in session.execute(query).partitions():
        pairs.read({row.pair for row in rows})
        yield from (one for row in rows if (one := _one(row, pairs)) is not None)


def _joined() -> Any:
    """Return the query of runs with their job and the answer that it took."""
    return (
        select(
            RunRow.id,
            RunRow.pair,
            RunRow.dataset_name,
            RunRow.model_id,
            RunRow.method,
            RunRow.state,
            RunRow.score,
            RunRow.train_seconds,
            RunRow.peak_tensor_bytes,
            JobRow.id.label("job_id"),
            JobRow.rank,
            RecommendationRow.id.label("recommendation_id"),
            RecommendationRow.knowledge_version,
            RecommendationRow.answer,
        )
        .join(JobRow, JobRow.run_id == RunRow.id)
        .join(RecommendationRow, RecommendationRow.id == JobRow.recommendation_id)
        .where(JobRow.rank.is_not(None))
    )


def _one(row: Row[Any], pairs: "_Pairs") -> Predicted | None:
    said = _said(row.answer, row.rank)
    if said is None:  # another version of Peftwise answered
        return None
    quality = said["quality"]
    regret = {**quality, "expected": quality["expected_regret"]}
    return Predicted(
        run_id=row.id,
        job_id=row.job_id,
        recommendation_id=row.recommendation_id,
        rank=row.rank,
        knowledge_version=row.knowledge_version,
        dataset_name=row.dataset_name,
        model_id=row.model_id,
        method=row.method,
        state=row.state,
        score=row.score,
        failure_probability=said.get("failure_probability", 0.0),
        quantities={
            "train_seconds": _compared(said["train_seconds"], row.train_seconds),
            "peak_memory_bytes": _compared(said["peak_memory_bytes"], row.peak_tensor_bytes),
            "regret": _compared(regret, pairs.regret(row)),
        },
    )


def _said(answer: Mapping[str, Any], rank: int) -> Mapping[str, Any] | None:
    configurations = answer.get("configurations", [])
    found = configurations[rank - 1] if 1 <= rank <= len(configurations) else None
    needed = {"quality", "train_seconds", "peak_memory_bytes"}
    return found if isinstance(found, Mapping) and needed <= set(found) else None


def _compared(said: Mapping[str, Any], observed: float | None) -> Compared:
    return Compared(
        expected=said["expected"], low=said["low"], high=said["high"], observed=observed
    )


class _Pairs:
    """Best and median of the scores on pairs, each configuration's repeats averaged."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._known: dict[str, tuple[float, float] | None] = {}

    def read(self, pairs: set[str]) -> None:
        new = pairs - set(self._known)
        mean = func.avg(RunRow.score)
        query = select(RunRow.pair, mean).where(RunRow.pair.in_(new), RunRow.score.is_not(None))
        scores: dict[str, list[float]] = defaultdict(list)
        for pair, score in self._session.execute(
            query.group_by(RunRow.pair, RunRow.configuration_key)
        ):
            scores[pair].append(score)
        for pair in new:
            enough = len(scores[pair]) >= MINIMUM_CORE
            self._known[pair] = (max(scores[pair]), median(scores[pair])) if enough else None

    def regret(self, row: Row[Any]) -> float | None:
        """Return (best - score) / (best - median), within 0 and 2; 2 for a run that failed."""
        known = self._known[row.pair]
        if known is None or known[0] <= known[1]:
            return None
        if row.score is None:
            return WORST_REGRET if row.state != "succeeded" else None
        best, middle = known
        return float(min(max((best - row.score) / (best - middle), 0.0), WORST_REGRET))
