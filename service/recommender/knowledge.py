"""The versions of knowledge in a data folder, and the one that answers now.

    <folder>/<version>/    one saved Knowledge each
    <folder>/current       the version that answers, replaced atomically

A reader takes `store.current` once and keeps that object: a swap never changes it under its hands.
"""

import gc
import logging
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from threading import Lock

from metadata.errors import NotFound, PeftwiseError
from metadata.knowledge import SHIPPED_KNOWLEDGE, Knowledge
from metadata.pool import draw_pool
from service.recommender.schemas import HeldOut, HeldOutKind, KnowledgeVersion

log = logging.getLogger(__name__)

POINTER = "current"
STOP_SECONDS = 5.0


@cache
def _load_shipped(folder: Path) -> Knowledge:
    """Return what ships, read once: it never changes, so that all stores of a process share it."""
    return Knowledge.load(folder)


class KnowledgeStore:
    """Versions of knowledge on disk, one of them live.

    Attributes:
        refitting: Held by the one refit that may run at a time.
    """

    def __init__(self, folder: Path, *, shipped: Path = SHIPPED_KNOWLEDGE) -> None:
        """Load the live version, the shipped one where the folder names none."""
        self.refitting = Lock()
        self._folder = folder
        self._shipped_folder = shipped
        self._swapping = Lock()
        self._process: subprocess.Popen[str] | None = None
        self._described: dict[str, KnowledgeVersion] = {}
        self._current = self._load_current()

    @property
    def current(self) -> Knowledge:
        """Return the knowledge that answers now; it never changes once given."""
        return self._current

    @property
    def _shipped(self) -> Knowledge:
        return _load_shipped(self._shipped_folder)

    def versions(self) -> list[KnowledgeVersion]:
        """Return every version that can be activated, by name; the shipped one always."""
        known = {one.version: self.describe(one) for one in (self._shipped, self._current)}
        for path in self._saved():
            described = None if path.name in known else self._describe_saved(path)
            if described is not None:
                known[described.version] = described
        return [one for _, one in sorted(known.items())]

    def _describe_saved(self, path: Path) -> KnowledgeVersion | None:
        """Say what a version that does not answer now is; it is read once, for it never changes."""
        if path.name not in self._described:
            loaded = _load_whole(path)
            if loaded is None:
                return None
            self._described[path.name] = self.describe(loaded)
        return self._described[path.name]

    def prepare(self) -> None:
        """Have no question wait for what can be done before it.

        The first would draw what most draw on, for a second. About one in sixty would be held up
        for 200 ms by a collection of garbage, which looks at all that was loaded: now it passes by.
        """
        _draw_for(self.current)
        gc.collect()
        gc.freeze()

    def describe(self, known: Knowledge) -> KnowledgeVersion:
        """Say what a version was learnt from and how good it is."""
        origin, held_out = known.created_from, known.held_out
        return KnowledgeVersion(
            version=known.version,
            is_current=known.version == self._current.version,
            is_shipped=known.version == self._shipped.version,
            runs=origin["runs"],
            tasks=origin["tasks"],
            datasets=origin["datasets"],
            models=list(origin["models"]),
            held_out=HeldOut(
                datasets=held_out["datasets"],
                **held_out["regret"],
                kinds={
                    kind: HeldOutKind(datasets=one["datasets"], trust=one["trust"], **one["regret"])
                    for kind, one in held_out["kinds"].items()
                },
            ),
        )

    def get(self, version: str) -> Knowledge:
        """Return one version.

        Raises:
            NotFound: There is no such version; the message lists those that are.
        """
        for known in (self._current, self._shipped):
            if version == known.version:
                return known
        saved = {path.name: path for path in self._saved()}
        if version not in saved:
            there = ", ".join(sorted({self._shipped.version, *saved}))
            raise NotFound(
                f"There is no knowledge version {version[:80]!r}. There is {there}; "
                "GET /v1/knowledge says more of each.",
                param="version",
            )
        return Knowledge.load(saved[version])

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

    def activate(self, version: str) -> KnowledgeVersion:
        """Make a version live, for this process at once and for the next start.

        Raises:
            NotFound: There is no such version.
        """
        with self._swapping:
            known = self.get(version)
            self.add(known)
            _draw_for(known)
            self._point_to(version)
            self._current = known
        return self.describe(known)

    @contextmanager
    def fitting(self, process: "subprocess.Popen[str]") -> Iterator[None]:
        """Own a process that fits: it ends with the block, or earlier when the store closes."""
        self._process = process
        try:
            yield
        finally:
            self._process = None
            _end(process)

    @property
    def is_fitting(self) -> bool:
        """Say whether a process fits now."""
        return self._process is not None

    def close(self) -> None:
        """Stop the process that fits, if one does."""
        process = self._process
        if process is not None:
            process.terminate()

    def _load_current(self) -> Knowledge:
        pointer = self._folder / POINTER
        version = pointer.read_text().strip() if pointer.is_file() else ""
        for path in self._saved():
            if path.name == version:
                return _load_whole(path) or self._shipped
        return self._shipped  # nothing was activated, or its folder was deleted since

    def _saved(self) -> list[Path]:
        if not self._folder.is_dir():
            return []
        folders = (path for path in self._folder.iterdir() if path.is_dir())
        return sorted(path for path in folders if not path.name.startswith("."))

    def _point_to(self, version: str) -> None:
        handle, name = tempfile.mkstemp(prefix=".current-", dir=self._folder)
        with os.fdopen(handle, "w") as file:
            file.write(version + "\n")
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(self._folder / POINTER)


def _draw_for(known: Knowledge) -> None:
    draw_pool(known.methods, known.optimizers)


def _load_whole(path: Path) -> Knowledge | None:
    """Return a saved version, or None where it is damaged or of another format than ours."""
    try:
        return Knowledge.load(path)
    except PeftwiseError as error:
        log.warning("Knowledge %s is left aside: %s", path.name, error)
        return None


def _end(process: "subprocess.Popen[str]") -> None:
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
