"""A simulated step of one small model: its bytes, its FLOPs, and what it refuses."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig

from metadata.errors import InvalidConfiguration, InvalidRequest
from metadata.records import Configuration
from training_worker.meter import TensorMeter
from training_worker.simulation.cache import simulate_once
from training_worker.simulation.command import main
from training_worker.simulation.inference import simulate_inference
from training_worker.simulation.question import Question
from training_worker.simulation.recorder import FROM_HOST
from training_worker.simulation.simulate import simulate

HIDDEN, MLP, LAYERS, VOCABULARY, ROWS, LENGTH = 64, 96, 2, 96, 4, 32
LLAMA: dict[str, Any] = {
    "model_type": "llama",
    "vocab_size": VOCABULARY,
    "hidden_size": HIDDEN,
    "intermediate_size": MLP,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "tie_word_embeddings": False,
}
LORA = {"peft_type": "LORA", "r": 4, "target_modules": ["q_proj", "v_proj"]}
FULL = Configuration.model_validate(
    {
        "method": {"name": "full"},
        "optimizer": {"name": "adamw", "learning_rate": 1e-3},
        "precision": "fp32",
    }
)


def question(**changes: Any) -> Question:
    usual: dict[str, Any] = {
        "model": LLAMA,
        "configuration": FULL,
        "adapter": LORA,
        "micro_batch_size": ROWS,
        "length_tokens": LENGTH,
    }
    return Question(**{**usual, **changes})


@pytest.fixture
def config_file(tmp_path: Path) -> Path:
    file = tmp_path / "config.json"
    file.write_text(json.dumps(LLAMA))
    return file


def command(config_file: Path, *arguments: str) -> list[str]:
    return ["--model", str(config_file), "--micro-batch-size", "2", "--length", "16", *arguments]


def test_the_flops_of_full_fine_tuning_are_three_times_those_of_its_products() -> None:
    step = simulate(question(adapter=None, padded=False))

    tokens, keys = ROWS * LENGTH, HIDDEN // 2
    layer = 2 * HIDDEN * HIDDEN + 2 * HIDDEN * keys + 3 * HIDDEN * MLP
    forward = 2 * tokens * (LAYERS * layer + HIDDEN * VOCABULARY)
    scores = 4 * tokens * LENGTH * HIDDEN * LAYERS  # queries by keys, and by values
    # Nothing is before the first layer to have a gradient but the embedding; attention's backward
    # pass makes the scores anew.
    assert step.flops == pytest.approx(3 * forward + 3.5 * scores, rel=0.02)


def test_weights_gradients_and_state_are_those_of_the_formula() -> None:
    step = simulate(question(adapter=None))

    held = step.peaks["optimizer"].bytes_of
    assert held["weights"] == pytest.approx(4 * step.parameters, rel=0.02)
    assert held["state"] == pytest.approx(8 * step.parameters, rel=0.03)  # and its steps
    assert held["gradients"] == pytest.approx(4 * step.parameters, rel=0.02)


def test_several_gpus_hold_buckets_of_the_bytes_of_the_gradients_and_say_so() -> None:
    alone = simulate(question(adapter=None))

    together = simulate(question(adapter=None, processes=2))

    more = together.peak_tensor_bytes - alone.peak_tensor_bytes
    assert more == pytest.approx(4 * alone.trainable, rel=0.01)
    assert alone.notes == ()
    assert any("DDP" in note for note in together.notes)


@pytest.mark.parametrize(("quantization", "bytes_each"), [("nf4", 0.5 + 4 / 64), ("int8", 1.0)])
def test_a_quantised_base_holds_packed_linears_and_says_so(
    quantization: str, bytes_each: float
) -> None:
    whole = simulate(question())
    configuration = FULL.model_copy(update={"quantization": quantization})

    packed = simulate(question(configuration=configuration))

    linears = LAYERS * (2 * HIDDEN * HIDDEN + HIDDEN * HIDDEN + 3 * HIDDEN * MLP)
    saved = whole.peaks["forward"].bytes_of["weights"] - packed.peaks["forward"].bytes_of["weights"]
    assert saved == pytest.approx((4 - bytes_each) * linears, rel=0.05)
    assert packed.trainable == whole.trainable
    assert any("quantised" in note for note in packed.notes)


def test_full_fine_tuning_of_a_quantised_base_is_refused() -> None:
    configuration = FULL.model_copy(update={"quantization": "nf4"})

    with pytest.raises(InvalidConfiguration, match=r"quantization must be .* got nf4"):
        simulate(question(adapter=None, configuration=configuration))


# What takes real weights to start: counts by the papers' formulas, for two layers of q and v.
@pytest.mark.parametrize(
    ("adapter", "trainable"),
    [
        (
            {"peft_type": "ADAMSS", "r": 8, "num_subspaces": 4, "subspace_rank": 1},
            LAYERS * (2 * 4 * 8 + HIDDEN + HIDDEN // 2),
        ),
        (
            {"peft_type": "FROD", "sparse_rate": 0.5},
            LAYERS * 2 * (HIDDEN + HIDDEN * HIDDEN // 2),
        ),
    ],
    ids=["adamss", "frod"],
)
def test_starts_from_real_weights_have_stand_ins_that_say_so(
    adapter: dict[str, Any], trainable: int
) -> None:
    step = simulate(question(adapter=adapter | {"target_modules": ["q_proj", "v_proj"]}))

    assert step.trainable == trainable
    assert step.notes


def test_what_peft_leaves_on_the_host_is_copied_and_not_held() -> None:
    said = {"peft_type": "BOFT", "boft_block_size": 4, "target_modules": ["q_proj"]}
    configuration = FULL.model_copy(update={"precision": "bf16"})

    step = simulate(question(adapter=said, configuration=configuration))

    (copies,) = [one for one in step.operations if one.name == FROM_HOST]
    assert copies.count == LAYERS
    assert copies.bytes_moved == 4 * HIDDEN * HIDDEN  # a permutation in fp32
    assert step.peaks["optimizer"].bytes_of["weights"] < 2.2 * step.parameters


def test_evaluation_holds_what_a_real_pass_without_gradients_does() -> None:
    model = AutoModelForCausalLM.from_config(LlamaConfig(**LLAMA), dtype=torch.float32).eval()
    ids_BL = torch.zeros((ROWS, LENGTH), dtype=torch.int64)
    with TensorMeter() as meter, torch.no_grad():
        meter.add(model.parameters())
        meter.add(model.buffers())
        model(input_ids=ids_BL, attention_mask=torch.ones_like(ids_BL), use_cache=False)

    passes = simulate_inference(question(adapter=None, padded=False), new_tokens=1)

    assert passes.evaluation.peak.peak_bytes == pytest.approx(meter.peak_bytes, rel=0.01)


@pytest.mark.parametrize("new_tokens", [1, 17])
def test_the_cache_holds_keys_and_values_of_every_token(new_tokens: int) -> None:
    passes = simulate_inference(question(), new_tokens=new_tokens)

    keys_and_values = 2 * LAYERS * (HIDDEN // 2)
    tokens = ROWS * (LENGTH + new_tokens)
    assert passes.cache_bytes == pytest.approx(4 * tokens * keys_and_values, rel=0.02)
    assert passes.last_token.flops < passes.prompt.flops / 10


def test_an_answer_is_read_again_from_the_cache_folder(tmp_path: Path) -> None:
    first = simulate_once(question(), folder=tmp_path)
    (file,) = tmp_path.glob("*.json")
    file.write_text(first.model_copy(update={"trainable": 7}).model_dump_json())

    assert simulate_once(question(), folder=tmp_path).trainable == 7


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"length_tokens": 1}, "length_tokens must lie between"),
        ({"length_tokens": 10**9}, "length_tokens must lie between"),
        ({"length_tokens": 129}, "at most the 128"),
        ({"micro_batch_size": 0}, "micro_batch_size must lie between"),
        ({"processes": 0}, "processes must lie between"),
        ({"model": {"model_type": "no-such-model"}}, "'no-such-model'"),
        ({"model": {"hidden_size": 64}}, "model_type is 'None'"),
        ({"model": LLAMA | {"hidden_size": "wide"}}, "Check"),
        ({"model": LLAMA | {"num_attention_heads": 0}}, "Check"),
        ({"model": LLAMA | {"hidden_size": -64}}, "Check"),
        ({"adapter": {"peft_type": "NEW"}}, "peft_type must be one"),
        ({"adapter": LORA | {"r": -1}}, "PEFT refused|PEFT takes"),
    ],
)
def test_what_no_step_can_be_is_refused(changes: dict[str, Any], rule: str) -> None:
    with pytest.raises((InvalidRequest, InvalidConfiguration), match=rule):
        simulate(question(**changes))


def test_the_command_prints_the_step_and_the_passes_as_json(config_file, capsys) -> None:
    code = main(command(config_file, "--adapter", "full", "--new-tokens", "4", "--json"))

    told = json.loads(capsys.readouterr().out)
    assert code == 0
    assert told["trainable"] == told["parameters"]
    assert set(told["inference"]) >= {"evaluation", "prompt", "last_token", "cache_bytes"}


@pytest.mark.parametrize(
    ("text", "rule"), [("not json", "must be a JSON file"), ("[1]", "it holds a list")]
)
def test_the_command_refuses_a_config_that_is_none(config_file, capsys, text, rule) -> None:
    config_file.write_text(text)

    code = main(command(config_file, "--adapter", "full"))

    assert code == 2
    assert rule in capsys.readouterr().err


def test_operations_over_lists_are_counted_with_what_they_write() -> None:
    step = simulate(question(adapter=None, loss="model"))

    decays = [one for one in step.operations if one.name == "_foreach_mul_"]
    read_and_written = 2 * 4 * step.trainable
    assert {one.phase for one in decays} == {"optimizer"}
    assert {one.bytes_moved // read_and_written for one in decays} == {1}
