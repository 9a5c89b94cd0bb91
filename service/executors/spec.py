"""What an engine that runs attempts must be able to do.

What an engine says is advice: whether a job runs, failed or succeeded stands in our database.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

LOG_BYTES = 65_536  # of what an attempt printed, enough for a traceback and what led to it


@dataclass(frozen=True, kw_only=True)
class Status:
    """What an engine says of one attempt; `how` completes "the attempt: ..."."""

    is_running: bool  # or waits for its place
    how: str


class Executor(Protocol):
    """Starts attempts and stops them."""

    def missing(self) -> str | None:
        """Say what is not installed or out of reach and the next step; None where all is ready."""

    def capacity(self) -> int:
        """Return how many more attempts may start now, each on all its devices.

        It is 0 while the engine is away.
        """

    def submit(self, attempt_id: str, code: str, *, devices: int = 1) -> None:
        """Start an attempt and hand it its claim code, so that nobody else can read it.

        Asked again for the same attempt, nothing more is started.

        Raises:
            Unavailable: It could not be started, or nobody knows whether it was.
        """

    def status(self) -> Mapping[str, Status]:
        """Return each attempt that is under way or has ended since the last call.

        An attempt that was cancelled and does not listen is killed here, so this is asked often.

        Raises:
            Unavailable: The engine is away; what it ran may run still.
        """

    def cancel(self, attempt_id: str) -> None:
        """Stop an attempt and all that it started: SIGTERM to each, SIGKILL in the end.

        An attempt that is not known, or has ended, is left alone.

        Raises:
            Unavailable: The engine is away.
        """

    def recover(self, attempt_ids: Iterable[str]) -> frozenset[str]:
        """Return which attempts of an earlier server are still under way, and watch them.

        Raises:
            Unavailable: The engine is away.
        """

    def logs(self, attempt_id: str, *, last_bytes: int = LOG_BYTES) -> bytes:
        """Return the end of what an attempt printed, nothing where it printed nothing.

        Raises:
            Unavailable: The engine is away.
        """

    def close(self) -> None:
        """Let go: what dies with the server is stopped, what outlives it runs on."""
