"""What a campaign knows so far, read from its folder as it grows."""

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from metadata.records import Run
from training_worker.campaigns.shards import PATTERN


class Results:
    """The runs of a folder by pair; each line is read once."""

    def __init__(self, output: Path) -> None:
        """Know nothing yet."""
        self._output = output
        self._read: dict[Path, int] = {}
        self._runs: dict[str, dict[str, Run]] = defaultdict(dict)

    def of(self, pair: str) -> Mapping[str, Run]:
        """Return the runs of a pair by id, all that have been written until now."""
        for path in sorted(self._output.glob(PATTERN)):
            self._read_on(path)
        return self._runs[pair]

    def _read_on(self, path: Path) -> None:
        start = self._read.get(path, 0)
        if path.stat().st_size == start:
            return
        with path.open("rb") as lines:
            lines.seek(start)
            for line in lines:
                if not line.endswith(b"\n"):
                    return  # still being written
                self._read[path] = start = start + len(line)
                self._keep(line)

    def _keep(self, line: bytes) -> None:
        try:
            run = Run.model_validate_json(line)
        except ValidationError:
            return
        self._runs[run.task.pair].setdefault(run.id, run)
