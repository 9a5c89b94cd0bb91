"""Each rule of a method on a model is refused in its own words, and only where it is broken."""

from typing import Any

import pytest

from metadata.checks import check
from metadata.errors import InvalidConfiguration
from metadata.methods import METHODS
from metadata.parameters import defaults
from metadata.records import Configuration, ModelProfile

MODEL = ModelProfile(
    id="peftwise-tiny",
    family="llama",
    parameters=1_000_000,
    layers=4,
    hidden_size=128,
    heads=4,
    key_value_heads=2,
    head_size=32,
    mlp_width=384,
    vocabulary=2048,
    context_tokens=512,
    tied_embeddings=True,
)
GPT2 = MODEL.model_copy(
    update={"family": "gpt2", "key_value_heads": 4, "mlp_width": 512, "biases": "all"}
)
ODD = MODEL.model_copy(update={"mlp_width": 344})  # 8 times 43

REFUSED: list[tuple[str, ModelProfile, dict[str, Any], str, str]] = [
    ("fourierft", MODEL, {"n_frequency": 8193}, "n_frequency", "8192 weights of the smallest"),
    ("waveft", MODEL, {"n_frequency": 8193}, "n_frequency", "8192 weights of the smallest"),
    ("c3a", ODD, {"block_size": 16}, "block_size", "divide the widths it is used on, as 344"),
    ("c3a", GPT2, {"block_size": 16}, "name", "plain linear maps"),
    ("oft", ODD, {"oft_block_size": 16}, "oft_block_size", "divide the input width, as 344"),
    ("oft", GPT2, {"oft_block_size": 16}, "name", "plain linear maps"),
    (
        "boft",
        ODD,
        {"boft_block_size": 8, "boft_n_butterfly_factor": 2},
        "boft_block_size",
        "doubled with each butterfly factor after the first, must divide the input width, as 344",
    ),
    ("boft", GPT2, {}, "name", "plain linear maps"),
    ("hra", MODEL.model_copy(update={"hidden_size": 16}), {"r": 32}, "r", "input width, 16"),
    ("hra", GPT2, {}, "name", "plain linear maps"),
    ("road", GPT2, {}, "name", "plain linear maps"),
    ("shira", MODEL, {"r": 43}, "r", "r at most 42 on self_attn.k_proj"),
    ("shira", GPT2, {}, "name", "plain linear maps"),
    (
        "adaption_prompt",
        MODEL.model_copy(update={"family": "qwen2"}),
        {},
        "name",
        "knows the attention of llama, mistral, gpt2, not that of qwen2",
    ),
    (
        "adaption_prompt",
        MODEL.model_copy(update={"head_size": 64}),
        {},
        "name",
        "as wide as the model, 128, and those of peftwise-tiny are 256",
    ),
    ("supertuning", GPT2, {}, "name", "plain linear maps"),
    ("psoft", MODEL, {"r": 65}, "r", "smallest width it is used on, 64"),
    ("psoft", GPT2, {}, "name", "plain linear maps"),
    ("osf", GPT2, {}, "name", "plain linear maps"),
    ("trainable_tokens", MODEL, {"tokens": 2049}, "tokens", "at most the 2048"),
    *(
        (
            name,
            MODEL.model_copy(update={"context_tokens": 128}),
            {"num_virtual_tokens": 65},
            "num_virtual_tokens",
            "at most half the context of peftwise-tiny, 64 tokens",
        )
        for name in (
            "prompt_tuning",
            "p_tuning",
            "prefix_tuning",
            "prefix_tuning_mlp",
            "cartridge",
            "cpt",
        )
    ),
]
ALLOWED: list[tuple[str, ModelProfile, dict[str, Any]]] = [
    ("fourierft", MODEL, {"n_frequency": 8192}),
    ("fourierft", GPT2, {}),
    ("waveft", GPT2, {}),
    ("c3a", MODEL, {"block_size": 64}),
    ("oft", ODD, {"oft_block_size": 16, "target_modules": "qv"}),
    ("boft", ODD, {"boft_block_size": 8, "boft_n_butterfly_factor": 1}),
    ("shira", MODEL, {"r": 42}),
    ("trainable_tokens", MODEL, {"tokens": 2048}),
    ("cpt", MODEL, {"num_virtual_tokens": 256}),
    ("ln_tuning", GPT2, {}),
    ("adaption_prompt", GPT2, {}),
]


def asked(method: str, values: dict[str, Any]) -> Configuration:
    own = {name: value for name, value in values.items() if name != "target_modules"}
    return Configuration.model_validate(
        {
            "method": {"name": method, **defaults(METHODS[method].parameters), **own},
            "optimizer": {"name": "adamw", "learning_rate": 1e-3},
            "target_modules": values.get("target_modules", "all-linear"),
        }
    )


@pytest.mark.parametrize(("method", "model", "values", "param", "words"), REFUSED)
def test_a_broken_rule_is_refused_in_its_words(
    method: str, model: ModelProfile, values: dict[str, Any], param: str, words: str
) -> None:
    with pytest.raises(InvalidConfiguration, match="got") as refusal:
        check(asked(method, values), model)

    assert refusal.value.param == f"method.{param}"
    assert words in str(refusal.value)


@pytest.mark.parametrize(("method", "model", "values"), ALLOWED)
def test_at_the_edge_of_a_rule_a_configuration_passes(
    method: str, model: ModelProfile, values: dict[str, Any]
) -> None:
    check(asked(method, values), model)
