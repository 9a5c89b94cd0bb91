"""The loop between queue and executor: start what waits, stop what was ended, see what is lost.

What an executor says is advice: only what the database says of an attempt ends a job.
"""

import logging
import threading
import time
from collections.abc import Callable

from metadata.errors import PeftwiseError, Unavailable
from service.executors.spec import Executor
from service.jobs.attempts import Attempts, Offer
from service.jobs.losses import Losses

log = logging.getLogger(__name__)

STEP_SECONDS = 0.5  # how soon a queued job starts and a cancelled one stops
PAUSE_SECONDS = 5.0  # after a step that failed: the database may be away
TIDY_SECONDS = 60.0  # between two rounds of what can wait


class Dispatcher:
    """Runs in a thread of its own, because a child of Linux dies with the thread it came from.

    Without an executor it looks after leases only: workers attach themselves.
    """

    def __init__(
        self,
        attempts: Attempts,
        losses: Losses,
        executor: Executor | None,
        *,
        name: str,
        devices: int = 1,
        tidy: Callable[[], object] = lambda: None,
    ) -> None:
        """Connect a queue's attempts and an engine.

        Args:
            attempts: What is offered.
            losses: Where the lost ones are told.
            executor: What starts them; None starts none.
            name: Of this executor in the rows of its attempts.
            devices: That train one job together.
            tidy: Called about once a minute.
        """
        self._attempts = attempts
        self._losses = losses
        self._executor = executor
        self._name = name
        self._devices = devices
        self._tidy = tidy
        self._tidied_at = time.monotonic()
        self._wake = threading.Event()
        self.is_draining = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Take up what an earlier server left under way, and begin."""
        reason = "The server was stopped or restarted while the job ran."
        self._lose_left_over(reason, is_loss=True)
        self.is_draining = False
        self._thread = threading.Thread(target=self._run, name="dispatcher", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Start nothing more, let attempts of this machine write a checkpoint, and end."""
        self.is_draining = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join()

    def wake(self) -> None:
        """Look at the queue now instead of at the next step."""
        self._wake.set()

    def look(self) -> tuple[str | None, int]:
        """Return what the executor lacks, None where nothing, and how many more it could start.

        Raises:
            Unavailable: The engine is away.
        """
        if self._executor is None:
            return None, 0
        return self._executor.missing(), self._executor.capacity()

    def step(self) -> None:
        """Bring queue and engine together once."""
        for attempt_id in self._losses.expired():
            self._losses.expire(attempt_id)
        if self._executor is not None:
            try:
                self._attend(self._executor)
            except Unavailable as error:
                log.warning("the executor is away: %s", error)
        if time.monotonic() - self._tidied_at >= TIDY_SECONDS:
            self._tidied_at = time.monotonic()
            self._tidy()

    def _attend(self, executor: Executor) -> None:
        status = executor.status()
        for attempt_id, found in status.items():
            if not found.is_running:
                self._lose_ended(attempt_id, found.how)
        alive = self._losses.alive()
        for attempt_id, found in status.items():
            if found.is_running and attempt_id not in alive:
                executor.cancel(attempt_id)
        while (
            not self.is_draining
            and executor.capacity() > 0
            and (offer := self._attempts.offer(started_by=self._name))
        ):
            self._submit(executor, offer)

    def _lose_ended(self, attempt_id: str, how: str) -> None:
        reason = (
            f"The worker was lost before it reported a result: {how}. Its output is in "
            f"logs/{attempt_id}.log in the data folder."
        )
        self._losses.lose(attempt_id, reason=reason)

    def _submit(self, executor: Executor, offer: Offer) -> None:
        """Start an offered attempt. An engine that has gone away meanwhile costs no try."""
        missing = executor.missing()
        if missing is None:
            try:
                executor.submit(offer.attempt_id, offer.code, devices=self._devices)
            except PeftwiseError as error:
                is_away = executor.capacity() == 0
                self._losses.lose(offer.attempt_id, reason=str(error), is_loss=not is_away)
        elif executor.capacity() == 0:
            self._losses.lose(offer.attempt_id, reason=missing, is_loss=False)
        else:
            self._losses.fail(offer.attempt_id, reason=missing, code="worker_missing")

    def _run(self) -> None:
        while not self.is_draining:
            pause = STEP_SECONDS
            try:
                self.step()
            except Exception:  # the loop must outlive a database that is away for a while
                log.exception("a step of the dispatcher failed")
                pause = PAUSE_SECONDS
            self._wake.wait(pause)
            self._wake.clear()
        if self._executor is not None:
            self._executor.close()
        try:
            self._lose_left_over("The server was stopped.", is_loss=False)
        except Exception:  # the next server does it
            log.exception("the jobs that were running could not be put back")

    def _lose_left_over(self, reason: str, *, is_loss: bool) -> None:
        """Put back the jobs of our own attempts that the engine no longer has under way."""
        if self._executor is None:
            return
        ours = self._losses.alive(started_by=[self._name])
        try:
            under_way = self._executor.recover(ours)
        except Unavailable as error:
            log.warning("the executor is away, its attempts keep their leases: %s", error)
            return
        for attempt_id in ours - under_way:
            self._losses.lose(attempt_id, reason=reason, is_loss=is_loss)
