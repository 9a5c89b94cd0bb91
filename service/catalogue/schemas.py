"""The tables of methods, optimizers, schedules, devices and models as JSON."""

from typing import Literal

from metadata.methods.spec import MethodSpec
from metadata.optimizers.spec import OptimizerSpec, ScheduleSpec
from metadata.parameters import Categorical, Integer, Parameter
from metadata.records import Device, ModelProfile, Record, Scalar
from service.catalogue.models import KnownModel


class ParameterAnswer(Record):
    """A value that an entry leaves open, with its range or its choices."""

    name: str
    kind: Literal["integer", "number", "choice"]
    default: Scalar
    lower: float | None = None
    upper: float | None = None
    log: bool = False
    choices: list[Scalar] | None = None


class MethodAnswer(Record):
    """A PEFT method."""

    object: Literal["method"] = "method"
    name: str
    title: str
    parameters: list[ParameterAnswer]
    uses_target_modules: bool
    merges: bool
    paper: str


class OptimizerAnswer(Record):
    """An optimizer; every one takes a learning rate unless it finds its own."""

    object: Literal["optimizer"] = "optimizer"
    name: str
    title: str
    parameters: list[ParameterAnswer]
    has_learning_rate: bool
    state_bytes_per_weight: float
    paper: str


class ScheduleAnswer(Record):
    """A schedule of the learning rate after warm-up."""

    object: Literal["schedule"] = "schedule"
    name: str
    title: str
    parameters: list[ParameterAnswer]


class ModelDetails(Record):
    """What OpenAI's shape has no place for; a listed model lies on the server's machine."""

    profile: ModelProfile
    is_listed: bool


class ModelAnswer(Record):
    """A base model that can be trained here, in OpenAI's shape."""

    id: str
    object: Literal["model"] = "model"
    created: int = 0
    owned_by: str
    peft: ModelDetails


class _Table(Record):
    object: Literal["list"] = "list"
    has_more: Literal[False] = False
    last_id: str | None


class MethodList(_Table):
    """All methods."""

    data: list[MethodAnswer]


class OptimizerList(_Table):
    """All optimizers."""

    data: list[OptimizerAnswer]


class ScheduleList(_Table):
    """All schedules."""

    data: list[ScheduleAnswer]


class DeviceList(_Table):
    """All devices of the table."""

    data: list[Device]


class ModelList(_Table):
    """All models, the server's own first."""

    data: list[ModelAnswer]


def method_answer(spec: MethodSpec) -> MethodAnswer:
    """Return a method as JSON tells it."""
    return MethodAnswer(
        name=spec.name,
        title=spec.title,
        parameters=_parameters(spec.parameters),
        uses_target_modules=spec.uses_target_modules,
        merges=spec.merges,
        paper=spec.paper,
    )


def optimizer_answer(spec: OptimizerSpec) -> OptimizerAnswer:
    """Return an optimizer as JSON tells it."""
    return OptimizerAnswer(
        name=spec.name,
        title=spec.title,
        parameters=_parameters(spec.parameters),
        has_learning_rate=spec.has_learning_rate,
        state_bytes_per_weight=spec.state_bytes,
        paper=spec.paper,
    )


def schedule_answer(spec: ScheduleSpec) -> ScheduleAnswer:
    """Return a schedule as JSON tells it."""
    return ScheduleAnswer(name=spec.name, title=spec.title, parameters=_parameters(spec.parameters))


def model_answer(model: KnownModel) -> ModelAnswer:
    """Return a model as JSON tells it."""
    owner, slash, _ = model.profile.id.partition("/")
    return ModelAnswer(
        id=model.profile.id,
        owned_by=owner if slash else "peftwise",
        peft=ModelDetails(profile=model.profile, is_listed=model.is_listed),
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
