"""How much the data folder may hold, and whether something more still has its place there.

What may be used is a quota of all but the database, and a floor of what stays free on the disk.
"""

import os
import shutil
from collections.abc import Container, Iterator
from dataclasses import dataclass
from pathlib import Path

from metadata.database import sqlite_file
from metadata.errors import NoSpace, TooLarge
from service.settings import MIB, Settings

_OF_DATABASE = ("", "-wal", "-shm", "-journal")


@dataclass(frozen=True, kw_only=True)
class Space:
    """What a data folder held at one moment, and what it may hold."""

    used_bytes: int
    free_bytes: int
    disk_bytes: int
    quota_bytes: int | None
    least_free_bytes: int

    def check(self, more_bytes: int = 0) -> None:
        """Let so many bytes more pass.

        Raises:
            TooLarge: They would not even fit into an empty folder.
            NoSpace: They do not fit beside what is there.
        """
        self._check_ever(more_bytes)
        self._check_now(more_bytes)

    def _check_ever(self, more_bytes: int) -> None:
        if self.quota_bytes is not None and more_bytes > self.quota_bytes:
            raise TooLarge(
                f"The data folder may hold {_size(self.quota_bytes)}, got {_size(more_bytes)} at "
                "once. Send less, or raise PEFTWISE_DISK_BYTES."
            )
        if more_bytes > max(0, self.disk_bytes - self.least_free_bytes):
            raise TooLarge(
                f"The disk has {_size(self.disk_bytes)}, of which "
                f"{_size(self.least_free_bytes)} must stay free, got {_size(more_bytes)} at once. "
                "Send less, or choose a larger disk with --data-dir."
            )

    def _check_now(self, more_bytes: int) -> None:
        if self.quota_bytes is not None and self.used_bytes + more_bytes > self.quota_bytes:
            raise NoSpace(
                f"The data folder may hold {_size(self.quota_bytes)} and has "
                f"{_size(self.used_bytes)}, got {_size(more_bytes)} more. Delete files or jobs "
                "that are not needed any more, or raise PEFTWISE_DISK_BYTES."
            )
        if self.free_bytes - more_bytes < self.least_free_bytes:
            raise NoSpace(
                f"Of the disk {_size(self.least_free_bytes)} must stay free and "
                f"{_size(self.free_bytes)} are, got {_size(more_bytes)} more. Free space on it, or "
                "lower PEFTWISE_LEAST_FREE_BYTES."
            )


def space_of(settings: Settings) -> Space:
    """Look at a data folder and its disk as they are now; the folder must be there."""
    disk = shutil.disk_usage(settings.data_dir)
    used = 0 if settings.disk_bytes is None else used_bytes(settings)  # else nobody asks
    return Space(
        used_bytes=used,
        free_bytes=disk.free,
        disk_bytes=disk.total,
        quota_bytes=settings.disk_bytes,
        least_free_bytes=settings.least_free_bytes,
    )


def used_bytes(settings: Settings) -> int:
    """Return the size of all in the data folder but the database, which may lie in it."""
    database = sqlite_file(settings.database)
    names = () if database is None else tuple(f"{database}{end}" for end in _OF_DATABASE)
    return sum(sizes(settings.data_dir.resolve(), without=names))


def sizes(folder: Path, *, without: Container[str] = ()) -> Iterator[int]:
    """Yield the size of each file in a folder; what vanishes while it is read is passed over."""
    pending = [str(folder)]
    while pending:
        try:
            with os.scandir(pending.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(entry.path)
                    elif entry.path not in without:
                        yield _bytes_of(entry)
        except FileNotFoundError:
            continue


def _bytes_of(entry: "os.DirEntry[str]") -> int:
    try:
        return entry.stat(follow_symlinks=False).st_size
    except FileNotFoundError:
        return 0


def _size(count: int) -> str:
    return f"{count / MIB:,.1f} MiB" if count >= MIB else f"{count:,} bytes"
