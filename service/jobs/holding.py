"""Who holds a job: codes, tokens, and the order in which rows are locked.

A claim code works once and gives a token: the number of the attempt, which rises with each, and
a secret. Only hashes of both are kept. All but the newest attempt that has not ended is refused.
"""

import hashlib
import hmac

from sqlalchemy.orm import Session

from metadata.errors import Conflict, Unauthorized
from service.jobs.queue import find_job
from service.tables import AttemptRow, JobRow


def hash_of(secret: str) -> str:
    """Return what is kept of a code or a token."""
    return hashlib.sha256(secret.encode()).hexdigest()


def locked_job(session: Session, attempt: AttemptRow) -> JobRow:
    """Lock the job first and look at its attempt anew, so that no two orders of locks meet."""
    job = find_job(session, attempt.job_id, lock=True)
    session.refresh(attempt)
    return job


def known(session: Session, attempt_id: str, token: str) -> tuple[AttemptRow, JobRow]:
    """Return an attempt and its locked job to whoever has its token, current or not.

    Raises:
        Unauthorized: The token is not this attempt's.
    """
    attempt = authenticated(session, attempt_id, token)
    return attempt, locked_job(session, attempt)


def holder(session: Session, attempt_id: str, token: str) -> tuple[AttemptRow, JobRow]:
    """Return an attempt and its locked job to the one that holds it now.

    Raises:
        Unauthorized: The token is not this attempt's.
        Conflict: The attempt does not hold its job any more.
    """
    attempt, job = known(session, attempt_id, token)
    check_current(attempt, job)
    return attempt, job


def authenticated(session: Session, attempt_id: str, token: str) -> AttemptRow:
    """Return an attempt to whoever has its token.

    Raises:
        Unauthorized: The token is not this attempt's.
    """
    attempt = session.get(AttemptRow, attempt_id)
    expected = "" if attempt is None else attempt.token_hash or ""
    if attempt is None or not hmac.compare_digest(expected, hash_of(token)):
        raise Unauthorized(
            "The token is not of this attempt. Claim an attempt with its code to get one."
        )
    return attempt


def check_current(attempt: AttemptRow, job: JobRow) -> None:
    """Refuse an attempt that has ended, or that another one has followed.

    Raises:
        Conflict: It is one of these.
    """
    if attempt.ended_at is not None or attempt.generation != job.generation:
        raise Conflict(
            f"Attempt {attempt.generation} does not hold its job any more, which is {job.state}: "
            "nothing was changed. Stop."
        )


def unknown_code() -> Unauthorized:
    """Return the refusal of a claim code."""
    return Unauthorized(
        "The claim code is unknown or was used before: a code works once. Let the server start "
        "another attempt."
    )
