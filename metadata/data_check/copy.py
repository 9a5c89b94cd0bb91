"""Write a repaired copy of a training file: whole or not at all, and never over another file."""

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from metadata.data_check.lines import Line
from metadata.errors import InvalidRequest, NoSpace
from metadata.examples import BYTE_ORDER_MARK


class RepairedCopy:
    """Takes lines as they should be; what no repair is safe for stays as it is."""

    def __init__(self, target: BinaryIO) -> None:
        """Write to an open file."""
        self._target = target

    def write(self, line: Line) -> None:
        """Write a line as UTF-8 with a line feed, without mark and without trailing commas."""
        if line.is_cut:  # its rest follows in pieces
            self.write_rest(line.raw.removeprefix(BYTE_ORDER_MARK) if line.has_mark else line.raw)
        elif line.text is None or line.decoded.mended is None:
            self._target.write(line.body + b"\n")
        else:
            self._target.write(line.decoded.mended.encode() + b"\n")

    def write_rest(self, piece: bytes) -> None:
        """Write a piece of a line that is too long to be looked at."""
        self._target.write(piece)


@contextmanager
def repaired_copy(path: Path) -> Iterator[RepairedCopy]:
    """Lend a copy that appears under its name when all is written, and not if anything fails.

    Raises:
        InvalidRequest: Something has that name already, or its folder cannot be written to.
        NoSpace: The disk is full.
    """
    check_free(path)
    hidden = path.with_name(f".{path.name}-{secrets.token_hex(6)}")
    try:
        with hidden.open("xb") as target:
            yield RepairedCopy(target)
            target.flush()
            os.fsync(target.fileno())
        _give_name(hidden, path)
    except OSError as error:
        is_full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise (NoSpace if is_full else InvalidRequest)(
            f"The repaired copy {path} cannot be written ({error.strerror}). "
            "Name a file in a folder that can, with as much free space as the input has bytes."
        ) from None
    finally:
        hidden.unlink(missing_ok=True)


def check_free(path: Path) -> None:
    """Refuse a name that something has.

    Raises:
        InvalidRequest: There is such a file.
    """
    if path.exists() or path.is_symlink():
        raise InvalidRequest(
            f"A repaired copy is never written over a file, got {path}. Name one that is not there."
        )


def _give_name(hidden: Path, path: Path) -> None:
    try:
        path.hardlink_to(hidden)  # unlike a rename, fails where something has the name by now
    except FileExistsError:
        raise
    except OSError:  # a file system without links
        check_free(path)
        hidden.rename(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
