"""What an attempt has to tell the service, kept until it is told.

Reports are numbered. One that may not have arrived is sent again as it was, under its number, so
that the service takes it once; the log is sent by the place at which each piece belongs.
"""

import threading
from typing import TypeVar

from metadata.errors import TooLarge
from metadata.messages import Notice as JobNotice
from metadata.messages import Report, SavedCheckpoint
from metadata.records import Measurement
from training_worker.client import WorkerClient
from training_worker.trainer_messages import Note, Notice, Saved

Item = TypeVar("Item")

MEASUREMENTS, NOTICES = 10_000, 1_000  # in one report
PIECE_BYTES = 2**18  # of the log in one request
LONGEST_LOG = 2**24  # bytes that wait while the service is away; what is older goes


class Outbox:
    """Filled by whoever reads the trainer, emptied by the lease."""

    def __init__(self) -> None:
        """Begin with nothing to tell."""
        self._lock, self._sending = threading.Lock(), threading.Lock()
        self._measurements: list[Measurement] = []
        self._notices: list[JobNotice] = []
        self._saved: list[SavedCheckpoint] = []
        self._tokens, self._progress = 0, 0.0
        self._is_new = False
        self._number = 0
        self._report: Report | None = None  # on its way
        self._log = bytearray()
        self._log_offset = 0
        self._is_log_full = False

    def note(self, note: Note) -> None:
        """Keep a point of the curve and how far the training is."""
        with self._lock:
            self._is_new = True
            self._tokens, self._progress = note.trained_tokens, note.progress
            if note.measurement is not None:
                self._measurements.append(note.measurement)

    def notice(self, notice: Notice) -> None:
        """Keep what the events of the job should tell."""
        with self._lock:
            self._is_new = True
            message = JobNotice(level=notice.level, message=notice.message, data=notice.data)
            self._notices.append(message)

    def saved(self, saved: Saved) -> None:
        """Keep that a checkpoint stands."""
        with self._lock:
            self._is_new = True
            self._saved.append(
                SavedCheckpoint(
                    name=saved.name,
                    step=saved.step,
                    size_bytes=saved.bytes,
                    progress=self._progress,
                )
            )

    def printed(self, piece: bytes) -> None:
        """Keep what the trainer printed."""
        with self._lock:
            if not self._is_log_full and len(self._log) < LONGEST_LOG:
                self._log += piece

    def send(self, client: WorkerClient) -> None:
        """Tell all that waits; what does not arrive goes on waiting.

        Raises:
            PeftwiseError: The service refuses, or is away.
        """
        with self._sending:
            while (report := self._next_report()) is not None:
                client.report(report)
                self._report = None
            self._send_log(client)

    def _next_report(self) -> Report | None:
        with self._lock:
            if self._report is None and self._is_new:
                self._number += 1
                self._report = Report(
                    number=self._number,
                    measurements=tuple(_taken(self._measurements, MEASUREMENTS)),
                    notices=tuple(_taken(self._notices, NOTICES)),
                    checkpoints=tuple(_taken(self._saved, NOTICES)),
                    trained_tokens=self._tokens,
                    progress=self._progress,
                )
                self._is_new = bool(self._measurements or self._notices or self._saved)
            return self._report

    def _send_log(self, client: WorkerClient) -> None:
        while True:
            with self._lock:
                piece = bytes(self._log[:PIECE_BYTES])
            if not piece:
                return
            try:
                client.write_log(piece, offset=self._log_offset)
            except TooLarge:
                self._is_log_full = True
            with self._lock:
                del self._log[: len(piece)]
            self._log_offset += len(piece)


def _taken(waiting: list[Item], most: int) -> list[Item]:
    taken = waiting[:most]
    del waiting[:most]
    return taken
