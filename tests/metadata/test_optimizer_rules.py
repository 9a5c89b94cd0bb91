"""What does not go together is refused with the field that is to be changed."""

import pytest

from metadata.checks import check
from metadata.errors import InvalidConfiguration
from metadata.optimizers import OPTIMIZERS, SCHEDULES
from metadata.parameters import defaults
from metadata.records import Choice, Configuration, OptimizerChoice, ScheduleChoice

LORA = Choice.model_validate({"name": "lora", "r": 8, "lora_alpha": 16, "lora_dropout": 0.0})


def asked(name: str, *, schedule: str = "constant", **changes: object) -> Configuration:
    spec = OPTIMIZERS[name]
    rate = {"learning_rate": 1e-3} if spec.has_learning_rate else {}
    values = {"name": name, **rate, **defaults(spec.parameters), **changes}
    return Configuration(
        method=LORA,
        optimizer=OptimizerChoice.model_validate(values),
        schedule=ScheduleChoice.model_validate(
            {"name": schedule} | defaults(SCHEDULES[schedule].parameters)
        ),
    )


@pytest.mark.parametrize("name", ["dog", "ldog", "schedule_free_adamw"])
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_what_does_without_a_schedule_goes_with_a_constant_rate_only(name, schedule) -> None:
    configuration = asked(name, schedule=schedule)

    if schedule == "constant":
        check(configuration)
        return
    with pytest.raises(InvalidConfiguration, match="goes with the schedule constant") as error:
        check(configuration)
    assert error.value.param == "schedule.name"


@pytest.mark.parametrize(
    "spec",
    [spec for spec in OPTIMIZERS.values() if not spec.has_learning_rate],
    ids=lambda spec: spec.name,
)
def test_a_rate_is_refused_where_the_optimizer_finds_its_own(spec) -> None:
    with pytest.raises(InvalidConfiguration, match="finds its own learning rate") as error:
        check(asked(spec.name, learning_rate=1.0))

    assert error.value.param == "optimizer.learning_rate"


def test_weight_decay_is_refused_where_there_is_none() -> None:
    with pytest.raises(InvalidConfiguration, match="DoG has no weight decay") as error:
        check(asked("dog", weight_decay=0.01))

    assert error.value.param == "optimizer.weight_decay"


def test_lora_plus_is_for_the_factors_of_lora() -> None:
    ia3 = asked("lora_plus").model_copy(update={"method": Choice(name="ia3")})

    with pytest.raises(InvalidConfiguration, match="goes with lora"):
        check(ia3)
