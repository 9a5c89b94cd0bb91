"""Delete a run for good, unless a job still lives on it."""

from sqlalchemy import Engine, select

from metadata.database import read_session
from metadata.errors import Conflict
from metadata.history import History
from service.jobs.states import FINAL
from service.tables import AttemptRow, JobRow


def remove_run(run_id: str, history: History, engine: Engine) -> None:
    """Delete a run with its curve and what was said of it; its id stays known.

    A job that has ended keeps the id, and no result of it is ever recorded again: nothing counts
    twice, and the doctor finds all well.

    Raises:
        NotFound: No run has that id.
        Conflict: It is of a job that has not ended, or is on its way to the history.
    """
    attempt_id = run_id.replace("run-", "attempt-", 1)
    query = select(JobRow.id, JobRow.state, AttemptRow.outcome, AttemptRow.is_recorded)
    query = query.join(AttemptRow, AttemptRow.job_id == JobRow.id)
    with read_session(engine) as session:
        found = session.execute(query.where(AttemptRow.id == attempt_id)).one_or_none()
    if found is not None and found.state not in FINAL:
        raise Conflict(
            f"The run {run_id[:80]} is of job {found.id}, which is {found.state}. "
            "Cancel the job, or wait until it has ended."
        )
    if found is not None and found.outcome is not None and not found.is_recorded:
        raise Conflict(
            f"The run {run_id[:80]} is on its way to the history. Ask again in a moment."
        )
    history.remove(run_id)
