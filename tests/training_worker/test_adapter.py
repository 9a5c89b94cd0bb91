import pytest
import torch
from torch import nn
from transformers import (
    AutoModelForCausalLM,
    GPTNeoXConfig,
    MptConfig,
    OPTConfig,
    Phi3Config,
    PreTrainedConfig,
    Qwen3Config,
)

from metadata.errors import InvalidConfiguration
from metadata.records import Configuration
from training_worker.adapter import add_adapter, trainable
from training_worker.targets import find_targets

SIZES = {"vocab_size": 64, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
OF_FAMILIES = {
    "qwen3": Qwen3Config(**SIZES, intermediate_size=48, num_key_value_heads=2, head_dim=8),
    "phi3": Phi3Config(**SIZES, intermediate_size=48, num_key_value_heads=2, pad_token_id=0),
    "gpt_neox": GPTNeoXConfig(**SIZES, intermediate_size=48),
    "opt": OPTConfig(**SIZES, ffn_dim=48, word_embed_proj_dim=32, max_position_embeddings=32),
}
UNKNOWN = MptConfig(vocab_size=64, d_model=32, n_layers=2, n_heads=4, max_seq_len=32)


def base(config: PreTrainedConfig) -> nn.Module:
    return AutoModelForCausalLM.from_config(config).requires_grad_(False)


def lora(target_modules: str) -> Configuration:
    return Configuration.model_validate(
        {
            "method": {"name": "lora", "r": 2, "lora_alpha": 4, "lora_dropout": 0.0},
            "optimizer": {"name": "adamw", "learning_rate": 1e-3},
            "target_modules": target_modules,
        }
    )


@pytest.mark.parametrize("family", OF_FAMILIES)
@pytest.mark.parametrize("target", ["qv", "attention", "mlp", "all-linear"])
def test_a_target_names_the_same_modules_in_every_layer_of_a_known_family(family, target) -> None:
    model = base(OF_FAMILIES[family])

    targets = find_targets(model, target)

    assert len(targets.names) == 2 * len(targets.endings)
    assert all(isinstance(model.get_submodule(name), nn.Linear) for name in targets.names)
    model = add_adapter(model, lora(target))
    assert len(trainable(model)) == 2 * len(targets.names)


def test_in_an_unknown_family_every_linear_but_the_head_is_a_target() -> None:
    model = base(UNKNOWN)

    targets = find_targets(model, "all-linear")

    linears = {name for name, module in model.named_modules() if isinstance(module, nn.Linear)}
    assert set(targets.names) == linears - {"lm_head"}
    assert len(trainable(add_adapter(model, lora("all-linear")))) == 2 * len(targets.names)


def test_in_an_unknown_family_a_part_cannot_be_told() -> None:
    with pytest.raises(InvalidConfiguration, match="all-linear"):
        find_targets(base(UNKNOWN), "attention")


def test_rslora_scales_by_the_root_of_the_rank() -> None:
    values = {"r": 4, "lora_alpha": 8, "lora_dropout": 0.0}
    scales = {}
    for name in ("lora", "rslora"):
        configuration = lora("qv").model_copy(
            update={"method": lora("qv").method.model_validate({"name": name} | values)}
        )
        model = add_adapter(base(OF_FAMILIES["qwen3"]), configuration)
        # attention layers have a scaling of their own, a number
        layers = [m for m in model.modules() if isinstance(getattr(m, "scaling", None), dict)]
        scales[name] = layers[0].scaling["default"]

    assert scales == {"lora": 2.0, "rslora": 4.0}


def test_bitfit_gives_a_zero_bias_to_maps_without_one() -> None:
    model = base(OF_FAMILIES["qwen3"])
    configuration = lora("qv").model_copy(
        update={"method": lora("qv").method.model_validate({"name": "bitfit"})}
    )

    added = trainable(add_adapter(model, configuration))

    assert len(added) == 4
    assert all(name.endswith("bitfit_bias.default") for name in added)
    assert all("q_proj" in name or "v_proj" in name for name in added)
    assert all(torch.count_nonzero(bias) == 0 for bias in added.values())
