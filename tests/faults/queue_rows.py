"""The tables of a queue: every row, and what `queue_model` speaks of."""

from itertools import groupby
from typing import Any

from sqlalchemy import Engine, delete, select

from metadata.database import Base, read_session

OF_JOB = (
    *("state", "retries", "not_before", "generation", "progress", "error_code", "run_id"),
    "checkpoint_step",
)
OF_ATTEMPT = (*("job_id", "generation", "state", "lease_expires_at", "last_batch", "is_recorded"),)
Row = dict[str, Any]


def empty(engine: Engine) -> None:
    """Delete every row of every table."""
    with engine.begin() as connection:
        for table in reversed(Base.metadata.sorted_tables):
            connection.execute(delete(table))


def rows_of(engine: Engine) -> dict[str, list[Row]]:
    """Return every row of every table."""
    with read_session(engine) as session:
        return {
            table.name: [
                dict(row)
                for row in session.execute(select(table).order_by(*table.primary_key)).mappings()
            ]
            for table in Base.metadata.sorted_tables
        }


def shown(rows: dict[str, list[Row]]) -> dict[str, Any]:
    """Return of all rows what the model speaks of."""
    events = _grouped(rows["job_events"], "job_id")
    checkpoints = _grouped(rows["job_checkpoints"], "job_id")
    curves = _grouped(rows["attempt_measurements"], "attempt_id")
    return {
        "jobs": {
            job["id"]: {name: job[name] for name in OF_JOB}
            | {
                "events": [event["number"] for event in events[job["id"]]],
                "checkpoints": {c["name"]: c["step"] for c in checkpoints.get(job["id"], [])},
            }
            for job in rows["jobs"]
        },
        "attempts": {
            attempt["id"]: {name: attempt[name] for name in OF_ATTEMPT}
            | {
                "outcome": attempt["outcome"] and attempt["outcome"]["state"],
                "curve": {p["step"]: p["value"] for p in curves.get(attempt["id"], [])},
            }
            for attempt in rows["attempts"]
        },
        "keys": {(row["owner"], row["key"]): row["job_id"] for row in rows["idempotency_keys"]},
        "runs": {row["id"]: row["origin"]["detail"] for row in rows["runs"]},
    }


def _grouped(rows: list[Row], name: str) -> dict[str, list[Row]]:
    return {key: list(group) for key, group in groupby(rows, key=lambda row: row[name])}
