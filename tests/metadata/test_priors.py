import pytest

from metadata.features.model import find_model
from metadata.methods import METHODS
from metadata.optimizers import OPTIMIZERS
from metadata.priors import (
    carry_over,
    for_objective,
    lora_rate,
    rate_ratio,
    usual_rate,
    width_rule_rate,
)
from metadata.records import Choice, Configuration, Objective, OptimizerChoice

TINY = find_model("peftwise-tiny")
LLAMA = find_model("meta-llama/Llama-3.2-3B")
QWEN = find_model("Qwen/Qwen3-4B")


def lora(rate: float | None) -> Configuration:
    return Configuration(
        method=Choice(name="lora"), optimizer=OptimizerChoice(name="adamw", learning_rate=rate)
    )


def test_the_width_rule_gives_the_published_rates() -> None:
    # 5e-5 * 10 * (2000 / width) ** power, by hand
    assert width_rule_rate(LLAMA) == pytest.approx(3.575e-4, rel=1e-3)
    assert width_rule_rate(QWEN) == pytest.approx(4.905e-4, rel=1e-3)
    assert width_rule_rate(TINY) == pytest.approx(4.28e-3, rel=1e-3)


PAIRS = [
    (method, optimizer.name)
    for optimizer in OPTIMIZERS.values()
    for method in optimizer.methods or METHODS
]


@pytest.mark.parametrize(("method", "optimizer"), PAIRS)
def test_every_method_and_optimizer_has_a_usable_usual_rate(method: str, optimizer: str) -> None:
    largest = 0.1 * max(1.0, METHODS[method].rate_factor / 50)  # C3A divides by the width

    assert 1e-7 < usual_rate(method, optimizer, LLAMA) < largest


def test_full_fine_tuning_is_slower_than_lora_and_ia3_faster() -> None:
    full, low_rank, scales = (usual_rate(m, "adamw", LLAMA) for m in ("full", "lora", "ia3"))

    assert full < low_rank < scales


def test_a_rate_is_a_multiple_of_the_usual_one() -> None:
    assert rate_ratio(lora(3 * lora_rate(LLAMA)), LLAMA) == pytest.approx(3)
    assert rate_ratio(lora(None), LLAMA) == 1


def test_carrying_over_keeps_the_ratio_and_comes_back() -> None:
    there = carry_over(lora(1e-3), known=TINY, new=LLAMA)
    back = carry_over(there, known=LLAMA, new=TINY)

    assert rate_ratio(there, LLAMA) == pytest.approx(rate_ratio(lora(1e-3), TINY), rel=5e-4)
    assert back.optimizer.learning_rate == pytest.approx(1e-3, rel=1e-3)
    assert there.optimizer.learning_rate == float(f"{there.optimizer.learning_rate:.4g}")
    assert carry_over(lora(None), known=TINY, new=LLAMA) == lora(None)


def test_dpo_takes_a_twentieth_of_the_supervised_rate_and_nothing_else_changes() -> None:
    supervised = lora(2e-4)

    changed = for_objective(supervised, Objective(name="dpo"))

    assert changed.optimizer.learning_rate == pytest.approx(1e-5)
    assert changed.model_copy(update={"optimizer": supervised.optimizer}) == supervised
    assert for_objective(supervised, Objective()) == supervised
