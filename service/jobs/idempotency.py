"""Keys that make an order one, however often it is sent.

A key is unique to its caller, stands in the transaction of its job, and is kept for a day.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete
from sqlalchemy.orm import Session

from metadata.errors import InvalidRequest
from service.tables import IdempotencyRow

HEADER = "Idempotency-Key"
KEPT = timedelta(hours=24)
LONGEST = 255  # characters


@dataclass(frozen=True, kw_only=True)
class OrderKey:
    """Whose key it is, and the hash of the order that came with it."""

    owner: str
    key: str
    body_hash: str


def key_of(owner: str, given: str | None, body: Mapping[str, Any]) -> OrderKey | None:
    """Return the key of an order, None where it has none.

    Raises:
        InvalidRequest: The key is empty or too long.
    """
    if given is None:
        return None
    if not 1 <= len(given) <= LONGEST or not given.isprintable():
        raise InvalidRequest(
            f"{HEADER} must be 1 to {LONGEST} printable characters, got {len(given)}. "
            "Send a new UUID for each order.",
            param=HEADER,
        )
    text = json.dumps(body, sort_keys=True, separators=(",", ":"))
    return OrderKey(owner=owner, key=given, body_hash=hashlib.sha256(text.encode()).hexdigest())


def find_order(session: Session, key: OrderKey, *, now: datetime) -> str | None:
    """Return the job that a key has ordered within the last day, or None.

    Raises:
        InvalidRequest: It came with another order.
    """
    row = session.get(IdempotencyRow, (key.owner, key.key))
    if row is None or row.created_at < now - KEPT:
        return None
    if row.body_hash != key.body_hash:
        raise InvalidRequest(
            f"{HEADER} {key.key[:80]!r} came with another order before, which became "
            f"{row.job_id}. Send a changed order under a new key.",
            param=HEADER,
        )
    return row.job_id


def keep_order(session: Session, key: OrderKey, *, job_id: str, now: datetime) -> None:
    """Keep a key in the transaction of its job."""
    session.add(
        IdempotencyRow(
            owner=key.owner, key=key.key, body_hash=key.body_hash, job_id=job_id, created_at=now
        )
    )


def forget_old_keys(session: Session, *, now: datetime) -> None:
    """Delete the keys that are older than a day."""
    session.execute(delete(IdempotencyRow).where(IdempotencyRow.created_at < now - KEPT))
