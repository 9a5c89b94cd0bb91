"""Foreign files, opened with care: inside the folder that was named, of a known kind, of a size.

Nothing here or beside it unpickles: only JSON, YAML, CSV, Parquet and SQLite files are opened.
"""

import json
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from metadata.errors import InvalidRequest

READABLE = frozenset(
    {".json", ".yaml", ".yml", ".csv", ".tsv", ".parquet", ".db", ".sqlite", ".sqlite3"}
)
MIB = 2**20
LARGEST_JSON_BYTES = 32 * MIB  # a Trainer that logged 200,000 times; as objects ten times that
LARGEST_YAML_BYTES = MIB
DEEPEST_FOLDER = 24
MOST_ENTRIES = 200_000


@dataclass(frozen=True, kw_only=True)
class Place:
    """A file, or a folder with its readable files by name.

    Attributes:
        root: What was named; nothing outside it is opened.
    """

    path: Path
    root: Path
    files: dict[str, Path]

    @property
    def label(self) -> str:
        """Return the last part of the path, which alone is kept."""
        name = self.path.name.encode(errors="replace").decode()
        return name[:150] or "folder"

    @property
    def is_folder(self) -> bool:
        """Say whether it is a folder."""
        return self.path.is_dir()

    def below(self, name: str) -> "Place | None":
        """Return a folder inside this one, None where there is none or it leads out."""
        path = self.path / name
        return _folder(path, self.root) if path.is_dir() and _is_inside(path, self.root) else None

    def folders(self) -> list[str]:
        """Return the names of folders inside this one."""
        try:
            with os.scandir(self.path) as found:
                return sorted(entry.name for entry in found if entry.is_dir(follow_symlinks=False))
        except OSError:  # not ours to look into
            return []


def file_at(path: Path) -> Place:
    """Return one file as a place."""
    return Place(path=path, root=path, files={path.name: path})


def walk(root: Path) -> Iterator[Place]:
    """Yield a folder and all below it, parents first; links that lead out of it are not followed.

    Raises:
        InvalidRequest: There are more entries than any folder of runs has.
    """
    count = 0
    for name, folders, files in os.walk(root, followlinks=False):
        folders.sort()
        count += len(files) + len(folders)
        if count > MOST_ENTRIES:
            raise InvalidRequest(
                f"A folder of runs may have {MOST_ENTRIES:,} entries, got more. "
                "Name a folder further down."
            )
        if len(Path(name).relative_to(root).parts) >= DEEPEST_FOLDER:
            folders.clear()
        yield _folder(Path(name), root)


def _folder(path: Path, root: Path) -> Place:
    try:
        with os.scandir(path) as found:
            names = sorted(entry.name for entry in found)
    except OSError:  # not ours to look into
        names = []
    inside = {name: path / name for name in names if _is_readable(path / name, root)}
    return Place(path=path, root=root, files=inside)


def _is_readable(path: Path, root: Path) -> bool:
    """Say whether a path is a plain file of a known kind inside the folder that was named."""
    if path.suffix.lower() not in READABLE or not _is_inside(path, root):
        return False
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except OSError:  # a link to nowhere
        return False


def _is_inside(path: Path, root: Path) -> bool:
    try:
        return path.resolve().is_relative_to(root.resolve())
    except (OSError, RuntimeError):  # a loop of links
        return False


def head(path: Path, size_bytes: int) -> bytes:
    """Return the first bytes of a file, none where it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(size_bytes)
    except OSError:
        return b""


def read_json(path: Path) -> Any:
    """Return the JSON of a file, in UTF-8 or UTF-16.

    Raises:
        InvalidRequest: It is too large, too deep, cut off or no JSON.
    """
    try:
        return json.loads(_read(path, LARGEST_JSON_BYTES))
    except RecursionError:
        raise InvalidRequest(f"{path.name} nests too deeply to be the JSON of a run.") from None
    except ValueError as error:
        raise InvalidRequest(
            f"{path.name} must hold JSON: {str(error)[:150]}. Was it written whole?"
        ) from None


def read_yaml(path: Path) -> Any:
    """Return the YAML of a file, which may have no aliases: they can make a small file endless.

    Raises:
        InvalidRequest: It is too large, too deep, has aliases or is no YAML.
    """
    content = _read(path, LARGEST_YAML_BYTES)
    try:
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(content)):
            raise InvalidRequest(f"{path.name} has YAML aliases, which no export of a run needs.")
        return yaml.safe_load(content)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InvalidRequest(
            f"{path.name} must hold YAML ({type(error).__name__}). Was it written whole?"
        ) from None


def read_object(path: Path) -> dict[str, Any]:
    """Return the JSON or YAML object of a file.

    Raises:
        InvalidRequest: It cannot be read, or holds something else.
    """
    found = read_yaml(path) if path.suffix.lower() in {".yaml", ".yml"} else read_json(path)
    if not isinstance(found, dict):
        raise InvalidRequest(f"{path.name} must hold an object, got {type(found).__name__}.")
    return found


def _read(path: Path, largest_bytes: int) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(largest_bytes + 1)
    except OSError as error:
        raise InvalidRequest(f"{path.name} cannot be read ({type(error).__name__}).") from None
    if len(content) > largest_bytes:
        raise InvalidRequest(
            f"{path.name} may have {largest_bytes // MIB} MiB at most, got more. Leave it out."
        )
    return content
