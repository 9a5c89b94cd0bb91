"""Say in plain words what an answer stands on, and what to do where that is little."""

from metadata.knowledge import Knowledge
from metadata.records import Run, Task
from metadata.space import default_configuration
from service.recommender.schemas import EvidenceSummary

TOLD_TIMES = 3.0  # a size that differs by less is not worth a word
NEAR = "Past runs cover questions like this one: start with the first configuration."
FAR = (
    "Run the first two configurations and feed the results back: "
    "the next answer then stands on your own task."
)


def summarise(known: Knowledge, task: Task) -> EvidenceSummary:
    """Return how many runs and tasks there are, how far the question is, and what to do."""
    evidence = known.evidence(task)
    return EvidenceSummary(
        runs=evidence.runs,
        tasks=evidence.tasks,
        distance=evidence.distance,
        in_distribution=evidence.in_distribution,
        farthest=list(evidence.farthest),
        advice=NEAR if evidence.in_distribution else f"{_gaps(known, task)} {FAR}",
    )


def _gaps(known: Knowledge, task: Task) -> str:
    near = known.nearest_runs(task, default_configuration(task), count=1)
    gaps = _size_gaps(near[0].run, task) if near else []
    if not gaps:
        return "The evidence is far from this question, so quality is a first guess."
    return f"The nearest evidence is far: its {' and its '.join(gaps)}."


def _size_gaps(run: Run, task: Task) -> list[str]:
    sizes = (
        ("base model", run.task.model.parameters, task.model.parameters),
        ("training set", run.task.dataset.examples, task.dataset.examples),
    )
    return [
        f"{name} is {_times(known, asked)}"
        for name, known, asked in sizes
        if max(known, asked) > TOLD_TIMES * min(known, asked)
    ]


def _times(known: int, asked: int) -> str:
    """Say how much smaller or larger the known size is, in one or two digits."""
    ratio = max(known, asked) / min(known, asked)
    return f"{float(f'{ratio:.1g}'):,.0f} times {'smaller' if known < asked else 'larger'}"
