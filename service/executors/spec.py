"""What an engine that runs attempts must be able to do.

What an engine says is advice: whether a job runs, failed or succeeded stands in our database.
"""

from collections.abc import Mapping
from typing import Protocol


class Executor(Protocol):
    """Starts attempts and stops them."""

    def missing(self) -> str | None:
        """Say what is not installed here and how to get it; None where all is ready."""

    def capacity(self) -> int:
        """Return how many more attempts may start now."""

    def submit(self, attempt_id: str, code: str) -> None:
        """Start an attempt and hand it its claim code, so that nobody else can read it.

        Raises:
            Unavailable: It could not be started.
        """

    def running(self) -> frozenset[str]:
        """Return the attempts that were started and have not ended."""

    def ended(self) -> Mapping[str, str]:
        """Return how each attempt ended that did so since the last call, as a sentence."""

    def stop(self, attempt_id: str) -> None:
        """Stop an attempt and all that it started: politely first, surely in the end."""

    def close(self) -> None:
        """Stop everything."""
