"""From entries of the tables to what JSON says of them."""

from collections.abc import Callable, Mapping

from metadata.knowledge import Knowledge
from metadata.methods import FAMILIES
from metadata.methods.spec import Condition, MethodSpec
from metadata.optimizers.spec import OptimizerSpec, ScheduleSpec
from metadata.parameters import Categorical, Integer, Parameter
from metadata.records import Configuration
from service.catalogue.models import KnownModel
from service.catalogue.schemas import (
    MethodAnswer,
    ModelAnswer,
    ModelDetails,
    OptimizerAnswer,
    ParameterAnswer,
    PastRunsAnswer,
    ScheduleAnswer,
)
from service.jobs.records import Job
from service.jobs.schemas import tuned_name

FAMILY_OF: Mapping[str, str] = {
    spec.name: family.__name__.rpartition(".")[2] for family in FAMILIES for spec in family.ENTRIES
}
PastRunsOf = Callable[[str], PastRunsAnswer]


def past_runs(known: Knowledge, choose: Callable[[Configuration], str]) -> PastRunsOf:
    """Return what says of an entry by its name how many past runs chose it.

    Args:
        known: The knowledge that answers now.
        choose: What a run chose, such as its method's name.
    """
    pairs: dict[str, list[str]] = {}
    for run in known.past.runs:
        pairs.setdefault(choose(run.configuration), []).append(run.task.pair)

    def tell(name: str) -> PastRunsAnswer:
        tried_on = pairs.get(name, [])
        return past_runs_answer(len(tried_on), tasks=len(set(tried_on)))

    return tell


def past_runs_answer(count: int, *, tasks: int) -> PastRunsAnswer:
    """Return numbers of past runs and tasks, and what they mean for an answer."""
    said = (
        f"{count:,} past runs on {tasks:,} tasks tried it."
        if count
        else "No past run tried it: what is said of its quality rests on other entries."
    )
    return PastRunsAnswer(count=count, tasks=tasks, says=said)


def method_answer(spec: MethodSpec, past: PastRunsAnswer) -> MethodAnswer:
    """Return a method as JSON tells it."""
    return MethodAnswer(
        name=spec.name,
        title=spec.title,
        family=FAMILY_OF[spec.name],
        parameters=_parameters(spec.parameters),
        conditions=[rule_of(condition) for condition in spec.conditions],
        uses_target_modules=spec.uses_target_modules,
        trains_base=spec.trains_base,
        starts_at_base=spec.starts_at_base,
        merges=spec.merges,
        no_merge=spec.no_merge or None,
        exports=[] if spec.no_lora else ["lora"],
        no_lora=spec.no_lora or None,
        served_by=list(spec.served_by),
        quantizations=list(spec.quantizations),
        packs=spec.packs,
        rate_factor=spec.rate_factor,
        rate_source=spec.rate_source,
        paper=spec.paper,
        past_runs=past,
    )


def rule_of(condition: Condition) -> str:
    """Return what a condition asks for: the first line of its docstring."""
    return (condition.__doc__ or "").strip().partition("\n")[0]


def optimizer_answer(spec: OptimizerSpec, past: PastRunsAnswer) -> OptimizerAnswer:
    """Return an optimizer as JSON tells it."""
    return OptimizerAnswer(
        name=spec.name,
        title=spec.title,
        kind=spec.kind,
        parameters=_parameters(spec.parameters),
        has_learning_rate=spec.has_learning_rate,
        state_bytes_per_weight=spec.state_bytes,
        methods=list(spec.methods) or None,
        target_modules=list(spec.target_modules) or None,
        schedules=list(spec.schedules) or None,
        needs_cuda=spec.needs_cuda,
        rate_factor=spec.rate_factor,
        rate_source=spec.rate_source,
        paper=spec.paper,
        past_runs=past,
    )


def schedule_answer(spec: ScheduleSpec, past: PastRunsAnswer) -> ScheduleAnswer:
    """Return a schedule as JSON tells it."""
    return ScheduleAnswer(
        name=spec.name,
        title=spec.title,
        parameters=_parameters(spec.parameters),
        paper=spec.paper,
        past_runs=past,
    )


def model_answer(model: KnownModel) -> ModelAnswer:
    """Return a model as JSON tells it."""
    owner, slash, _ = model.profile.id.partition("/")
    return ModelAnswer(
        id=model.profile.id,
        owned_by=owner if slash else "peftwise",
        peft=ModelDetails(profile=model.profile, is_listed=model.is_listed),
    )


def tuned_answer(job: Job) -> ModelAnswer:
    """Return what a job made, as JSON tells it."""
    moment = job.finished_at or job.created_at
    return ModelAnswer(
        id=tuned_name(job),
        created=int(moment.timestamp()),
        owned_by=job.order.owner,
        peft=ModelDetails(
            profile=job.order.model, is_listed=False, base_model=job.order.model.id, job_id=job.id
        ),
    )


def _parameters(parameters: tuple[Parameter, ...]) -> list[ParameterAnswer]:
    return [_parameter(parameter) for parameter in parameters]


def _parameter(parameter: Parameter) -> ParameterAnswer:
    if isinstance(parameter, Categorical):
        return ParameterAnswer(
            name=parameter.name,
            kind="choice",
            default=parameter.default,
            choices=list(parameter.choices),
        )
    return ParameterAnswer(
        name=parameter.name,
        kind="integer" if isinstance(parameter, Integer) else "number",
        default=parameter.default,
        lower=parameter.lower,
        upper=parameter.upper,
        log=parameter.log,
    )
