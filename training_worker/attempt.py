"""The command `attempt`: train what a claim code stands for, and report to the service.

This process keeps the lease and imports no torch; the training is done by its child, so that a
crash of the one is told by the other.
"""

import argparse
import logging
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import IO

from metadata.errors import PeftwiseError, Unavailable
from metadata.messages import Assignment, Outcome, Release
from training_worker.assignments import write_work
from training_worker.client import WorkerClient
from training_worker.descendants import adopt_orphans
from training_worker.lease import Lease, waking_time
from training_worker.outbox import Outbox
from training_worker.trainer_messages import PREEMPTED, Done, Note, Notice, Saved, parse_message
from training_worker.trainer_process import Trainer

log = logging.getLogger(__name__)

PAUSE_SECONDS = 2.0  # between two tries to tell the end to a service that is away
DONE, FAILED, USED_WRONGLY = 0, 1, 2
POLITE = {PREEMPTED, -signal.SIGTERM}  # exit codes of a trainer that was asked to end
TRAINER = ("-m", "training_worker", "train-child")
End = Outcome | Release


def main(arguments: Sequence[str]) -> int:
    """Run the command; return 0 once the service knows how the attempt ended, else 1."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    code = _code(options.code_file)
    if not code:
        log.error("A claim code is needed as one line on standard input, got none.")
        return USED_WRONGLY
    adopt_orphans()
    trainer = ("-m", options.trainer) if options.trainer else TRAINER
    attempt = Attempt(
        WorkerClient(options.server),
        Trainer(processes=options.devices, trainer=trainer),
        adapters=options.output_dir,
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, attempt.stop)
    try:
        return attempt.attend(code)
    except PeftwiseError as error:
        log.error("%s", error)
        return FAILED


class Attempt:
    """One try at a job, from its claim to its end."""

    def __init__(self, client: WorkerClient, trainer: Trainer, *, adapters: Path | None) -> None:
        """Keep the line to the service, what trains, and where adapters go."""
        self._client, self._trainer, self._adapters = client, trainer, adapters
        self._outbox = Outbox()
        self._is_stopping = False
        self._grace_seconds = 0.0

    def attend(self, code: str) -> int:
        """Claim, train in a child, tell the end; return the exit code.

        Raises:
            PeftwiseError: The service refused the code or the end, or is away for too long.
        """
        claimed_at = waking_time()
        assignment = self._client.claim(code)
        self._grace_seconds = assignment.renew_seconds
        lease = Lease(
            self._client,
            self._outbox,
            renew_seconds=assignment.renew_seconds,
            on_pause=self._ask_trainer,
            on_lost=self._trainer.kill,
            claimed_at=claimed_at,
        )
        is_kept = False
        try:
            with lease, tempfile.TemporaryFile() as work:  # without a name: nothing is left
                end = self._train(assignment, lease, work)
                self._trainer.kill()  # what a trainer that ended has left behind
                if lease.is_held:
                    self._tell(end, lease)
                    is_kept = isinstance(end, Outcome)
        finally:
            self._trainer.kill()
            if not is_kept and self._adapters is not None:
                shutil.rmtree(self._adapters / assignment.attempt_id, ignore_errors=True)
        if lease.verdict in {"go_on", "paused"}:
            return DONE
        log.info("Stopped: the service's answer to a renewal was %s.", lease.verdict)
        return DONE if lease.verdict == "cancelled" else FAILED

    def stop(self, number: int, frame: FrameType | None) -> None:
        """Hear a signal: have the trainer write a checkpoint, and give the job back."""
        del frame
        if not self._is_stopping:
            self._is_stopping = True
            log.info("Asked to stop by signal %d.", number)
            self._ask_trainer()

    def _ask_trainer(self) -> None:
        """Have the trainer write a checkpoint and end, within one renewal."""
        self._trainer.stop()
        timer = threading.Timer(self._grace_seconds, self._trainer.kill)
        timer.daemon = True
        timer.start()

    def _train(self, assignment: Assignment, lease: Lease, work: IO[bytes]) -> End:
        """Return how the training ended, whatever happens: this is where everything is caught."""
        try:
            write_work(work, assignment, self._client, adapters=self._adapters)
            if self._is_stopping:
                return self._released(0, lease)
            for line in self._trainer.start(work, on_print=self._printed):
                message = parse_message(line)
                if isinstance(message, Done):
                    return message.outcome
                self._keep(message)
            return self._released(self._trainer.wait(), lease)
        except Unavailable as error:
            return Release(reason=f"The worker lost the service: {error}", is_loss=True)
        except Exception as error:
            log.exception("The attempt failed outside the training.")
            words = str(error) if isinstance(error, PeftwiseError) else type(error).__name__
            return _failed(f"The attempt failed outside the training: {words}")

    def _keep(self, message: Note | Notice | Saved) -> None:
        match message:
            case Note():
                self._outbox.note(message)
            case Notice():
                self._outbox.notice(message)
            case Saved():
                self._outbox.saved(message)

    def _printed(self, piece: bytes) -> None:
        sys.stderr.buffer.write(piece)
        sys.stderr.buffer.flush()
        self._outbox.printed(piece)

    def _released(self, code: int, lease: Lease) -> End:
        """Return what a trainer that ended without a word stands for."""
        if self._is_stopping or lease.verdict == "paused" or code in POLITE:
            was_paused = lease.verdict == "paused" and not self._is_stopping
            reason = (
                "Paused: its worker has stopped."
                if was_paused
                else ("The worker was asked to stop.")
            )
            return Release(reason=reason)
        if code >= 0:
            return _failed(
                f"The trainer ended with exit code {code} before it said how the run went. "
                "The job's log has its last words."
            )
        return Release(reason=f"The trainer was killed by {_signal(-code)}.", is_loss=True)

    def _tell(self, end: End, lease: Lease) -> None:
        """Tell the end, for as long as the lease is held."""
        tell: Callable[[], None] = (
            (lambda: self._client.finish(end))
            if isinstance(end, Outcome)
            else (lambda: self._client.release(end))
        )
        while True:
            try:
                self._outbox.send(self._client)
                tell()
            except Unavailable:
                if not lease.is_held:
                    raise
                time.sleep(min(PAUSE_SECONDS, self._grace_seconds))
            else:
                log.info("Told: %s", end.state if isinstance(end, Outcome) else end.reason)
                return


def _failed(reason: str) -> Outcome:
    return Outcome(state="failed", reason=reason)


def _signal(number: int) -> str:
    name = signal.Signals(number).name if number in set(signal.Signals) else "unknown"
    hint = "; the system may have run out of memory" if number == signal.SIGKILL else ""
    return f"signal {number} ({name}{hint})"


def _code(file: Path | None) -> str:
    """Return the claim code, from a file that goes, or from standard input."""
    if file is None:
        return sys.stdin.readline().strip()
    try:
        return file.read_text().strip()
    except OSError:
        return ""
    finally:
        file.unlink(missing_ok=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m training_worker attempt",
        description="Train what a claim code, read as one line from standard input, stands for.",
    )
    add = parser.add_argument
    add("--server", required=True, help="where the service is, such as http://127.0.0.1:8000")
    add("--output-dir", type=Path, help="folder for adapters, each in a folder of its own")
    add("--code-file", type=Path, help="file of the claim code, deleted once it is read")
    add("--devices", type=int, default=1, help="processes that train together, one a device")
    add("--trainer", help=argparse.SUPPRESS)  # another module in the trainer's place, for tests
    return parser
