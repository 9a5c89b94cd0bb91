"""A zip of a folder of runs, unpacked with care: plain readable files only, inside, and not much.

Sizes are counted as they are unpacked, whatever the archive says of itself.
"""

import stat
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from metadata.errors import InvalidRequest
from metadata.importers.cleaning import text_of
from metadata.importers.files import DEEPEST_FOLDER, MIB, READABLE, head
from metadata.importers.spec import Refused

MOST_FILES = 20_000
MOST_BYTES = 512 * MIB
CHUNK_BYTES = 64 * 1024
LONGEST_NAME = 200
_PACKINGS = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})


def is_zip(path: Path) -> bool:
    """Say whether a file begins like a zip archive."""
    return head(path, 4) == b"PK\x03\x04"


def unpack(path: Path, folder: Path) -> list[Refused]:
    """Write what can be read of an archive into a folder, and return what was left out.

    Raises:
        InvalidRequest: It is no zip archive, damaged, or unpacks to more than a folder of runs.
    """
    left_out: list[Refused] = []
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            if len(entries) > MOST_FILES:
                raise InvalidRequest(
                    f"An archive may have {MOST_FILES:,} files, got {len(entries):,}. "
                    "Send parts of it."
                )
            budget = MOST_BYTES
            for entry in entries:
                target, reason = _target(entry, folder)
                if target is not None:
                    budget -= _write(archive, entry, target, budget)
                elif reason:
                    label = text_of(PurePosixPath(entry.filename).name) or "a file"
                    left_out.append(Refused(label=label, reason=reason))
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, ValueError) as error:
        raise InvalidRequest(
            f"The archive cannot be unpacked ({type(error).__name__}). Make it anew."
        ) from None
    return left_out


def _target(entry: zipfile.ZipInfo, folder: Path) -> tuple[Path | None, str]:
    """Return where a file goes; None, and the reason, where it goes nowhere."""
    name = PurePosixPath(entry.filename.replace("\\", "/"))
    if entry.is_dir() or name.suffix.lower() not in READABLE:
        return None, ""  # weights, binaries, pickles
    if name.is_absolute() or ".." in name.parts or ":" in entry.filename:
        return None, "its name leads out of the archive"
    if stat.S_ISLNK(entry.external_attr >> 16):
        return None, "it is a link"
    if entry.flag_bits & 0x1 or entry.compress_type not in _PACKINGS:
        return None, "it is encrypted, or packed in a way that is not read"
    if len(name.parts) > DEEPEST_FOLDER or any(len(part) > LONGEST_NAME for part in name.parts):
        return None, "it lies too deep, or has too long a name"
    target = folder.joinpath(*name.parts)
    return (None, "another file has its name") if target.exists() else (target, "")


def _write(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, target: Path, budget: int) -> int:
    target.parent.mkdir(parents=True, exist_ok=True)
    size = 0
    with archive.open(entry) as source, target.open("xb") as file:
        for chunk in _chunks(source):
            size += len(chunk)
            if size > budget:
                raise InvalidRequest(
                    f"An archive may unpack to {MOST_BYTES // MIB} MiB of readable files, got "
                    "more. Send parts of it."
                )
            file.write(chunk)
    return size


def _chunks(source: IO[bytes]) -> Iterator[bytes]:
    while chunk := source.read(CHUNK_BYTES):
        yield chunk
