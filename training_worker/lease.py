"""Keep an attempt's lease and send its measurements, from a thread beside the trainer's reader."""

import threading
import time
from collections.abc import Callable
from typing import Literal

from metadata.errors import PeftwiseError, Unavailable
from metadata.messages import MeasurementBatch
from metadata.records import Measurement
from training_worker.client import WorkerClient
from training_worker.trainer_messages import Note

REPORT_SECONDS = 1.0  # how soon a measurement is seen
MISSED_RENEWALS = 3  # of 15 s: an attempt stops 45 s after it sent the last that succeeded
BATCH = 10_000  # measurements in one message

Verdict = Literal["go_on", "cancelled", "refused", "away"]


class Lease:
    """Renews until it is left; calls `on_lost` once where the attempt must stop."""

    def __init__(
        self,
        client: WorkerClient,
        *,
        renew_seconds: float,
        on_lost: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take the claim itself for the first renewal."""
        self.verdict: Verdict = "go_on"
        self._client = client
        self._renew_seconds = renew_seconds
        self._on_lost = on_lost
        self._clock = clock
        self._renewed_at = self._tried_at = clock()
        self._waiting: list[Measurement] = []
        self._latest: Note | None = None
        self._lock = threading.Lock()
        self._sending = threading.Lock()
        self._left = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lease", daemon=True)

    def __enter__(self) -> "Lease":
        """Begin to renew."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop renewing."""
        self._left.set()
        self._thread.join()

    def note(self, note: Note) -> None:
        """Keep what the trainer said until it is sent."""
        with self._lock:
            self._latest = note
            if note.measurement is not None:
                self._waiting.append(note.measurement)

    def flush(self) -> None:
        """Send what waits; it stays waiting where the service is away."""
        with self._sending:
            self._send()

    def _send(self) -> None:
        with self._lock:
            batch, latest = self._waiting[:BATCH], self._latest
        if latest is None:
            return
        self._client.report(
            MeasurementBatch(
                measurements=tuple(batch),
                trained_tokens=latest.trained_tokens,
                progress=latest.progress,
            )
        )
        with self._lock:
            del self._waiting[: len(batch)]
            if self._latest is latest and not self._waiting:
                self._latest = None

    def _run(self) -> None:
        pause = min(REPORT_SECONDS, self._renew_seconds / 2)
        try:
            while self.verdict == "go_on" and not self._left.wait(pause):
                self.verdict = self._beat()
        except BaseException:  # nobody renews from here on, so nothing may train on
            self.verdict = "away"
            raise
        finally:
            if self.verdict != "go_on":
                self._on_lost()

    def _beat(self) -> Verdict:
        now = self._clock()
        try:
            if now - self._tried_at >= self._renew_seconds:
                self._tried_at = now
                if not self._client.renew().go_on:
                    return "cancelled"
                self._renewed_at = now  # when it was sent: the service counts from later
            self.flush()
        except Unavailable:
            limit = MISSED_RENEWALS * self._renew_seconds
            return "away" if self._clock() - self._renewed_at > limit else "go_on"
        except PeftwiseError:
            return "refused"
        return "go_on"
