"""Ask the worker's Python to do one thing and answer: the service itself has no torch."""

import os
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

from metadata.errors import InvalidRequest, PeftwiseError, Unavailable
from service.executors.local import clean_environment

USED_WRONGLY = 2
_MISSING = re.compile(r"No module named '([\w.]+)'")


def ask_worker(
    python: Path, arguments: Sequence[str], *, what: str, seconds: float, told: str = ""
) -> str:
    """Return what `python -m training_worker ARGUMENTS` prints.

    Args:
        python: The interpreter in which torch is installed.
        arguments: The command and its options.
        what: Names the deed at the begin of a sentence, such as `Merging`.
        seconds: How long it may take.
        told: What it reads from standard input.

    Raises:
        Unavailable: The interpreter lacks something, does not run, or takes too long.
        InvalidRequest: The command refuses what it was asked.
    """
    try:
        ended = subprocess.run(
            [str(python), "-m", "training_worker", *arguments],
            input=told,
            capture_output=True,
            text=True,
            timeout=seconds,
            env=clean_environment(os.environ),
        )
    except subprocess.TimeoutExpired:
        raise Unavailable(
            f"{what} may take {seconds:.0f} seconds, and that was not enough. Try again when the "
            "machine has less to do."
        ) from None
    except OSError as error:
        raise Unavailable(
            f"{what} needs a Python that runs, got {error.strerror}. Set PEFTWISE_WORKER_PYTHON "
            "to the interpreter in which peftwise[worker] is installed."
        ) from None
    if ended.returncode != 0:
        raise _refusal(ended, what=what)
    return ended.stdout


def _refusal(ended: "subprocess.CompletedProcess[str]", *, what: str) -> PeftwiseError:
    missing = _MISSING.search(ended.stderr)
    if missing is not None:
        return Unavailable(
            f"{what} needs {missing[1]}, which is not installed in the worker's Python. "
            "Run `pip install peftwise[worker]` there and try again."
        )
    last = (ended.stderr.strip().splitlines() or ["nothing was said"])[-1]
    reason = last.removeprefix("error: ")
    if ended.returncode == USED_WRONGLY:
        return InvalidRequest(reason)
    return Unavailable(f"{what} ended early ({reason}). Mend what it says, or try again.")
