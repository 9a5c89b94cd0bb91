"""One run, whole, on models of two layers with random weights."""

from dataclasses import replace
from math import isclose
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoConfig

from metadata.examples import Example, Turn
from metadata.features.model import profile_model
from metadata.messages import Limits
from metadata.methods import METHODS
from metadata.records import Configuration, Measurement
from metadata.space import exists, sample
from training_worker.request import StepTaken
from training_worker.run import RunResult, run


def losses(result: RunResult, split: str) -> list[float]:
    return [point.value for point in result.curve if point.name == "loss" and point.split == split]


def suited(usual: Configuration, base_model: str) -> Configuration:
    """Return a configuration whose method's values go with a model, the usual ones if they do."""
    profile = profile_model(AutoConfig.from_pretrained(base_model).to_dict(), id="tiny")
    if exists(usual, profile):
        return usual
    rng, name = np.random.default_rng(0), usual.method.name
    drawn = sample(profile, count=50, rng=rng, methods=[name], optimizers=["adamw"])
    if not drawn:
        pytest.skip("none of the method's values goes with this model")
    changes = {"method": drawn[0].method, "target_modules": drawn[0].target_modules}
    return usual.model_copy(update=changes)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("base_model", ["tiny_llama", "tiny_gpt2"])
def test_every_method_trains_and_is_scored(method, base_model, make_request, request, tmp_path):
    base = request.getfixturevalue(base_model)
    usual = make_request(method, base_model=base, output_folder=tmp_path / "adapter")
    asked = replace(usual, configuration=suited(usual.configuration, base))

    result = run(asked)

    assert result.state == "succeeded", result.reason
    assert losses(result, "validation")[-1] != losses(result, "validation")[0]
    assert result.scores.base_loss != result.scores.best_loss
    assert list(result.adapter_folder.glob("*.safetensors"))


def test_the_curve_begins_at_the_base_and_ends_at_the_last_step(make_request) -> None:
    seen: list[tuple[Measurement, float]] = []
    steps: list[StepTaken] = []

    result = run(
        make_request(),
        on_measurement=lambda measurement, progress: seen.append((measurement, progress)),
        on_step=steps.append,
    )

    validated = [p for p in result.curve if p.name == "loss" and p.split == "validation"]
    assert [point.step for point in validated] == [0, 2, 5, 7, 10, 12]
    assert tuple(measurement for measurement, _ in seen) == result.curve
    assert [progress for _, progress in seen] == sorted(progress for _, progress in seen)
    assert seen[-1][1] == 1.0
    assert [taken.step for taken in steps] == list(range(1, 13))
    assert steps[-1].trained_tokens == result.costs.trained_tokens


@pytest.mark.parametrize("method", ["lora", "full"])
def test_the_same_seed_gives_the_same_curve_bit_for_bit(method, make_request) -> None:
    dropout = {"method": {"name": "lora", "r": 4, "lora_alpha": 8, "lora_dropout": 0.1}}
    changes = dropout if method == "lora" else {}

    first, again, other = (run(make_request(method, seed=seed, **changes)) for seed in (1, 1, 2))

    assert first.state == "succeeded", first.reason
    assert first.curve == again.curve
    assert first.scores == again.scores
    assert first.curve != other.curve


def test_training_lowers_the_loss_and_the_scores_say_so(make_request) -> None:
    result = run(make_request("full", epochs=10))

    scores = result.scores
    assert scores.best_loss < 0.5 * scores.base_loss
    assert scores.gain("best") == scores.base_loss - scores.best_loss
    assert losses(result, "validation")[-1] < losses(result, "validation")[0]
    assert 0 < scores.mean_reciprocal_rank <= 1
    assert 0 <= scores.exact_match <= 1


def test_the_best_and_the_last_checkpoint_are_scored_apart(make_request) -> None:
    def guess(number: int) -> Example:  # nothing to learn but by heart
        word = ["red", "green", "blue", "yellow"][number * number * 7 % 13 % 4]
        return Example(None, f"Guess {number}:", f" {word}")

    train, validation, test = (
        tuple(guess(number) for number in numbers)
        for numbers in (range(24), range(24, 32), range(32, 40))
    )

    result = run(make_request("full", epochs=30, train=train, validation=validation, test=test))

    validated = losses(result, "validation")[1:]
    assert min(validated) < validated[-1], "the data were meant to overfit"
    assert result.scores.best_loss != result.scores.last_loss


def test_costs_count_what_was_trained(make_request) -> None:
    costs = run(make_request("full")).costs

    tokens_of_an_epoch = sum(
        len(f"Say {word} {number}: {word}") + 1
        for number, word in enumerate(["red", "green", "blue", "yellow"] * 6)
    )
    assert costs.trained_tokens == 2 * tokens_of_an_epoch
    assert costs.steps == 12
    assert costs.trainable_parameters == 32_032
    # weights, gradients and AdamW's two states, at the least
    assert costs.peak_tensor_bytes > 4 * 4 * 32_032
    assert costs.peak_device_bytes > costs.peak_tensor_bytes
    assert costs.train_seconds > 0
    assert costs.eval_cpu_seconds > 0


@pytest.mark.parametrize(
    "changes",
    [
        {"precision": "bf16"},
        {"gradient_checkpointing": True},
        {"attention": "eager"},
        {"loss_on": "all"},
        {"keep": "last"},
        {"packing": True},
        {"packing": True, "gradient_checkpointing": True, "loss_on": "all"},
        {"gradient_clipping": "component"},
        {"optimizer": {"name": "lion", "learning_rate": 1e-3}},
        {"schedule": {"name": "cosine", "warmup_fraction": 0.2}},
        {"max_length_tokens": 1_000_000},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_every_choice_of_a_configuration_trains(changes, make_request) -> None:
    result = run(make_request("dora", **changes))

    assert result.state == "succeeded", result.reason


def test_checkpointing_changes_the_memory_and_not_the_curve(make_request) -> None:
    plain = run(make_request())
    checkpointed = run(make_request(gradient_checkpointing=True))

    for one, other in zip(plain.curve, checkpointed.curve, strict=True):
        assert isclose(one.value, other.value, rel_tol=1e-4)
    assert checkpointed.costs.peak_tensor_bytes < plain.costs.peak_tensor_bytes


def test_the_micro_batch_does_not_change_the_curve(make_request) -> None:
    whole = run(make_request(batch_size=8, micro_batch_size=8))
    parts = run(make_request(batch_size=8, micro_batch_size=3))

    assert (whole.micro_batch_size, parts.micro_batch_size) == (8, 3)
    for one, other in zip(whole.curve, parts.curve, strict=True):
        assert isclose(one.value, other.value, rel_tol=1e-3)


def test_chats_go_through_the_template(make_request) -> None:
    def chat(number: int) -> Example:
        turns = (Turn("user", f"Count {number}"), Turn("assistant", f"{number + 1}"))
        return Example(turns, turns[0].content, turns[1].content)

    chats = tuple(chat(number) for number in range(12))

    result = run(make_request(train=chats, validation=chats[:4], test=chats[4:8]))

    assert result.state == "succeeded", result.reason


def test_a_context_shorter_than_the_examples_cuts_them(make_request, tiny_gpt2) -> None:
    long = tuple(Example(None, "many words " * 30 + str(n), f" {n}") for n in range(9))

    result = run(
        make_request(
            base_model=tiny_gpt2,
            train=long[:5],
            validation=long[5:7],
            test=long[7:],
            max_length_tokens=512,
        )
    )

    assert result.state == "succeeded", result.reason


@pytest.mark.parametrize(
    ("changes", "state", "words"),
    [
        ({"limits": Limits(train_seconds=1e-4)}, "timed_out", "step 1"),
        ({"limits": Limits(memory_bytes=1000)}, "out_of_memory", "1,000"),
        ({"optimizer": {"name": "adamw", "learning_rate": 100.0}}, "diverged", "Lower"),
        ({"packing": True, "attention": "flash_attention_2"}, "failed", "packed texts"),
        ({"optimizer": {"name": "dog"}}, "failed", "schedule constant"),
        ({"quantization": "nf4"}, "failed", "quantization"),
        ({"attention": "flash_attention_2"}, "failed", "sdpa"),
        ({"method": {"name": "magic"}}, "failed", "magic"),
        ({"method": {"name": "lora", "r": 0}}, "failed", "r"),
        ({"optimizer": {"name": "adamw"}}, "failed", "learning_rate"),
        ({"base_model": "no/such-model-at-all"}, "failed", "no/such-model-at-all"),
        ({"device": "abacus"}, "failed", "abacus"),
        ({"validation": ()}, "failed", "validation"),
    ],
    ids=lambda value: str(value)[:40] if isinstance(value, dict) else "",
)
def test_a_run_that_fails_says_why_and_raises_nothing(
    changes, state, words, make_request, monkeypatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")

    result = run(make_request("full", **changes))

    assert result.state == state
    assert words in result.reason
    assert result.scores is None
    assert result.versions["torch"]


def test_a_folder_without_a_model_fails_without_its_path(make_request, tmp_path: Path) -> None:
    result = run(make_request(base_model=str(tmp_path)))

    assert result.state == "failed"
    assert str(tmp_path) not in result.reason


def test_a_run_cut_short_keeps_its_curve_and_costs(make_request) -> None:
    result = run(make_request(limits=Limits(train_seconds=0.3), epochs=10_000))

    assert result.state == "timed_out"
    assert losses(result, "validation")
    assert result.costs.steps > 0
    assert result.costs.trained_tokens > 0


def test_a_run_leaves_the_random_numbers_of_its_caller_alone(make_request) -> None:
    before = torch.get_rng_state()

    run(make_request())

    assert torch.equal(torch.get_rng_state(), before)
