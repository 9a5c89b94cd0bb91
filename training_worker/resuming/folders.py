"""Checkpoints on disk: folders `STEP-ATTEMPT`, each there as a whole and verified, or not at all.

A checkpoint is written under another name, brought to the disk and only then renamed. Its manifest
has the size and the SHA-256 of every file and says of which run it is, so that one that was cut
short, changed, or is another job's is never trained on from.
"""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import BinaryIO, NamedTuple

from pydantic import ValidationError

from metadata.errors import PeftwiseError
from metadata.records import Record

FORMAT = 1  # of what the files hold; another is passed over
MANIFEST = "manifest.json"
_NAME = re.compile(r"(\d{8,})-(\d+)")
_UNFINISHED = ".writing-"

Writers = Mapping[str, Callable[[BinaryIO], None]]
"""The files of a checkpoint by name, each as what writes it."""


class Unusable(PeftwiseError):
    """A checkpoint is not whole, or of another format."""


class OfAnotherRun(Unusable):
    """A checkpoint is of another configuration, other data or another base model."""


class Place(NamedTuple):
    """Where a checkpoint stands among those of its job; the order is from old to new."""

    step: int
    attempt: int

    @property
    def name(self) -> str:
        """Return the folder's name, whose order is that of steps."""
        return f"{self.step:08d}-{self.attempt}"


class FileEntry(Record):
    """What a file must be, to the byte."""

    bytes: int
    sha256: str


class Manifest(Record):
    """What a checkpoint is, and what its files must be."""

    format: int = FORMAT
    step: int
    attempt: int
    run: str
    files: dict[str, FileEntry]

    @property
    def bytes(self) -> int:
        """Return the size of all files together."""
        return sum(entry.bytes for entry in self.files.values())


def places(folder: Path) -> list[Place]:
    """Return the places of all checkpoints in a folder, newest first; none if it is not there."""
    if not folder.is_dir():
        return []
    found = [_NAME.fullmatch(path.name) for path in folder.iterdir()]
    return sorted((Place(int(one[1]), int(one[2])) for one in found if one), reverse=True)


def write(folder: Path, place: Place, writers: Writers, *, run: str) -> Manifest:
    """Write a checkpoint and return its manifest, once it is on the disk as a whole.

    Raises:
        OSError: The system refused, as a full disk does; nothing of the checkpoint is left.
        Unusable: What was written does not read back as it was.
    """
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = folder / f"{_UNFINISHED}{place.name}"
    shutil.rmtree(unfinished, ignore_errors=True)
    try:
        unfinished.mkdir()
        entries = {name: _write_file(unfinished / name, how) for name, how in writers.items()}
        manifest = Manifest(step=place.step, attempt=place.attempt, run=run, files=entries)
        _write_file(unfinished / MANIFEST, writer_of(manifest.model_dump_json(indent=1)))
        _bring_to_disk(unfinished)
        shutil.rmtree(folder / place.name, ignore_errors=True)  # one that did not verify
        unfinished.rename(folder / place.name)
        _bring_to_disk(folder)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    return verify(folder, place, run=run)


def writer_of(text: str) -> Callable[[BinaryIO], None]:
    """Return what writes a text."""

    def write_text(file: BinaryIO) -> None:
        file.write(text.encode())

    return write_text


def verify(folder: Path, place: Place, *, run: str) -> Manifest:
    """Return the manifest of a checkpoint that is whole and of this run.

    Raises:
        OfAnotherRun: It is another job's.
        Unusable: Anything of it is missing, changed, or of another format.
    """
    path = folder / place.name
    try:
        manifest = _manifest(path, place)
        if manifest.run != run:
            raise OfAnotherRun("it is of another configuration, other data or another base model")
        for name, entry in manifest.files.items():
            _check_file(path / name, entry)
    except OSError as error:
        raise Unusable(f"the system said: {error.strerror}") from error
    return manifest


def remove_unfinished(folder: Path, *, up_to_attempt: int) -> None:
    """Remove what attempts up to this one were writing when they died."""
    for path in folder.glob(f"{_UNFINISHED}*"):
        parts = _NAME.fullmatch(path.name.removeprefix(_UNFINISHED))
        if parts and int(parts[2]) <= up_to_attempt:
            shutil.rmtree(path, ignore_errors=True)


def remove(folder: Path, place: Place) -> None:
    """Remove a checkpoint: it is no more from one moment to the next."""
    going = folder / f"{_UNFINISHED}{place.name}"
    shutil.rmtree(going, ignore_errors=True)
    (folder / place.name).rename(going)
    shutil.rmtree(going, ignore_errors=True)


def _manifest(path: Path, place: Place) -> Manifest:
    if not (path / MANIFEST).is_file():
        raise Unusable("it has no manifest")
    text = (path / MANIFEST).read_bytes()
    try:
        known = json.loads(text)
        if known["format"] != FORMAT:
            raise Unusable(f"its format is {known['format']!r}, and {FORMAT} is read here")
        manifest = Manifest.model_validate(known)
    except (ValidationError, ValueError, KeyError, TypeError) as error:
        raise Unusable("its manifest cannot be read") from error
    if (manifest.step, manifest.attempt) != place:
        raise Unusable(f"its manifest is of step {manifest.step}, attempt {manifest.attempt}")
    return manifest


def _check_file(path: Path, entry: FileEntry) -> None:
    if not path.is_file():
        raise Unusable(f"{path.name} is missing")
    size = path.stat().st_size
    if size != entry.bytes:
        raise Unusable(f"{path.name} should have {entry.bytes:,} bytes and has {size:,}")
    with path.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != entry.sha256:
            raise Unusable(f"the bytes of {path.name} are not those that were written")


class _Hashed:
    """A file that keeps the hash and the number of what is written to it, and what went wrong."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._hash = hashlib.sha256()
        self._bytes = 0
        self.error: OSError | None = None

    def write(self, data: bytes) -> int:
        try:
            written = self._file.write(data)
        except OSError as error:
            self.error = error  # torch tells of it as an error of its own, without the reason
            raise
        self._hash.update(data)
        self._bytes += written
        return written

    def flush(self) -> None:
        self._file.flush()

    def entry(self) -> FileEntry:
        return FileEntry(bytes=self._bytes, sha256=self._hash.hexdigest())


def _write_file(path: Path, how: Callable[[BinaryIO], None]) -> FileEntry:
    with path.open("wb") as file:
        hashed = _Hashed(file)
        try:
            how(hashed)  # type: ignore[arg-type]  # it writes and flushes, and no more is asked
        except Exception:
            if hashed.error is not None:
                raise hashed.error from None
            raise
        file.flush()
        os.fsync(file.fileno())
    return hashed.entry()


def _bring_to_disk(folder: Path) -> None:
    """Have a folder's names be on the disk."""
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
