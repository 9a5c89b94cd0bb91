"""Many at one queue at once: `python tests/faults/queue_hammer.py DATABASE_URL SEED ACTS`.

Workers take offers, claim, renew, report, and end in some way; meanwhile the same jobs are
paused, resumed, cancelled, and their attempts lost. A refusal is an answer; all else is an error.
"""

import contextlib
import random
import sys
import time
from dataclasses import dataclass

from sqlalchemy import Engine, select

from metadata.database import open_database, read_session
from metadata.errors import Conflict, Unauthorized
from metadata.messages import Outcome, Release, Report
from metadata.records import Costs, Device, Measurement, Scores
from service.jobs.attempts import Attempts, Held
from service.jobs.losses import Losses
from service.jobs.queue import Queue
from service.jobs.timing import Timing
from service.tables import JobRow

TIMING = Timing(0.5)  # so that leases run out and lost jobs come back meanwhile
SUCCESS = Outcome(
    state="succeeded",
    scores=Scores(base_loss=3.0, best_loss=2.0, last_loss=2.5),
    costs=Costs.model_validate(dict.fromkeys(Costs.model_fields, 1) | {"joules": None}),
)
CPU = Device(
    name="CPU",
    kind="cpu",
    memory_bytes=2**34,
    bf16_tflops=0.1,
    bandwidth_gb_per_second=20.0,
    launch_microseconds=5.0,
)


@dataclass
class Hammer:
    """One of the many, with random numbers of its own."""

    engine: Engine
    rng: random.Random

    def __post_init__(self) -> None:
        self.queue = Queue(self.engine)
        self.attempts = Attempts(self.engine, timing=TIMING)
        self.losses = Losses(self.engine, timing=TIMING)

    def run(self, acts: int) -> None:
        """Act so often."""
        for _ in range(acts):
            with contextlib.suppress(Conflict, Unauthorized):
                self.rng.choice([self.work, self.work, self.disturb])()

    def work(self) -> None:
        """Be a worker."""
        if (offer := self.attempts.offer()) is None:
            return
        held = self.attempts.claim(offer.code)
        for number in range(1, self.rng.randint(2, 6)):
            self.attempts.renew(held.attempt_id, held.token)
            self.attempts.report(held.attempt_id, held.token, _point(number))
        self._end(held)

    def disturb(self) -> None:
        """Be a caller, or the one who looks after all."""
        with read_session(self.engine) as session:
            job_id = self.rng.choice(session.scalars(select(JobRow.id)).all())
        alive = sorted(self.losses.alive())
        match self.rng.randint(0, 9):
            case 0:
                self.queue.cancel(job_id)
            case 1 | 2 | 3:
                self.queue.pause(job_id)
            case 4 | 5 | 6:
                self.queue.resume(job_id)
            case 7 if alive:
                self.losses.lose(self.rng.choice(alive), reason="It was killed.", is_loss=False)
            case _:
                for attempt_id in self.losses.expired():
                    self.losses.expire(attempt_id)

    def _end(self, held: Held) -> None:
        match self.rng.randint(0, 9):
            case 0:
                self.attempts.finish(held.attempt_id, held.token, SUCCESS, CPU)
            case 1:
                time.sleep(1.5 * TIMING.lease_seconds)  # as one that was killed
            case _:
                self.attempts.release(held.attempt_id, held.token, Release(reason="It must stop."))


def _point(number: int) -> Report:
    point = Measurement(name="loss", step=number, value=1.0, split="validation")
    return Report(number=number, measurements=(point, point))


if __name__ == "__main__":
    url, seed, acts = sys.argv[1:]
    Hammer(open_database(url), random.Random(int(seed))).run(int(acts))
