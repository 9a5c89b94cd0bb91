import numpy as np
import pytest

from metadata.examples import Example
from metadata.features import FEATURES, TASK_FEATURES, describe, describe_task
from metadata.features.dataset import profile_dataset
from metadata.features.device import find_device
from metadata.features.model import find_model
from metadata.footprint import plan
from metadata.priors import usual_rate
from metadata.records import Choice, Configuration, OptimizerChoice, Probe, Task
from metadata.space import sample


def task(*, examples: int = 100, model: str = "peftwise-tiny", device: str = "l40s") -> Task:
    data = [Example(None, f"question {n}", f"answer {n % 5}") for n in range(examples)]
    return Task(
        model=find_model(model),
        dataset=profile_dataset(data, name="questions"),
        device=find_device(device),
    )


def configuration(method: str = "lora", *, rate: float = 1e-3, **more: object) -> Configuration:
    values = {"r": 8, "lora_alpha": 32, "lora_dropout": 0.1} if "lora" in method else {}
    return Configuration(
        method=Choice.model_validate({"name": method, **values}),
        optimizer=OptimizerChoice(name="adamw", learning_rate=rate),
        **more,
    )


def named(where: Task, one: Configuration) -> dict[str, float]:
    return dict(zip(FEATURES, describe(where, [one])[0].tolist(), strict=True))


def test_names_are_unique_and_the_task_comes_first() -> None:
    assert len(set(FEATURES)) == len(FEATURES)
    assert FEATURES[: len(TASK_FEATURES)] == TASK_FEATURES


def test_every_feature_of_every_sample_is_finite() -> None:
    where = task()
    drawn = sample(where.model, count=300, rng=np.random.default_rng(0))

    described = describe(where, drawn)

    assert described.shape == (300, len(FEATURES))
    assert described.dtype == np.float64
    assert np.isfinite(described).all()
    assert np.array_equal(described[:, : len(TASK_FEATURES)][7], describe_task(where))


def test_no_configurations_give_no_rows() -> None:
    assert describe(task(), []).shape == (0, len(FEATURES))


def test_the_physics_agrees_with_the_plan() -> None:
    where, one = task(examples=500), configuration(batch_size=4, epochs=3.0)

    features, planned = named(where, one), plan(one, where)

    assert 2 ** features["log2_steps"] == pytest.approx(planned.steps)
    assert 2 ** features["log2_trainable_parameters"] == pytest.approx(planned.trainable_parameters)
    assert 2 ** features["log2_trained_share"] == pytest.approx(
        planned.trainable_parameters / where.model.parameters
    )


def test_the_rate_is_told_as_a_multiple_of_the_usual_one() -> None:
    where = task()
    usual = usual_rate("lora", "adamw", where.model)

    assert named(where, configuration(rate=4 * usual))["log2_rate_ratio"] == pytest.approx(2)
    assert named(where, configuration(rate=usual / 2))["log2_rate_ratio"] == pytest.approx(-1)


def test_the_scale_of_rslora_is_by_the_root_of_its_rank() -> None:
    lora, rslora, ia3 = (
        named(task(), configuration(method))["log2_scale"] for method in ("lora", "rslora", "ia3")
    )

    assert lora == pytest.approx(2)  # 32 / 8
    assert rslora == pytest.approx(5 - 1.5)  # 32 / sqrt(8)
    assert ia3 == 0


def test_one_of_each_table_is_marked() -> None:
    features = named(task(), configuration("ia3", target_modules="mlp"))

    for kind in ("method_", "target_", "optimizer_", "schedule_", "kind_"):
        assert sum(value for name, value in features.items() if name.startswith(kind)) == 1
    assert features["method_ia3"] == features["target_mlp"] == 1


def test_full_fine_tuning_takes_no_notice_of_the_target() -> None:
    first, second = (
        describe(task(), [configuration("full", target_modules=target)])
        for target in ("mlp", "all-linear")
    )

    assert np.array_equal(first, second)


def test_the_device_does_not_matter_for_quality() -> None:
    one = [configuration()]

    assert np.array_equal(describe(task(device="t4"), one), describe(task(device="h200"), one))


def test_a_probe_is_seen_where_there_is_one() -> None:
    where = task()
    probe = Probe(loss_mean=2.5, loss_spread=0.5)
    probed = where.model_copy(update={"dataset": where.dataset.model_copy(update={"probe": probe})})

    without, given = named(where, configuration()), named(probed, configuration())

    assert (without["has_probe"], without["probe_loss_mean"]) == (0, 0)
    assert (given["has_probe"], given["probe_loss_mean"]) == (1, 2.5)
