"""What a plan may take, so that the upper end of its forecast stays within the limits."""

from dataclasses import dataclass

from metadata.knowledge import Knowledge
from metadata.objectives import plan_for
from metadata.space import default_configuration
from service.recommender.question import Question

CARE = 1.05  # candidates differ a little in how far the upper forecast lies from the plan


@dataclass(frozen=True, kw_only=True)
class Aim:
    """Bytes of memory, and seconds of training where time or money is limited."""

    memory_bytes: int
    train_seconds: float | None


def aim_at(question: Question, known: Knowledge) -> Aim:
    """Divide the limits by what the upper forecast of the default adds to its plan."""
    default = default_configuration(question.task)
    planned = plan_for(default, question.task, question.learnt)
    time, memory = known.costs(question.task, [default], [planned])
    memory_factor = CARE * float(memory.high_C[0]) / planned.peak_bytes
    time_factor = CARE * float(time.high_C[0]) / planned.train_seconds
    seconds = question.train_seconds
    return Aim(
        memory_bytes=max(1, int(question.memory_bytes / memory_factor)),
        train_seconds=None if seconds is None else seconds / time_factor,
    )
