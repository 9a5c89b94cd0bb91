"""Costs of steps without gradients, held against live tensors and the counts of FLOPs."""

from typing import Any

import pytest

from metadata.features.model import profile_model
from metadata.footprint import footprint
from metadata.methods import METHODS
from metadata.optimizers import OPTIMIZERS
from metadata.parameters import defaults
from metadata.records import Choice, Configuration, OptimizerChoice
from metadata.step_costs import step_costs

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
meter = pytest.importorskip("training_worker.meter")

EXAMPLES, LENGTH, HIDDEN, MLP = 4, 128, 256, 704
FAMILIES = ("llama", "qwen3", "gpt2", "gpt_neox", "opt", "phi3")


def config(family: str) -> dict[str, Any]:
    sizes = {
        "model_type": family,
        "hidden_size": HIDDEN,
        "intermediate_size": MLP,
        "num_hidden_layers": 3,
        "num_attention_heads": 8,
        "vocab_size": 512,
        "max_position_embeddings": 256,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 2,
    }
    own = {"gpt2": {"n_inner": MLP}, "opt": {"ffn_dim": MLP, "word_embed_proj_dim": HIDDEN}}
    return sizes | own.get(family, {"num_key_value_heads": 2, "head_dim": 32})


def asked(optimizer: str, method: str = "lora", **changes: object) -> Configuration:
    spec = OPTIMIZERS[optimizer]
    return Configuration(
        method=Choice.model_validate({"name": method} | defaults(METHODS[method].parameters)),
        optimizer=OptimizerChoice.model_validate(
            {"name": optimizer, "learning_rate": 1e-3 if spec.has_learning_rate else None}
            | defaults(spec.parameters)
        ),
        target_modules="qk" if spec.kind == "population" else "all-linear",
        **changes,
    )


def measured_layer_bytes(family: str, dtype: Any) -> int:
    """Return the peak of live tensors beside the weights while the layers run without a graph."""
    model = transformers.AutoModelForCausalLM.from_config(
        transformers.AutoConfig.for_model(**config(family)), dtype=dtype
    ).eval()
    ids = torch.randint(3, 500, (EXAMPLES, LENGTH))
    with torch.no_grad(), meter.TensorMeter() as held:
        held.add([*model.parameters(), *model.buffers(), ids])
        weights = held.live_bytes
        model.base_model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False)
    return int(held.peak_bytes - weights)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("family", FAMILIES)
def test_one_layer_is_live_at_a_time(family: str, precision: str) -> None:
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[precision]
    model = profile_model(config(family), id=family)

    costs = step_costs(asked("mezo", precision=precision), model)

    measured = measured_layer_bytes(family, dtype)
    assert costs.live_per_token * EXAMPLES * LENGTH == pytest.approx(measured, rel=0.3)


@pytest.mark.parametrize(("optimizer", "passes"), [("mezo", 2), ("cma", 1), ("fireworks", 1)])
def test_flops_are_two_a_weight_and_pass(optimizer: str, passes: int) -> None:
    model = profile_model(config("llama"), id="llama")
    configuration = asked(optimizer)

    costs = step_costs(configuration, model)

    matrices = model.parameters - model.vocabulary * HIDDEN  # the table of embeddings multiplies
    weights = matrices + costs.trainable  # nothing, the norms hardly count
    assert costs.flops_per_token == pytest.approx(passes * 2 * weights, rel=0.01)


@pytest.mark.parametrize("optimizer", ["mezo", "mezo_adam", "cma", "fireworks"])
def test_no_gradient_is_held_and_only_adam_has_state(optimizer: str) -> None:
    model = profile_model(config("llama"), id="llama")

    needs = footprint(asked(optimizer), model, micro_batch_size=16, length_tokens=256)

    state = 8 * needs.trainable_parameters if optimizer == "mezo_adam" else 0
    assert (needs.gradient_bytes, needs.state_bytes) == (0, state)


def test_training_all_weights_needs_little_more_than_them() -> None:
    model = profile_model(config("llama"), id="llama")
    sizes = {"micro_batch_size": 1, "length_tokens": 64}

    without = footprint(asked("mezo", "full"), model, **sizes)
    with_gradients = footprint(asked("adamw", "full"), model, **sizes)

    assert without.peak_bytes < 1.3 * without.weights_bytes
    assert with_gradients.peak_bytes >= 4 * with_gradients.weights_bytes


def test_checkpoints_are_of_no_use_without_a_graph() -> None:
    model = profile_model(config("llama"), id="llama")

    plain, checkpointed = (
        step_costs(asked("mezo", gradient_checkpointing=choice), model) for choice in (False, True)
    )

    assert plain == checkpointed
