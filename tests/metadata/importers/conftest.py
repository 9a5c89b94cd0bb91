"""Take what an importer finds, and the report of it; a folder of the Trainer's to break."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from metadata.importers.reading import runs_at
from metadata.importers.report import ImportReport, Intake
from metadata.importers.spec import Given
from metadata.records import Measurement, Run

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
STATE: dict[str, Any] = {
    "global_step": 20, "max_steps": 20, "epoch": 1.0, "log_history": [{"step": 10, "loss": 2.0}],
}  # fmt: skip
LORA = {"peft_type": "LORA", "r": 8, "lora_alpha": 16, "lora_dropout": 0.0}


@dataclass(frozen=True)
class Taken:
    """The runs of a source and the report."""

    runs: list[Run]
    report: ImportReport

    @property
    def only(self) -> Run:
        """Return the one run."""
        assert len(self.runs) == 1, self.report
        return self.runs[0]

    def values(self, name: str, split: str) -> list[float]:
        """Return what was measured under a name in the one run."""
        return values_of(self.only, name, split)


def values_of(run: Run, name: str, split: str) -> list[float]:
    """Return what was measured under a name."""
    points: tuple[Measurement, ...] = run.curve
    return [point.value for point in points if (point.name, point.split) == (name, split)]


@pytest.fixture
def take() -> Callable[..., Taken]:
    """Return a function that imports a path."""

    def taken(path: Path, importer: str | None = None, **given: Any) -> Taken:
        intake = Intake()
        found = runs_at(path, given=Given(**given), intake=intake, now=NOON, importer=importer)
        return Taken(list(found), intake.report())

    return taken


def trainer_folder(folder: Path, state: str | bytes | None = None) -> Path:
    """Write the state and the adapter of a small run."""
    folder.mkdir(parents=True, exist_ok=True)
    content = json.dumps(STATE) if state is None else state
    raw = content if isinstance(content, bytes) else content.encode()
    (folder / "trainer_state.json").write_bytes(raw)
    (folder / "adapter_config.json").write_text(json.dumps(LORA))
    return folder
