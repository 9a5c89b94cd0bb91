"""The loop between queue and executor: start what waits, stop what was cancelled, see what died."""

import logging
import threading

from metadata.errors import PeftwiseError
from service.executors.spec import Executor
from service.jobs.attempts import Attempts, Offer

log = logging.getLogger(__name__)

STEP_SECONDS = 0.5  # how soon a queued job starts and a cancelled one stops
PAUSE_SECONDS = 5.0  # after a step that failed: the database may be away
_AGAIN = "Submit the job again."


class Dispatcher:
    """Runs in a thread of its own, because a child of Linux dies with the thread it came from."""

    def __init__(self, attempts: Attempts, executor: Executor) -> None:
        """Connect a queue's attempts and an engine."""
        self._attempts = attempts
        self._executor = executor
        self._wake = threading.Event()
        self._is_stopping = False
        self._thread = threading.Thread(target=self._run, name="dispatcher", daemon=True)

    def start(self) -> None:
        """Fail what an earlier server left running, and begin."""
        self.fail_left_over()
        self._thread.start()

    def stop(self) -> None:
        """Stop every attempt, fail its job, and end."""
        self._is_stopping = True
        self._wake.set()
        self._thread.join()

    def wake(self) -> None:
        """Look at the queue now instead of at the next step."""
        self._wake.set()

    def fail_left_over(self) -> None:
        """Fail the jobs of attempts that an earlier server started: their processes are gone."""
        for attempt_id in self._attempts.alive():
            reason = f"The server was stopped or restarted while the job ran. {_AGAIN}"
            self._attempts.lose(attempt_id, reason=reason, code="server_restarted")

    def step(self) -> None:
        """Bring queue and engine together once."""
        self._see_ended()
        self._expire()
        self._stop_orphans()
        while self._executor.capacity() > 0 and (offer := self._attempts.offer()):
            self._submit(offer)

    def _run(self) -> None:
        while not self._is_stopping:
            pause = STEP_SECONDS
            try:
                self.step()
            except Exception:  # the loop must outlive a database that is away for a while
                log.exception("a step of the dispatcher failed")
                pause = PAUSE_SECONDS
            self._wake.wait(pause)
            self._wake.clear()
        self._executor.close()
        self.fail_left_over()

    def _see_ended(self) -> None:
        for attempt_id, how in self._executor.ended().items():
            reason = (
                f"The worker was lost before it reported a result: {how}. Its output is in "
                f"logs/{attempt_id}.log in the data folder. {_AGAIN}"
            )
            self._attempts.lose(attempt_id, reason=reason, code="worker_lost")

    def _expire(self) -> None:
        for attempt_id in self._attempts.expired():
            reason = f"The worker was not heard of for longer than its lease. {_AGAIN}"
            self._attempts.lose(attempt_id, reason=reason, code="lease_expired")

    def _stop_orphans(self) -> None:
        """Stop what runs without a job: cancelled or expired ones."""
        for attempt_id in self._executor.running() - self._attempts.alive():
            self._executor.stop(attempt_id)

    def _submit(self, offer: Offer) -> None:
        missing = self._executor.missing()
        if missing is not None:
            self._attempts.lose(offer.attempt_id, reason=missing, code="worker_missing")
            return
        try:
            self._executor.submit(offer.attempt_id, offer.code)
        except PeftwiseError as error:
            reason = f"{error} {_AGAIN}"
            self._attempts.lose(offer.attempt_id, reason=reason, code="worker_missing")
