"""Simulated steps kept in a folder, by what was asked."""

from functools import lru_cache
from pathlib import Path
from tempfile import NamedTemporaryFile

from pydantic import ValidationError

from metadata.records import content_hash
from metadata.simulated import SimulatedStep
from training_worker.ledger import versions
from training_worker.simulation.question import Question
from training_worker.simulation.simulate import simulate

REVISION = 4  # rises where the same question gets another answer
DECIDE = ("torch", "transformers", "peft")  # the versions on which a step depends


def simulate_once(question: Question, *, folder: Path | None = None) -> SimulatedStep:
    """Return the simulated step, from the folder where an equal question was answered before.

    Raises:
        InvalidRequest: The model is none that can be simulated.
        InvalidConfiguration: The method does not go with the model.
    """
    if folder is None:
        return simulate(question)
    file = folder / f"{question.key}-{_versions()}.json"
    known = _read(file)
    if known is None:
        known = simulate(question)
        _write(file, known.model_dump_json())
    return known


def _read(file: Path) -> SimulatedStep | None:
    try:
        return SimulatedStep.model_validate_json(file.read_text(encoding="utf-8"))
    except (OSError, ValidationError):
        return None


def _write(file: Path, text: str) -> None:
    """Write a whole file or none, whoever else writes the same."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with NamedTemporaryFile("w", dir=file.parent, suffix=".partial", delete=False) as partial:
        partial.write(text)
    Path(partial.name).replace(file)


@lru_cache(maxsize=1)
def _versions() -> str:
    known = versions()
    return content_hash([REVISION, *(known.get(name, "") for name in DECIDE)])[:8]
