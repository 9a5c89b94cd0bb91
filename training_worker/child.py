"""The command `train-child`: the trainer of an attempt, told its work through a pipe."""

import argparse
import ctypes
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import IO

from metadata.errors import PeftwiseError
from metadata.examples import Splits, read_examples, split_examples
from metadata.messages import Outcome
from metadata.records import Measurement
from training_worker import ranks
from training_worker.descendants import PR_SET_PDEATHSIG
from training_worker.failures import classify
from training_worker.request import RunRequest, RunResult, StepTaken
from training_worker.resuming.keeper import Preempted
from training_worker.run import run
from training_worker.trainer_messages import PREEMPTED, Done, Message, Note, Work

NOTE_SECONDS = 1.0  # between two notes of progress


def main(arguments: Sequence[str]) -> int:
    """Read the work from standard input or a file, train, answer on standard output.

    One of several processes that train together reads the file, and only the first answers.
    Returns 0 after the outcome is told, or, without one, `PREEMPTED` after a signal to stop.
    """
    options = _parser().parse_args(arguments)
    stop = StopSignal()
    answers = _take_standard_output()
    launcher = os.getppid()
    with sys.stdin.buffer if options.work is None else options.work.open("rb") as source:
        work = Work.model_validate_json(source.readline())
        _die_with(work.parent if options.work is None else launcher)
        with ranks.joined():
            try:
                outcome = _outcome(work, source, answers, stop)
            except Preempted:
                return PREEMPTED
            _tell(answers, Done(outcome=outcome))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m training_worker train-child",
        description="Train what stands on standard input, as an attempt tells it.",
    )
    parser.add_argument("--work", type=Path, help="file to read instead of standard input")
    return parser


class StopSignal:
    """Notes that the process was told to end (SIGTERM); Ctrl-C is the parent's to handle."""

    def __init__(self) -> None:
        """Listen from now on."""
        self.is_given = False
        signal.signal(signal.SIGTERM, self._note)
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    def _note(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self.is_given = True


def splits_of(
    training: Sequence[bytes] | Iterator[bytes], validation: Iterator[bytes] | None
) -> Splits:
    """Return the data to learn from, to choose by, to score on.

    A validation file takes the place of the validation split, whose examples are then learnt
    from. The test split is the training file's own either way, so that scores compare.
    """
    splits = split_examples(tuple(read_examples(training)))
    if validation is None:
        return splits
    return Splits(
        train=splits.train + splits.validation,
        validation=tuple(read_examples(validation)),
        test=splits.test,
    )


def _outcome(work: Work, source: IO[bytes], answers: IO[bytes], stop: StopSignal) -> Outcome:
    try:
        training = _lines(source, work.training_bytes)
        has_validation = work.validation_bytes is not None
        validation = _lines(source, work.validation_bytes or 0) if has_validation else None
        splits = splits_of(training, validation)
    except PeftwiseError as error:
        state, reason = classify(error)
        return Outcome(state=state, reason=reason)
    request = RunRequest(
        base_model=work.base_model,
        train=splits.train,
        validation=splits.validation,
        test=splits.test,
        configuration=work.configuration,
        objective=work.objective,
        limits=work.limits,
        output_folder=Path(work.output_folder) if work.output_folder else None,
        serve_with=work.serve_with,
        checkpoint_folder=Path(work.checkpoint_folder) if work.checkpoint_folder else None,
        attempt=work.attempt,
        checkpoint_seconds=work.checkpoint_seconds,
    )
    reporter = Reporter(answers)
    result = run(
        request,
        on_measurement=reporter.measured,
        on_step=reporter.stepped,
        on_saved=reporter.told,
        on_notice=reporter.told,
        should_stop=lambda: stop.is_given,
    )
    return outcome_of(result)


def outcome_of(result: RunResult) -> Outcome:
    """Return a result as the service takes it."""
    return Outcome(
        state=result.state,
        reason=result.reason,
        scores=result.scores,
        costs=result.costs,
        versions=result.versions,
        device_name=result.device_name,
        device_count=ranks.devices(),
        adapter_folder=result.adapter_folder.name if result.adapter_folder else None,
    )


class Reporter:
    """Sends every measurement up, and how far the training is once a second."""

    def __init__(self, answers: IO[bytes]) -> None:
        """Keep where to write."""
        self._answers = answers
        self._tokens = 0
        self._noted_at = 0.0

    def measured(self, measurement: Measurement, progress: float) -> None:
        """Send a point of the curve."""
        note = Note(measurement=measurement, trained_tokens=self._tokens, progress=progress)
        _tell(self._answers, note)

    def told(self, message: Message) -> None:
        """Send a message as it is."""
        _tell(self._answers, message)

    def stepped(self, taken: StepTaken) -> None:
        """Send the progress, if the last note is old enough."""
        self._tokens = taken.trained_tokens
        if time.monotonic() - self._noted_at >= NOTE_SECONDS:
            self._noted_at = time.monotonic()
            progress = taken.step / taken.steps
            _tell(self._answers, Note(trained_tokens=self._tokens, progress=progress))


def _tell(answers: IO[bytes], message: Message) -> None:
    if not ranks.is_first():
        return
    answers.write(message.model_dump_json().encode() + b"\n")
    answers.flush()


def _lines(source: IO[bytes], bytes_left: int) -> Iterator[bytes]:
    while bytes_left > 0 and (line := source.readline(bytes_left)):
        bytes_left -= len(line)
        yield line


def _take_standard_output() -> IO[bytes]:
    """Return standard output for messages alone; what libraries print goes to standard error."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return answers


def _die_with(parent: int) -> None:
    """Die when the parent dies."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit(1)
