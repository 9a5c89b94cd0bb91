"""Keep an attempt's lease and send what it has to tell, from threads of a process without torch.

The time counts from *sending* the last renewal that succeeded, on a clock that runs on while the
machine sleeps: an attempt that cannot renew has stopped before its job is given to another.
"""

import sys
import threading
import time
from collections.abc import Callable
from typing import Literal

from metadata.errors import PeftwiseError, Unavailable
from training_worker.client import WorkerClient
from training_worker.outbox import Outbox

REPORT_SECONDS = 1.0  # how soon a measurement is seen
MISSED_RENEWALS = 3  # of the four in a lease: of 60 s, an attempt stops after 45

Verdict = Literal["go_on", "paused", "cancelled", "refused", "away"]


def waking_time() -> float:
    """Return seconds on a clock that never stands still, not while the machine sleeps either."""
    if sys.platform == "linux":
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


class Lease:
    """Renews until it is left. A pause is told once, and the lease kept; else an end is told."""

    def __init__(
        self,
        client: WorkerClient,
        outbox: Outbox,
        *,
        renew_seconds: float,
        on_pause: Callable[[], None],
        on_lost: Callable[[], None],
        claimed_at: float,
        clock: Callable[[], float] = waking_time,
    ) -> None:
        """Take the claim itself for the first renewal.

        Args:
            client: The line to the service.
            outbox: Emptied about once a second.
            renew_seconds: How often to renew.
            on_pause: Called once, where the job is paused: the lease is kept until it is left.
            on_lost: Called once, where the attempt must stop at once.
            claimed_at: When the claim was sent, by `clock`.
            clock: In seconds.
        """
        self.verdict: Verdict = "go_on"
        self._client, self._outbox = client, outbox
        self._renew_seconds = renew_seconds
        self._on_pause, self._on_lost = on_pause, on_lost
        self._clock = clock
        self._renewed_at = self._tried_at = claimed_at
        self._left = threading.Event()
        self._is_lost = threading.Event()
        self._threads = [
            threading.Thread(target=target, name="lease", daemon=True)
            for target in (self._run, self._watch)
        ]

    @property
    def is_held(self) -> bool:
        """Say whether the job is still this attempt's, as far as it can know."""
        return self.verdict in {"go_on", "paused"} and not self._is_over()

    def __enter__(self) -> "Lease":
        """Begin to renew."""
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop renewing."""
        self._left.set()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        pause = min(REPORT_SECONDS, self._renew_seconds / 2)
        try:
            while self.is_held and not self._left.wait(pause):
                was, found = self.verdict, self._beat()
                self.verdict = "away" if self._is_over() else found
                if self.verdict == "paused" != was:
                    self._on_pause()
        except BaseException:  # nobody renews from here on, so nothing may train on
            self.verdict = "away"
            raise
        finally:
            if not self.is_held:
                self._lose()

    def _watch(self) -> None:
        """See the time run out, whatever the renewal that is under way waits for."""
        while not self._left.wait(self._renew_seconds / 4) and not self._is_lost.is_set():
            if self._is_over():
                self.verdict = "away"
                self._lose()

    def _lose(self) -> None:
        if not self._is_lost.is_set():
            self._is_lost.set()
            self._on_lost()

    def _beat(self) -> Verdict:
        if self._is_over():
            return "away"
        verdict, now = self.verdict, self._clock()
        try:
            if now - self._tried_at >= self._renew_seconds:
                self._tried_at = now
                renewed = self._client.renew()
                if renewed.because == "cancelled":
                    return "cancelled"
                self._renewed_at = now  # when it was sent: the service counts from later
                verdict = "go_on" if renewed.go_on else "paused"
            self._outbox.send(self._client)
        except Unavailable:
            return "away" if self._is_over() else verdict
        except PeftwiseError:
            return "refused"
        return verdict

    def _is_over(self) -> bool:
        return self._clock() - self._renewed_at > MISSED_RENEWALS * self._renew_seconds
