"""How long leases, offers and the waits between tries are: all in fixed ratios to the lease."""

from dataclasses import dataclass
from datetime import timedelta

RENEWALS = 4  # of a lease of 60 s: one every 15 s; an attempt stops after three that failed
OFFER = 2.0  # leases that a worker has to claim what was offered
BACKOFF = (1 / 6, 1.0, 5.0)  # leases before each try again: 10 s, 60 s, 300 s


@dataclass(frozen=True)
class Timing:
    """The times of one server, in seconds, from how long a lease lasts."""

    lease_seconds: float = 60.0

    @property
    def renew_seconds(self) -> float:
        """Return how often an attempt renews."""
        return self.lease_seconds / RENEWALS

    @property
    def lease(self) -> timedelta:
        """Return how long an attempt may be silent."""
        return timedelta(seconds=self.lease_seconds)

    @property
    def offer(self) -> timedelta:
        """Return how long an offer waits for its worker."""
        return OFFER * self.lease

    def wait(self, retries: int) -> timedelta | None:
        """Return how long a job waits that was lost after so many retries; None: no more."""
        return BACKOFF[retries] * self.lease if retries < len(BACKOFF) else None
