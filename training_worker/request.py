"""What a run is asked, and what it answers."""

from dataclasses import dataclass, field
from pathlib import Path

from metadata.examples import Example
from metadata.messages import Limits
from metadata.methods.spec import Serving
from metadata.records import (
    SUPERVISED,
    Configuration,
    Costs,
    Measurement,
    Objective,
    RunState,
    Scores,
)


@dataclass(frozen=True, kw_only=True)
class ScoreSettings:
    """How many held-out examples are scored; `ranked_examples` 0 leaves the ranking out."""

    validation_examples: int = 64
    test_examples: int = 200
    ranked_examples: int = 32
    distractors: int = 8
    batch_size: int = 16


@dataclass(frozen=True, kw_only=True)
class RunRequest:
    """A configuration to try on a task.

    Attributes:
        base_model: Hugging Face id, folder, or the id of a shipped base model.
        objective: What is lowered; DPO takes examples that are all preferences.
        own_text: Text of the kind that the base was trained on, to tell what is forgotten of it.
        device: auto, cpu or cuda.
        output_folder: Where the adapter is written; None writes none.
        serve_with: What is to load it; None: as the method leaves it.
        evaluations: Points of the learning curve after step 0, at most one a step.
        micro_batch_size: The first to try, halved until it fits; None: as forecast.
        checkpoint_folder: Where the job's attempts keep checkpoints to go on from; None keeps none.
        attempt: Which attempt at the job this is, counted from 1.
        checkpoint_seconds: The least time between two checkpoints; 0 writes one after every step.
    """

    base_model: str
    train: tuple[Example, ...]
    validation: tuple[Example, ...]
    test: tuple[Example, ...]
    configuration: Configuration
    objective: Objective = SUPERVISED
    own_text: tuple[str, ...] = ()
    limits: Limits = field(default_factory=Limits)
    device: str = "auto"
    output_folder: Path | None = None
    serve_with: Serving | None = None
    evaluations: int = 5
    micro_batch_size: int | None = None
    scoring: ScoreSettings = field(default_factory=ScoreSettings)
    checkpoint_folder: Path | None = None
    attempt: int = 1
    checkpoint_seconds: float = 60.0


@dataclass(frozen=True, kw_only=True)
class StepTaken:
    """An optimizer step just taken, of so many, and all tokens trained on up to it."""

    step: int
    steps: int
    trained_tokens: int


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """How a run ended. A failed one has the curve and the costs up to there, and a reason."""

    state: RunState
    reason: str
    curve: tuple[Measurement, ...]
    scores: Scores | None
    costs: Costs
    versions: dict[str, str]
    device_name: str
    micro_batch_size: int
    adapter_folder: Path | None
