"""Keys that make an order one, however often it is sent.

A key is unique to its caller, stands in the transaction of its job, and is kept for a day. OpenAI's
client sends none, but says how often it has tried: an order that it sends again is known by its
body for some minutes.
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
from service.upsert import upsert

HEADER = "Idempotency-Key"
RETRIES_HEADER = "x-stainless-retry-count"  # of OpenAI's client: 0 at the first try
KEPT, RETRIES_KEPT = timedelta(hours=24), timedelta(minutes=10)
LONGEST = 255  # characters


@dataclass(frozen=True, kw_only=True)
class OrderKey:
    """Whose key it is, and the hash of the order that came with it.

    The first try of an order is never another one's answer: it is only kept for its retries.
    """

    owner: str
    key: str
    body_hash: str
    kept: timedelta = KEPT
    is_first_try: bool = False


def key_of(
    owner: str, given: str | None, body: Mapping[str, Any], *, retries: str | None = None
) -> OrderKey | None:
    """Return the key of an order, None where it has none.

    Args:
        owner: Whose order it is.
        given: The key that came with it.
        body: The order.
        retries: How often OpenAI's client has sent it before.

    Raises:
        InvalidRequest: The key is empty or too long.
    """
    text = json.dumps(body, sort_keys=True, separators=(",", ":"))
    body_hash = hashlib.sha256(text.encode()).hexdigest()
    if given is None:
        if retries is None or not retries.isdecimal():
            return None
        return OrderKey(
            owner=owner,
            key=f"{RETRIES_HEADER}:{body_hash}",
            body_hash=body_hash,
            kept=RETRIES_KEPT,
            is_first_try=int(retries) == 0,
        )
    if not 1 <= len(given) <= LONGEST or not given.isprintable():
        raise InvalidRequest(
            f"{HEADER} must be 1 to {LONGEST} printable characters, got {len(given)}. "
            "Send a new UUID for each order.",
            param=HEADER,
        )
    return OrderKey(owner=owner, key=given, body_hash=body_hash)


def find_order(session: Session, key: OrderKey, *, now: datetime) -> str | None:
    """Return the job that a key has ordered before, while it is kept, or None.

    Raises:
        InvalidRequest: It came with another order.
    """
    row = session.get(IdempotencyRow, (key.owner, key.key))
    if row is None or key.is_first_try or row.created_at < now - key.kept:
        return None
    if row.body_hash != key.body_hash:
        raise InvalidRequest(
            f"{HEADER} {key.key[:80]!r} came with another order before, which became "
            f"{row.job_id}. Send a changed order under a new key.",
            param=HEADER,
        )
    return row.job_id


def keep_order(session: Session, key: OrderKey, *, job_id: str, now: datetime) -> None:
    """Keep a key in the transaction of its job; of two with one key the second fails."""
    row = {
        "owner": key.owner,
        "key": key.key,
        "body_hash": key.body_hash,
        "job_id": job_id,
        "created_at": now,
    }
    if key.kept == RETRIES_KEPT:  # the newest order of a body is what its retries mean
        upsert(session, IdempotencyRow, [row], written_over=["job_id", "created_at"])
    else:
        session.add(IdempotencyRow(**row))


def forget_old_keys(session: Session, *, now: datetime) -> None:
    """Delete the keys that are older than a day."""
    session.execute(delete(IdempotencyRow).where(IdempotencyRow.created_at < now - KEPT))
