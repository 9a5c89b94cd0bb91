"""The command `attempt`: train what a claim code stands for, and report to the service.

This process keeps the lease and imports no torch; the training is done by its child, so that a
crash of the one is told by the other.
"""

import argparse
import contextlib
import logging
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import IO, NoReturn

from metadata.errors import PeftwiseError, Unavailable
from metadata.messages import Assignment, Outcome
from training_worker.client import WorkerClient
from training_worker.lease import Lease
from training_worker.trainer_messages import Done, Work, parse_message

log = logging.getLogger(__name__)

FINISH_SECONDS = 45.0  # how long the outcome is offered to a service that is away
PAUSE_SECONDS = 2.0
DONE, FAILED, USED_WRONGLY = 0, 1, 2


class Stopped(BaseException):
    """A signal asked this process to end."""


def main(arguments: Sequence[str]) -> int:
    """Run the command; return 0 once the service has the outcome or cancelled the job, else 1."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    code = sys.stdin.readline().strip()
    if not code:
        log.error("A claim code is needed as one line on standard input, got none.")
        return USED_WRONGLY
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stop)
    try:
        return attend(WorkerClient(options.server), code, adapters=options.output_dir)
    except Stopped:
        # No outcome: an interruption says nothing of the configuration. The lease ends instead.
        log.info("Stopped by a signal.")
    except PeftwiseError as error:
        log.error("%s", error)
    return FAILED


def attend(client: WorkerClient, code: str, *, adapters: Path | None) -> int:
    """Claim, train in a child, report; return the exit code.

    Raises:
        PeftwiseError: The service refused the code or the outcome, or is away for too long.
    """
    assignment = client.claim(code)
    trainer = Trainer()
    lease = Lease(client, renew_seconds=assignment.renew_seconds, on_lost=trainer.kill)
    is_reported = False
    try:
        with lease, tempfile.TemporaryFile() as files:
            outcome = _train(client, assignment, trainer, lease, files, adapters=adapters)
            if lease.verdict == "go_on":
                _report(client, lease, outcome)
                is_reported = True
    finally:
        trainer.kill()
        if not is_reported:
            _discard(adapters, assignment)
    if is_reported:
        return DONE
    log.info("Stopped: the service's answer to a renewal was %s.", lease.verdict)
    return DONE if lease.verdict == "cancelled" else FAILED


class Trainer:
    """The child that trains; it dies with this process and can be killed from any thread."""

    def __init__(self) -> None:
        """Start nothing yet."""
        self._process: subprocess.Popen[bytes] | None = None
        self._is_killed = False

    def start(self, work: Work, files: IO[bytes]) -> IO[bytes]:
        """Start the child, hand it its work and the files; return where it answers."""
        command = [sys.executable, "-m", "training_worker", "train-child"]
        # Threads that spin long while they wait for each other make a small model crawl on a
        # machine that is shared: a third less time there, and no more on an idle one.
        environment = {"GOMP_SPINCOUNT": "20000", **os.environ}
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
        )
        if self._is_killed:
            self._process.kill()
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        # A pipe that breaks: it needs no more, and its answer says why.
        with contextlib.suppress(BrokenPipeError), self._process.stdin as pipe:
            pipe.write(work.model_dump_json().encode() + b"\n")
            shutil.copyfileobj(files, pipe)
        return self._process.stdout

    def wait(self) -> int:
        """Return the child's exit code once it has ended."""
        assert self._process is not None
        return self._process.wait()

    def kill(self) -> None:
        """End the child at once; it keeps nothing that needs saving."""
        self._is_killed = True
        if self._process is not None and self._process.poll() is None:
            self._process.kill()


def _train(
    client: WorkerClient,
    assignment: Assignment,
    trainer: Trainer,
    lease: Lease,
    files: IO[bytes],
    *,
    adapters: Path | None,
) -> Outcome:
    """Return how the training went, whatever happens: this is where everything is caught."""
    try:
        work = _fetch(client, assignment, files, adapters=adapters)
        for line in trainer.start(work, files):
            message = parse_message(line)
            if isinstance(message, Done):
                return message.outcome
            lease.note(message)
        return Outcome(state="failed", reason=_how_it_ended(trainer.wait()))
    except Exception as error:
        log.exception("The attempt failed outside the training.")
        words = str(error) if isinstance(error, PeftwiseError) else type(error).__name__
        return Outcome(state="failed", reason=f"The attempt failed outside the training: {words}")


def _fetch(
    client: WorkerClient, assignment: Assignment, files: IO[bytes], *, adapters: Path | None
) -> Work:
    training_bytes = client.download("training", files)
    validation_bytes = client.download("validation", files) if assignment.validation_file else None
    files.seek(0)
    return Work(
        parent=os.getpid(),
        base_model=assignment.model_path or assignment.base_model,
        configuration=assignment.configuration,
        serve_with=assignment.serve_with,
        limits=assignment.limits,
        output_folder=str(adapters / assignment.attempt_id) if adapters else None,
        training_bytes=training_bytes,
        validation_bytes=validation_bytes,
    )


def _report(client: WorkerClient, lease: Lease, outcome: Outcome) -> None:
    """Send the last measurements and the outcome, again and again while the service is away."""
    deadline = time.monotonic() + FINISH_SECONDS
    while True:
        try:
            lease.flush()
            client.finish(outcome)
        except Unavailable:
            if time.monotonic() > deadline:
                raise
            time.sleep(PAUSE_SECONDS)
        else:
            log.info("Reported: %s. %s", outcome.state, outcome.reason)
            return


def _discard(adapters: Path | None, assignment: Assignment) -> None:
    """Remove an adapter that no job will name."""
    if adapters is not None:
        shutil.rmtree(adapters / assignment.attempt_id, ignore_errors=True)


def _how_it_ended(code: int) -> str:
    if code >= 0:
        return f"The trainer ended with exit code {code} before it said how the run went."
    name = signal.Signals(-code).name if -code in set(signal.Signals) else "unknown"
    hint = " The system may have run out of memory." if -code == signal.SIGKILL else ""
    return f"The trainer was killed by signal {-code} ({name}).{hint}"


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    del frame
    for ignored in (signal.SIGTERM, signal.SIGINT):
        signal.signal(ignored, signal.SIG_IGN)
    raise Stopped(number)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m training_worker attempt",
        description="Train what a claim code, read as one line from standard input, stands for.",
    )
    add = parser.add_argument
    add("--server", required=True, help="where the service is, such as http://127.0.0.1:8000")
    add("--output-dir", type=Path, help="folder for adapters, each in a folder of its own")
    return parser
