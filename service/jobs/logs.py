"""What attempts print, as they send it: one file an attempt in the data folder."""

from collections.abc import Sequence
from pathlib import Path

from metadata.errors import Conflict, TooLarge

LARGEST = 16 * 2**20  # bytes of one attempt; what comes after is left out
ENDING = ".reported.log"


class LogStore:
    """Keeps text by the place at which it belongs, so that a piece sent twice stands once."""

    def __init__(self, folder: Path) -> None:
        """Keep where the files lie; it is made when first needed."""
        self._folder = folder

    def write(self, attempt_id: str, piece: bytes, *, offset: int) -> None:
        """Write a piece at its place.

        Raises:
            Conflict: There would be a gap before it.
            TooLarge: The log is longer than it may be.
        """
        if offset + len(piece) > LARGEST:
            raise TooLarge(
                f"The log of an attempt may have {LARGEST:,} bytes, got {offset + len(piece):,}. "
                "Send no more of it."
            )
        self._folder.mkdir(parents=True, exist_ok=True)
        file = self._file(attempt_id)
        file.touch(mode=0o600)
        with file.open("r+b") as log:
            size = log.seek(0, 2)
            if offset > size:
                raise Conflict(
                    f"The log ends at byte {size:,}, got a piece for byte {offset:,}. "
                    f"Send it from byte {size:,}."
                )
            log.seek(offset)
            log.write(piece)

    def read(self, attempts: Sequence[str], *, last_bytes: int) -> tuple[str, bool]:
        """Return the newest text of some attempts in their order, and whether it was cut."""
        pieces: list[bytes] = []
        left = last_bytes
        for attempt_id in reversed(attempts):
            piece, is_cut = _tail(self._file(attempt_id), left)
            pieces.insert(0, piece)
            left -= len(piece)
            if is_cut:
                return _text(pieces), True
        return _text(pieces), False

    def size(self, attempt_id: str) -> int:
        """Return how many bytes of an attempt are here."""
        try:
            return self._file(attempt_id).stat().st_size
        except FileNotFoundError:
            return 0

    def piece(self, attempt_id: str, *, offset: int, most_bytes: int) -> bytes:
        """Return what an attempt printed from a place on, so many bytes of it at most."""
        try:
            with self._file(attempt_id).open("rb") as log:
                log.seek(offset)
                return log.read(most_bytes)
        except FileNotFoundError:
            return b""

    def _file(self, attempt_id: str) -> Path:
        return self._folder / f"{attempt_id}{ENDING}"


def _tail(file: Path, most: int) -> tuple[bytes, bool]:
    try:
        with file.open("rb") as log:
            start = max(0, log.seek(0, 2) - most)
            log.seek(start)
            return log.read(most), start > 0
    except FileNotFoundError:
        return b"", False


def _text(pieces: Sequence[bytes]) -> str:
    return b"".join(pieces).decode(errors="replace")
