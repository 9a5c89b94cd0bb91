"""The versions of knowledge in a data folder, and the one that answers now.

    <folder>/<version>/    one saved Knowledge each
    <folder>/current       the version that answers, replaced atomically

A reader takes `store.current` once and keeps that object: a swap never changes it under its hands.
"""

import os
import shutil
import tempfile
import threading
from pathlib import Path

from metadata.errors import NotFound
from metadata.knowledge import SHIPPED_KNOWLEDGE, Knowledge

POINTER = "current"


class KnowledgeStore:
    """Versions of knowledge on disk, one of them live."""

    def __init__(self, folder: Path, *, shipped: Path = SHIPPED_KNOWLEDGE) -> None:
        """Load the live version; the shipped one where the folder has none."""
        self._folder = folder
        self._shipped = shipped
        self._write = threading.Lock()
        self._current = self._load_current()

    @property
    def current(self) -> Knowledge:
        """Return the knowledge that answers now; it never changes once given."""
        return self._current

    def versions(self) -> list[Knowledge]:
        """Return every version that can be activated, by name; the shipped one always."""
        folders = {path.name: path for path in self._saved()}
        shipped = Knowledge.load(self._shipped)
        found = {name: Knowledge.load(path) for name, path in folders.items()}
        return [known for _, known in sorted({shipped.version: shipped, **found}.items())]

    def get(self, version: str) -> Knowledge:
        """Return one version.

        Raises:
            NotFound: There is no such version; the message lists those that are.
        """
        if version == self._current.version:
            return self._current
        known = {one.version: one for one in self.versions()}
        if version not in known:
            raise NotFound(
                f"There is no knowledge version {version[:100]!r}. "
                f"There is {', '.join(known)}; see GET /v1/knowledge.",
                param="version",
            )
        return known[version]

    def add(self, known: Knowledge) -> None:
        """Keep a version on disk without making it live; adding it again changes nothing."""
        target = self._folder / known.version
        if target.is_dir():
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(prefix=".new-", dir=self._folder))
        try:
            known.save(unfinished)
            unfinished.rename(target)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)

    def activate(self, version: str) -> Knowledge:
        """Make a version live, for this process at once and for the next start.

        Raises:
            NotFound: There is no such version.
        """
        with self._write:
            known = self.get(version)
            self.add(known)
            self._point_to(version)
            self._current = known
        return known

    def _load_current(self) -> Knowledge:
        pointer = self._folder / POINTER
        if not pointer.is_file():
            return Knowledge.load(self._shipped)
        version = pointer.read_text().strip()
        for path in self._saved():
            if path.name == version:
                return Knowledge.load(path)
        return Knowledge.load(self._shipped)  # its folder was deleted: answer all the same

    def _saved(self) -> list[Path]:
        if not self._folder.is_dir():
            return []
        return sorted(
            path
            for path in self._folder.iterdir()
            if path.is_dir() and not path.name.startswith(".")
        )

    def _point_to(self, version: str) -> None:
        handle, name = tempfile.mkstemp(prefix=".current-", dir=self._folder)
        with os.fdopen(handle, "w") as file:
            file.write(version + "\n")
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(self._folder / POINTER)
