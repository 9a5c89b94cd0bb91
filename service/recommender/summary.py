"""Say in plain words what an answer stands on, and what to do where that is little."""

from collections.abc import Sequence
from statistics import fmean

from metadata.kinds import Kind
from metadata.knowledge import Evidence, Knowledge
from metadata.priors import DPO_RATE_FACTOR
from metadata.records import Run, Task, TrainingObjective
from metadata.space import default_configuration
from service import wording
from service.recommender.schemas import EvidenceSummary, SourceOrder

TOLD_TIMES = 3.0  # a size that differs by less is not worth a word
NEAR = "Past runs cover questions like this one: start with the first configuration."
FAR = (
    "Run the first two configurations and feed the results back: "
    "the next answer then stands on your own task."
)
OF_NO_RUN = (
    "No past run was trained with DPO: order, quality and its intervals are those of supervised "
    f"runs, unwidened, and each learning rate is {DPO_RATE_FACTOR:g} of theirs, the ratio of TRL's "
    "defaults."
)
UNHEARD = "No past run reports what was forgotten, so forgetting_weight changes nothing."
COMPARE = "Train the first two and keep the one with the larger held-out margin."


def summarise(
    known: Knowledge,
    task: Task,
    methods: Sequence[str] = (),
    *,
    kind: Kind = "free",
    objective: TrainingObjective = "supervised",
    weighs_forgetting: bool = False,
) -> EvidenceSummary:
    """Return how many runs and tasks there are, how far the question is, and what to do.

    Args:
        known: What answers.
        task: What is asked.
        methods: Those that were asked for by name and can be recommended.
        kind: What regret is among.
        objective: What is to be trained; all that is known is supervised.
        weighs_forgetting: Whether what is forgotten is to count.
    """
    evidence = known.evidence(task)
    untried = [name for name in methods if name not in known.methods]
    has_tried = not methods or len(untried) < len(methods)
    gaps = "" if evidence.in_distribution else _gaps(known, task)
    next_step = NEAR if evidence.in_distribution and has_tried else FAR
    if objective == "dpo":
        gaps, next_step = f"{OF_NO_RUN} {gaps}".strip(), COMPARE
    unheard = UNHEARD if weighs_forgetting and not known.knows_forgetting else ""
    stands_on = _published(evidence)
    advice = (
        wording.unknown_layout(task.model),
        _untried(untried),
        unheard,
        gaps,
        stands_on,
        next_step,
    )
    return EvidenceSummary(
        runs=evidence.runs,
        tasks=evidence.tasks,
        distance=evidence.distance,
        in_distribution=evidence.in_distribution and objective == "supervised",
        farthest=list(evidence.farthest),
        judged_among=kind,
        published_share=evidence.published,
        sources=tuple(
            SourceOrder(source=source, own_runs_tau=own, published_tau=published)
            for source, (own, published) in evidence.taus.items()
        ),
        advice=" ".join(sentence for sentence in advice if sentence),
    )


def _published(evidence: Evidence) -> str:
    """Say how much of an answer stands on published results, and why."""
    if evidence.published == 0:
        return ""
    own = fmean(own for own, _ in evidence.taus.values())
    if own <= 0:
        why = f"own runs do not order what they found on large models (Kendall's tau {own:.2f})"
    else:
        why = f"own runs order what they found on large models with Kendall's tau {own:.2f}"
    return (
        f"{100 * evidence.published:.0f} % of the order of configurations stands on results and "
        f"rules that {len(evidence.taus)} sources published: {why}."
    )


def _untried(names: Sequence[str]) -> str:
    """Say which methods no past run tried, and what their values are then."""
    titles = [wording.method(name) for name in names]
    if not titles:
        return ""
    said = ", ".join(titles[:-1]) + (" or " if titles[:-1] else "") + titles[-1]
    whose, spaces = ("its", "its space") if len(titles) == 1 else ("their", "their spaces")
    return (
        f"No past run used {said}: {whose} values are the usual ones and samples of {spaces}, "
        "around the usual rate."
    )


def _gaps(known: Knowledge, task: Task) -> str:
    near = known.nearest_runs(task, [default_configuration(task)], count=1)[0]
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
