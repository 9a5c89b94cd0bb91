"""The launcher of several ranks: torch's own, but it ends as its ranks ended.

`torch.distributed.run` ends with 1 whatever became of them, and whether the job is tried again
depends on it: a killed rank is a loss, an error in one is none.
"""

import contextlib
import os
import signal
import sys
from collections.abc import Iterable, Sequence
from uuid import uuid4

from torch.distributed.elastic.multiprocessing import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from training_worker.trainer_messages import PREEMPTED


def main(arguments: Sequence[str]) -> int:
    """Run a command as so many ranks; return its exit code, below 0 the signal that ended one."""
    processes, (program, *options) = int(arguments[0]), arguments[1:]
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=processes,
        run_id=uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        max_restarts=0,
    )
    try:
        elastic_launch(config, program)(*options)
    except ChildFailedError as error:
        return reason_among(failure.exitcode for failure in error.failures.values())
    except SignalException as error:
        return -int(error.sigval)
    return 0


def reason_among(codes: Iterable[int]) -> int:
    """Return the exit code that explains the others.

    The launcher asks those that are left to end, and a rank whose peer is gone aborts.
    """

    def remoteness(code: int) -> int:
        if code in {PREEMPTED, -signal.SIGTERM}:
            return 3
        if code == -signal.SIGABRT:
            return 2
        return 0 if code < 0 else 1

    return min(codes, key=remoteness)


def end(code: int) -> int:
    """Die by the signal that a code below 0 stands for; return any other."""
    if code < 0:
        with contextlib.suppress(OSError):  # SIGKILL has no handler to take away
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    return code


if __name__ == "__main__":
    sys.exit(end(main(sys.argv[1:])))
