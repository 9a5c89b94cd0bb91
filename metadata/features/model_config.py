"""A model's `config.json` from its sizes, for the families whose layout is known."""

from collections.abc import Mapping
from typing import Any

from metadata.architectures import FAMILIES
from metadata.errors import InvalidRequest
from metadata.records import ModelProfile

# Fields of transformers' config classes, by the profile's; most families share Llama's.
_LLAMA = {
    "hidden_size": "hidden_size",
    "layers": "num_hidden_layers",
    "heads": "num_attention_heads",
    "key_value_heads": "num_key_value_heads",
    "head_size": "head_dim",
    "mlp_width": "intermediate_size",
    "vocabulary": "vocab_size",
    "context_tokens": "max_position_embeddings",
    "tied_embeddings": "tie_word_embeddings",
}
_NAMES: Mapping[str, Mapping[str, str]] = {
    "gpt2": {
        "hidden_size": "n_embd",
        "layers": "n_layer",
        "heads": "n_head",
        "mlp_width": "n_inner",
        "vocabulary": "vocab_size",
        "context_tokens": "n_positions",
        "tied_embeddings": "tie_word_embeddings",
    },
    "gpt_neox": {
        name: _LLAMA[name] for name in _LLAMA if name not in {"key_value_heads", "head_size"}
    },
    "opt": {
        name: "ffn_dim" if name == "mlp_width" else _LLAMA[name]
        for name in _LLAMA
        if name not in {"key_value_heads", "head_size"}
    },
}
# What else decides shapes, as published models of the family have it.
_FIXED: Mapping[str, Mapping[str, Any]] = {
    "gpt2": {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0},
    "opt": {"dropout": 0.0},
}


def config_of(model: ModelProfile) -> dict[str, Any]:
    """Return what a `config.json` of a model of these sizes says.

    Raises:
        InvalidRequest: The family's layout is not known.
    """
    if model.family not in FAMILIES:
        raise InvalidRequest(
            f"Only models of known families can be built from their sizes; {model.family!r} is "
            f"none. Send the model's own config.json. Known: {', '.join(sorted(FAMILIES))}.",
            param="base_model",
        )
    names = _NAMES.get(model.family, _LLAMA)
    sizes = {field: getattr(model, name) for name, field in names.items()}
    biased = {"attention_bias": True} if _has_optional_bias(model) else {}
    wide = {"word_embed_proj_dim": model.hidden_size} if model.family == "opt" else {}
    return {"model_type": model.family, **sizes, **_FIXED.get(model.family, {}), **biased, **wide}


def _has_optional_bias(model: ModelProfile) -> bool:
    return model.biases == "qkv" and model.family not in {"qwen2"}
