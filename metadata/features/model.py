"""Sizes of a causal language model, from its `config.json` or from the table of public models."""

import csv
import re
from collections.abc import Mapping
from difflib import get_close_matches
from functools import lru_cache
from math import log2
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from metadata.architectures import family_of, linears, norm_weights
from metadata.errors import InvalidRequest, UnknownModel
from metadata.records import ModelProfile

MODELS_FILE = Path(__file__).parents[1] / "data" / "models.csv"
SHOWN_CHARACTERS = 60
NEAR_COUNT = 5

# Names of a field in `config.json`, the usual one first, and the largest value that makes sense.
FIELDS: Mapping[str, tuple[tuple[str, ...], int]] = {
    "layers": (("num_hidden_layers", "n_layer", "num_layers"), 1000),
    "hidden_size": (("hidden_size", "n_embd", "d_model"), 200_000),
    "heads": (("num_attention_heads", "n_head"), 10_000),
    "key_value_heads": (("num_key_value_heads",), 10_000),
    "head_size": (("head_dim",), 10_000),
    "mlp_width": (("intermediate_size", "ffn_dim", "n_inner"), 2_000_000),
    "vocabulary": (("vocab_size",), 10_000_000),
    "context_tokens": (("max_position_embeddings", "n_positions", "n_ctx"), 1_000_000_000),
}
# What transformers fills in where a config leaves a field out, as published ones do.
DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "gemma": {"head_dim": 256, "tie_word_embeddings": True},
    "gemma2": {"head_dim": 256, "tie_word_embeddings": True},
    "gemma3_text": {
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "head_dim": 256,
        "vocab_size": 262_208,
        "max_position_embeddings": 131_072,
        "tie_word_embeddings": True,
    },
    "gpt2": {"tie_word_embeddings": True},
    "opt": {"tie_word_embeddings": True},
    "smollm3": {"tie_word_embeddings": True},
}
BIASES: Mapping[str, Literal["none", "qkv", "all"]] = {
    "qwen2": "qkv",
    "gpt2": "all",
    "gpt_neox": "all",
    "opt": "all",
}
EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts")
NOT_CAUSAL = frozenset(
    {"albert", "bert", "deberta", "deberta-v2", "distilbert", "electra", "modernbert", "roberta"}
)
# English bytes per token grow with the vocabulary: 3.7 at 32,000 entries, 4.4 at 128,000.
LEAST_BYTES, MOST_BYTES = 1.0, 4.5


def find_model(id: str) -> ModelProfile:  # noqa: A002  # the name that interfaces agree on
    """Return a public model by its id, upper and lower case alike.

    Raises:
        InvalidRequest: The id is a path or an address.
        UnknownModel: The table has no such model; the message lists near ones.
    """
    if _is_path(id):
        raise InvalidRequest(
            "A base model is named by its id, such as meta-llama/Llama-3.2-3B, never by a path or "
            f"an address; got {_shown(id)}. For a model of your own, send its config.json as "
            "config.",
            param="base_model",
        )
    models = _models()
    if id in models:
        return models[id]
    by_lower = {known.lower(): known for known in models}
    if id.lower() in by_lower:
        return models[by_lower[id.lower()]]
    near = _near(id, by_lower)
    hint = f"Near ones: {', '.join(near)}. " if near else ""
    raise UnknownModel(
        f"The base model must be one of the {len(models)} known ones, or come with its config; "
        f"got {_shown(id)}. {hint}Send the content of the model's config.json as config.",
        param="base_model",
    )


def known_models() -> tuple[ModelProfile, ...]:
    """Return the table of public models in its order."""
    return tuple(_models().values())


def profile_model(config: Mapping[str, Any], *, id: str) -> ModelProfile:  # noqa: A002
    """Return the sizes of a model from the content of its Hugging Face `config.json`.

    Parameters are counted from the sizes, exactly for the families of `metadata.architectures`.
    Of a model that also sees or hears, the language model is described.

    Args:
        config: The decoded JSON object.
        id: What to call the model.

    Raises:
        InvalidRequest: A field is missing, no number or absurd, or it is not a dense causal
            language model; the message names the field.
    """
    if not isinstance(config, Mapping):
        raise _invalid("config", "a config is the JSON object of a config.json", config)
    nested = config.get("text_config")
    text = {**config, **nested} if isinstance(nested, Mapping) else dict(config)
    family = _family(text)
    _check_kind(text, family)
    text = {**DEFAULTS.get(family, {}), **text}
    sizes = {field: _size(text, field) for field in FIELDS}
    heads, hidden = _needed(sizes, "heads"), _needed(sizes, "hidden_size")
    if sizes["head_size"] is None and hidden % heads:
        raise _invalid(
            "num_attention_heads", f"heads must divide hidden_size, {hidden}, evenly", heads
        )
    key_value_heads = sizes["key_value_heads"] or heads
    if heads % key_value_heads:
        raise _invalid(
            "num_key_value_heads",
            f"key-value heads must divide the {heads} attention heads evenly",
            key_value_heads,
        )
    return _counted(
        {
            "id": id,
            "family": family,
            "layers": _needed(sizes, "layers"),
            "hidden_size": hidden,
            "heads": heads,
            "key_value_heads": key_value_heads,
            "head_size": sizes["head_size"] or hidden // heads,
            "mlp_width": sizes["mlp_width"] or _mlp_width(family, hidden),
            "vocabulary": _needed(sizes, "vocabulary"),
            "context_tokens": _needed(sizes, "context_tokens"),
            "tied_embeddings": _flag(text, "tie_word_embeddings"),
            "biases": _biases(text, family),
            "bytes_per_token": usual_bytes_per_token(_needed(sizes, "vocabulary")),
        }
    )


def usual_bytes_per_token(vocabulary: int) -> float:
    """Return the UTF-8 bytes of English text per token of a vocabulary of this size."""
    return min(max(LEAST_BYTES, 2.3 + 0.35 * (log2(vocabulary) - 11)), MOST_BYTES)


def count_parameters(model: ModelProfile) -> int:
    """Return the number of weights of a dense causal language model of these sizes."""
    family = family_of(model)
    layer = sum(t.d_in * t.d_out + t.d_out * t.bias for t in linears(model))
    positions = model.context_tokens + family.more_positions if family.learned_positions else 0
    tables = model.vocabulary * (1 if model.tied_embeddings else 2) + positions
    return model.layers * layer + tables * model.hidden_size + norm_weights(model)


def _counted(fields: dict[str, Any]) -> ModelProfile:
    try:
        model = ModelProfile(**fields, parameters=1)
        return model.model_copy(update={"parameters": count_parameters(model)})
    except ValidationError as error:
        first = error.errors()[0]
        raise _invalid(str(first["loc"][0]), str(first["msg"]), first["input"]) from None


@lru_cache(maxsize=1)
def _models() -> dict[str, ModelProfile]:
    with MODELS_FILE.open(encoding="utf-8", newline="") as file:
        models = [_row(row) for row in csv.DictReader(file)]
    return {model.id: model for model in models}


def _row(row: dict[str, str]) -> ModelProfile:
    sizes = {field: int(row[field]) for field in FIELDS}
    return _counted(
        {
            "id": row["id"],
            "family": row["family"],
            **sizes,
            "tied_embeddings": row["tied_embeddings"] == "true",
            "biases": BIASES.get(row["family"], "none"),
            "bytes_per_token": float(
                row["bytes_per_token"] or usual_bytes_per_token(sizes["vocabulary"])
            ),
        }
    )


def _family(config: Mapping[str, Any]) -> str:
    family = config.get("model_type")
    if not isinstance(family, str) or not re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", family):
        raise _invalid("model_type", "a config names its family, such as llama", family)
    return family


def _check_kind(config: Mapping[str, Any], family: str) -> None:
    if family in NOT_CAUSAL or config.get("is_encoder_decoder") is True:
        raise _invalid(
            "model_type", "the base must be a causal (decoder-only) language model", family
        )
    for field in EXPERTS:
        value = config.get(field)
        if isinstance(value, int) and value > 1:
            raise _invalid(
                field, "mixtures of experts are not known here, only dense models", value
            )
    width = config.get("word_embed_proj_dim")
    if width is not None and width != config.get("hidden_size"):
        rule = "embeddings narrower than the layers are not known here; it must be hidden_size"
        raise _invalid("word_embed_proj_dim", rule, width)


def _size(config: Mapping[str, Any], field: str) -> int | None:
    names, largest = FIELDS[field]
    name = next((name for name in names if config.get(name) is not None), None)
    if name is None:
        return None
    value = config[name]
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= largest:
        raise _invalid(name, f"the value must be a whole number from 1 to {largest}", value)
    return value


def _needed(sizes: Mapping[str, int | None], field: str) -> int:
    value = sizes[field]
    if value is None:
        names = " or ".join(FIELDS[field][0])
        raise InvalidRequest(
            f"config needs {names}, got none. Send the whole content of the model's config.json.",
            param=f"config.{FIELDS[field][0][0]}",
        )
    return value


def _mlp_width(family: str, hidden: int) -> int:
    if family == "gpt2":
        return 4 * hidden  # what n_inner null stands for
    return _needed({"mlp_width": None}, "mlp_width")


def _flag(config: Mapping[str, Any], name: str) -> bool:
    value = config.get(name, False)
    if not isinstance(value, bool):
        raise _invalid(name, "the value must be true or false", value)
    return value


def _biases(config: Mapping[str, Any], family: str) -> Literal["none", "qkv", "all"]:
    if family in BIASES:
        return BIASES[family]
    if config.get("mlp_bias") is True:
        return "all"
    return "qkv" if config.get("attention_bias") is True else "none"


def _is_path(id: str) -> bool:  # noqa: A002
    return bool(
        id.startswith(("/", ".", "~")) or ".." in id or "\\" in id or ":" in id or id.count("/") > 1
    )


def _near(id: str, by_lower: Mapping[str, str]) -> list[str]:  # noqa: A002
    """Return known ids near an unknown one, by the whole id, then by the name after the slash."""
    wanted = id.lower()[:200]
    names = {known.rpartition("/")[2]: known for known in by_lower}
    whole = get_close_matches(wanted, by_lower, n=NEAR_COUNT, cutoff=0.6)
    ending = get_close_matches(wanted.rpartition("/")[2], names, n=NEAR_COUNT, cutoff=0.6)
    both = dict.fromkeys([*whole, *(names[name] for name in ending)])
    return [by_lower[known] for known in list(both)[:NEAR_COUNT]]


def _invalid(field: str, rule: str, seen: object) -> InvalidRequest:
    return InvalidRequest(
        f"config.{field}: {rule}; got {_shown(seen)}. Send the content of the model's config.json.",
        param=f"config.{field}",
    )


def _shown(value: object) -> str:
    try:
        text = repr(value)
    except ValueError:  # an integer of more digits than Python prints
        return "a number of thousands of digits"
    return text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + "..."
