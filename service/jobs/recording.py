"""From an attempt that has ended to a run in the history, exactly once.

The end of an attempt is decided in one transaction; its run follows. A server that dies between
the two adds the run at its next start: the id comes from the attempt, so no run counts twice.
"""

from collections.abc import Callable

from sqlalchemy import Engine, select, update
from sqlalchemy.orm import Session

from metadata.database import read_session, write_session
from metadata.history import History
from metadata.messages import Outcome
from metadata.records import Device, Origin, Run, Task
from service.jobs.queue import curve_of, find_job
from service.jobs.records import order_of
from service.tables import AttemptRow

ORIGIN = "worker"


class Recorder:
    """Adds the runs of ended attempts to the history."""

    def __init__(
        self, engine: Engine, history: History, *, on_run: Callable[[Run], None] | None = None
    ) -> None:
        """Keep where runs come from, where they go, and who wants to know."""
        self._engine = engine
        self._history = history
        self._on_run = on_run

    def record(self, attempt_id: str) -> bool:
        """Add the run of an ended attempt; False where there is none or it was added before."""
        with read_session(self._engine) as session:
            attempt = session.get(AttemptRow, attempt_id)
            if attempt is None or attempt.outcome is None:
                return False
            run = _run_of(session, attempt)
        is_new = run is not None and self._history.add(run)
        with write_session(self._engine) as session:
            this = AttemptRow.id == attempt_id
            session.execute(update(AttemptRow).where(this).values(is_recorded=True))
        if run is not None and is_new and self._on_run is not None:
            self._on_run(run)
        return is_new

    def catch_up(self) -> int:
        """Add the runs that an earlier server left behind, and return how many."""
        left = select(AttemptRow.id).where(
            AttemptRow.outcome.is_not(None), AttemptRow.is_recorded.is_(False)
        )
        with read_session(self._engine) as session:
            attempts = list(session.scalars(left))
        return sum(self.record(attempt_id) for attempt_id in attempts)


def _run_of(session: Session, attempt: AttemptRow) -> Run | None:
    assert attempt.ended_at is not None, f"{attempt.id} has an outcome and has not ended"
    job = find_job(session, attempt.job_id)
    if job.run_id is None:
        return None
    order, outcome = order_of(job), Outcome.model_validate(attempt.outcome)
    device = Device.model_validate(attempt.device)
    return Run(
        id=job.run_id,
        task=Task(model=order.model, dataset=order.dataset, device=device),
        configuration=order.configuration,
        objective=order.objective,
        state=outcome.state,
        reason=outcome.reason,
        curve=curve_of(session, attempt.id),
        scores=outcome.scores,
        costs=outcome.costs,
        versions=outcome.versions,
        origin=Origin(source=ORIGIN, detail=job.id),
        created_at=attempt.ended_at,
    )
