"""The files of a campaign: one JSON line per finished run, one file per process.

A line is written at once and files are never written again by another process, so a campaign that
is killed loses at most the lines that were being written.
"""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from uuid import uuid4

from pydantic import ValidationError

from metadata.records import Run

PATTERN = "runs-*.jsonl"


def new_shard(output: Path) -> Path:
    """Return a file of its own for a process to append to."""
    output.mkdir(parents=True, exist_ok=True)
    return output / f"runs-{uuid4().hex[:12]}.jsonl"


def append(shard: Path, run: Run) -> None:
    """Add one run as one line."""
    with shard.open("a", encoding="utf-8") as file:
        file.write(run.model_dump_json() + "\n")


def done_ids(output: Path) -> set[str]:
    """Return the ids of the runs that are there."""
    return {str(record["id"]) for _, record in _records(output)}


def read_shards(folders: Iterable[Path]) -> list[Run]:
    """Return the whole runs of several folders, ordered by id, the first of equal ids.

    Lines that are no whole run are left out: a process may have been killed while it wrote.
    """
    found: dict[str, Run] = {}
    for folder in folders:
        for line, _ in _records(folder):
            try:
                run = Run.model_validate_json(line)
            except ValidationError:
                continue
            found.setdefault(run.id, run)
    return [found[key] for key in sorted(found)]


def _records(folder: Path) -> Iterator[tuple[str, dict[str, object]]]:
    for path in sorted(folder.glob(PATTERN)):
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                record = json.loads(line)
            except ValueError:
                continue
            if isinstance(record, dict) and "id" in record:
                yield line, record
