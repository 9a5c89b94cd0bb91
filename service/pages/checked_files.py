"""Files that were checked and not kept: they lie here for an hour, with their repaired copies.

They have the names of unfinished uploads, so that a server's start and its sweeps remove them too.
"""

import re
import secrets
import time
from pathlib import Path

from metadata.errors import NotFound

HOUR_SECONDS = 3600.0
_PREFIX = ".incoming-checked-"
_TOKEN = re.compile(r"[0-9a-f]{32}")


class CheckedFiles:
    """The checked files of one folder, by tokens that nobody can guess."""

    def __init__(self, folder: Path) -> None:
        """Look at a folder."""
        self._folder = folder

    def take(self, path: Path) -> str:
        """Move a file here, and return its token; what is older than an hour goes."""
        self._forget_old()
        token = secrets.token_hex(16)
        path.rename(self.original(token))
        return token

    def original(self, token: str) -> Path:
        """Return where a file of a token lies, or would lie."""
        return self._folder / f"{_PREFIX}{self._checked(token)}"

    def repaired(self, token: str) -> Path:
        """Return where its repaired copy lies, or would lie."""
        return self._folder / f"{_PREFIX}{self._checked(token)}.repaired"

    def find(self, token: str, *, is_repaired: bool) -> Path:
        """Return a file or its repaired copy.

        Raises:
            NotFound: It is not here any more.
        """
        path = self.repaired(token) if is_repaired else self.original(token)
        if not path.is_file():
            raise NotFound(
                "A checked file is kept for an hour, and this one is gone. Check it again."
            )
        return path

    def _checked(self, token: str) -> str:
        if not _TOKEN.fullmatch(token):
            raise NotFound(f"No file was checked as {token[:40]!r}. Check it again.")
        return token

    def _forget_old(self) -> None:
        for path in self._folder.glob(f"{_PREFIX}*"):
            try:
                if time.time() - path.stat().st_mtime > HOUR_SECONDS:
                    path.unlink(missing_ok=True)
            except FileNotFoundError:  # another was quicker
                continue
