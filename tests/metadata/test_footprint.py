import json
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest

from metadata.architectures import linears
from metadata.examples import Example
from metadata.features.dataset import profile_dataset
from metadata.features.device import find_device
from metadata.features.model import find_model, known_models
from metadata.footprint import footprint, pass_seconds, plan, update_seconds
from metadata.methods import METHODS
from metadata.records import Configuration, Task
from metadata.space import default_configuration
from metadata.step_costs import step_costs

GIB = 2**30
REAL_RUNS = (
    Path(__file__).parents[2]
    / ".."
    / "shared"
    / "data"
    / "runs"
    / "peft_method_comparison"
    / "MetaMathQA"
)
LLAMA_3B = find_model("meta-llama/Llama-3.2-3B")
L40S = find_device("NVIDIA L40S")


def configuration(name: str = "lora", /, **changes: object) -> Configuration:
    values = {"r": 16, "lora_alpha": 32, "lora_dropout": 0.0} if METHODS[name].parameters else {}
    return Configuration.model_validate(
        {
            "method": {"name": name, **values},
            "optimizer": {"name": "adamw", "learning_rate": 1e-4},
            "precision": "bf16",
            "max_length_tokens": 1024,
        }
        | changes
    )


def task(
    *, model: str = LLAMA_3B.id, device: str = "l40s", words: int = 60, **more: object
) -> Task:
    examples = [Example(None, f"question {n} " * words, f"answer {n} " * 9) for n in range(1000)]
    return Task(
        model=find_model(model),
        dataset=profile_dataset(examples, name="questions"),
        device=find_device(device, **more),
    )


@dataclass(frozen=True)
class Real:
    file: str
    method: str
    target: str
    rank: int | None


# Methods and targets that are in our tables; batch 4, AdamW, bf16, 5,000 steps, one L40S.
RUNS = (
    Real("lora--llama-3.2-3B-rank64-rslora.json", "rslora", "qv", 64),
    Real("lora--llama-3.2-3B-rank10-target-mlp.json", "lora", "mlp", 10),
    Real("lora--llama-3.2-3B-rank32-dora.json", "dora", "qv", 32),
    Real("full-finetuning--llama-3.2-3B-lr_0.00001.json", "full", "all-linear", None),
)
LONGEST_TOKENS, USUAL_TOKENS = 768, 270  # of a padded batch there


@pytest.mark.skipif(not REAL_RUNS.is_dir(), reason="the shared runs are not beside this checkout")
@pytest.mark.parametrize("real", RUNS, ids=lambda real: f"{real.method}-{real.target}")
def test_memory_and_time_agree_with_real_runs(real: Real) -> None:
    train = json.loads((REAL_RUNS / real.file).read_text())["train_info"]
    values = {"r": real.rank, "lora_alpha": 64, "lora_dropout": 0.0} if real.rank else {}
    tried = configuration(
        real.method, method={"name": real.method, **values}, target_modules=real.target
    )

    largest = footprint(tried, LLAMA_3B, micro_batch_size=4, length_tokens=LONGEST_TOKENS)
    usual = footprint(tried, LLAMA_3B, micro_batch_size=4, length_tokens=USUAL_TOKENS)
    seconds = 5000 * (
        pass_seconds(usual, L40S, is_fp32=False) + update_seconds(step_costs(tried, LLAMA_3B), L40S)
    )

    assert largest.trainable_parameters == train["num_trainable_params"]
    assert largest.peak_bytes == pytest.approx(train["accelerator_memory_max"], rel=0.10)
    assert seconds == pytest.approx(train["train_time"], rel=0.25)


def test_parts_of_the_footprint_follow_by_hand() -> None:
    full = footprint(configuration("full"), LLAMA_3B, micro_batch_size=1, length_tokens=128)

    assert full.weights_bytes == 2 * LLAMA_3B.parameters
    assert full.gradient_bytes == 2 * LLAMA_3B.parameters
    assert full.state_bytes == 4 * LLAMA_3B.parameters
    # Six FLOPs a token and weight; the embedding counts once, as the output layer.
    assert full.flops == pytest.approx(6 * LLAMA_3B.parameters * 128, rel=0.02)


def test_lora_trains_two_thirds_of_the_flops_and_keeps_adapters_in_fp32() -> None:
    lora, full = (
        footprint(configuration(method), LLAMA_3B, micro_batch_size=1, length_tokens=128)
        for method in ("lora", "full")
    )

    assert lora.flops / full.flops == pytest.approx(2 / 3, rel=0.02)
    assert lora.gradient_bytes == 4 * lora.trainable_parameters
    assert lora.state_bytes == 8 * lora.trainable_parameters


def peak(
    tried: Configuration, *, model: str = LLAMA_3B.id, size: int = 4, length: int = 512
) -> int:
    needs = footprint(tried, find_model(model), micro_batch_size=size, length_tokens=length)
    return needs.peak_bytes


def test_memory_grows_with_model_length_and_batch() -> None:
    lora = configuration()
    by_model = [
        peak(lora, model=f"meta-llama/Llama-{name}") for name in ("3.2-1B", "3.2-3B", "3.1-8B")
    ]
    by_length = [peak(lora, length=length) for length in (256, 1024, 4096)]
    by_size = [peak(lora, size=size) for size in (1, 2, 8)]

    for series in (by_model, by_length, by_size):
        assert all(smaller < larger for smaller, larger in pairwise(series))
    assert by_length[2] > 3 * by_length[0]


def test_quantised_weights_need_less_memory() -> None:
    none, int8, nf4 = (
        peak(
            configuration(quantization=q, gradient_checkpointing=True),
            model="meta-llama/Llama-3.1-70B",
            size=1,
        )
        for q in ("none", "int8", "nf4")
    )

    assert nf4 < 0.7 * int8
    assert int8 < 0.6 * none
    assert 35 * GIB < nf4 < 60 * GIB  # a 70B model in 4 bits goes on one 48 to 80 GB card


def test_checkpointing_saves_memory_and_costs_time() -> None:
    plain, again = (configuration(gradient_checkpointing=on) for on in (False, True))

    assert peak(again) < 0.8 * peak(plain)
    assert plan(again, task()).train_seconds > 1.1 * plan(plain, task()).train_seconds


def test_eager_attention_needs_memory_by_the_square_of_the_length() -> None:
    def more(length: int) -> int:
        eager, sdpa = (configuration(attention=kind) for kind in ("eager", "sdpa"))
        return peak(eager, length=length) - peak(sdpa, length=length)

    assert more(2048) == pytest.approx(4 * more(1024), rel=0.01)


def test_logits_in_fp32_are_of_learnt_tokens_alone() -> None:
    some, every = (
        footprint(
            configuration(),
            LLAMA_3B,
            micro_batch_size=4,
            length_tokens=512,
            target_share=share,
        ).logits_bytes
        for share in (0.1, 1.0)
    )

    assert every == 4 * 512 * LLAMA_3B.vocabulary * (2 * 2 + 2 * 4)
    assert some < every / 2


def test_a_larger_card_takes_a_larger_micro_batch() -> None:
    tried = configuration(batch_size=64)

    plans = [plan(tried, task(memory_gib=gib, words=200)) for gib in (12, 24, 80)]

    assert [p.fits for p in plans] == [True, True, True]
    assert all(a.micro_batch_size < b.micro_batch_size for a, b in pairwise(plans))
    assert all(p.micro_batch_size * p.accumulation_steps == 64 for p in plans)
    assert all(p.peak_bytes <= 0.95 * gib * GIB for p, gib in zip(plans, (12, 24, 80), strict=True))


def test_what_is_too_large_says_so_with_a_micro_batch_of_one() -> None:
    result = plan(configuration("full"), task(model="meta-llama/Llama-3.1-8B", memory_gib=12))

    assert not result.fits
    assert result.micro_batch_size == 1
    assert result.peak_bytes > 12 * GIB


def test_a_limit_on_memory_is_kept() -> None:
    free = plan(configuration(batch_size=32), task())
    limited = plan(configuration(batch_size=32), task(), memory_bytes=free.peak_bytes - 1)

    assert limited.micro_batch_size == free.micro_batch_size // 2
    assert limited.peak_bytes < free.peak_bytes
    assert limited.steps == free.steps


def test_steps_and_tokens_follow_from_the_data() -> None:
    result = plan(configuration(batch_size=8, epochs=2.0), task())

    assert result.steps == 200  # 80 % of 1,000 examples, twice, by 8
    assert result.tokens == pytest.approx(1600 * (60 * 13 + 9 * 11) / 4.4, rel=0.1)


def test_time_grows_with_epochs_and_falls_on_a_faster_or_second_card() -> None:
    slow, fast, two = (
        plan(configuration(batch_size=16), where).train_seconds
        for where in (task(device="a40"), task(device="h100 sxm"), task(device="a40", count=2))
    )
    once, thrice = (plan(configuration(epochs=n), task()).train_seconds for n in (1.0, 3.0))

    assert fast < slow / 2
    assert slow / 3 < two < slow
    assert thrice == pytest.approx(3 * once, rel=0.01)


@pytest.mark.parametrize("model", known_models(), ids=lambda model: model.id)
def test_every_known_model_has_a_sensible_plan(model) -> None:
    where = task().model_copy(update={"model": model})
    default = default_configuration(where)

    result = plan(default, where)

    assert result.peak_bytes > 2 * model.parameters
    assert result.train_seconds > 0


def test_packing_takes_fewer_rows_and_wastes_no_time_on_padding() -> None:
    asked = {"batch_size": 32, "max_length_tokens": 1024}
    examples = [Example(None, f"question {n} " * (1 + n % 40), "answer") for n in range(1000)]
    mixed = Task(
        model=LLAMA_3B, dataset=profile_dataset(examples, name="of all lengths"), device=L40S
    )
    padded, packed = (
        plan(configuration(packing=packing, **asked), mixed) for packing in (False, True)
    )

    assert packed.tokens == padded.tokens
    assert packed.steps == padded.steps
    assert packed.micro_batch_size * packed.accumulation_steps < 32 / 4
    assert packed.length_tokens == 1024
    assert packed.train_seconds < padded.train_seconds


def test_a_packed_row_is_no_longer_than_its_batch() -> None:
    packed = plan(configuration(packing=True, batch_size=2, max_length_tokens=4096), task(words=20))

    assert packed.micro_batch_size == 1
    assert packed.length_tokens < 4096


def test_lora_fa_keeps_gradients_and_state_of_b_alone() -> None:
    model = LLAMA_3B
    lora, frozen_a = (
        step_costs(configuration(optimizer={"name": name, "learning_rate": 1e-4}), model)
        for name in ("adamw", "lora_fa")
    )
    b_weights = 16 * sum(linear.d_out for linear in linears(model)) * model.layers

    assert frozen_a.trainable == b_weights < lora.trainable
    assert frozen_a.state_bytes == 8 * b_weights
    assert frozen_a.weights_bytes == lora.weights_bytes


def test_adafactor_needs_next_to_no_state() -> None:
    whole, factored = (
        step_costs(
            configuration("full", optimizer={"name": name, "learning_rate": 1e-4}), LLAMA_3B
        ).state_bytes
        for name in ("adamw", "adafactor")
    )

    assert 0 < factored < whole / 1000
