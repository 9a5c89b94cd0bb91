"""The linear maps of a decoder layer by model family, and which of them a target names.

A family is one entry of `FAMILIES`; models of an unknown family are taken for Llama's layout,
which most follow, and `is_known` says so.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

from metadata.records import Attention, ModelProfile, TargetModules

Role = Literal["q", "k", "v", "o", "qkv", "gate", "up", "gate_up", "down"]

ROLES: Mapping[TargetModules, frozenset[str]] = {
    "qv": frozenset({"q", "v", "qkv"}),
    "qk": frozenset({"q", "k", "qkv"}),
    "attention": frozenset({"q", "k", "v", "o", "qkv"}),
    "mlp": frozenset({"gate", "up", "gate_up", "down"}),
    "all-linear": frozenset({"q", "k", "v", "o", "qkv", "gate", "up", "gate_up", "down"}),
}


@dataclass(frozen=True, kw_only=True)
class Linear:
    """One linear map of a decoder layer; `name` is the end of its module path."""

    name: str
    role: Role
    d_in: int
    d_out: int
    bias: bool


@dataclass(frozen=True, kw_only=True)
class Family:
    """How a family names its linear maps, and how many floats of norms and tables it has."""

    modules: tuple[tuple[str, Role], ...]
    norm_floats: int  # per hidden unit and norm: 1 for RMSNorm, 2 for LayerNorm
    norms: int = 2  # per layer, of the hidden width; one more follows the last layer
    query_key_norm: Literal["none", "head", "whole"] = "none"  # over each head, or all together
    learned_positions: bool = False
    more_positions: int = 0  # rows of the table of positions beyond the context
    transposed: bool = False  # GPT-2's Conv1D keeps its weight as (d_in, d_out)
    packs: bool = True  # transformers keeps texts in one row apart by their positions
    has_sdpa: bool = True  # transformers computes its attention by torch's fused kernels


_LLAMA = Family(
    modules=(
        ("self_attn.q_proj", "q"),
        ("self_attn.k_proj", "k"),
        ("self_attn.v_proj", "v"),
        ("self_attn.o_proj", "o"),
        ("mlp.gate_proj", "gate"),
        ("mlp.up_proj", "up"),
        ("mlp.down_proj", "down"),
    ),
    norm_floats=1,
)
_GPT2 = Family(
    modules=(
        ("attn.c_attn", "qkv"),
        ("attn.c_proj", "o"),
        ("mlp.c_fc", "up"),
        ("mlp.c_proj", "down"),
    ),
    norm_floats=2,
    learned_positions=True,
    transposed=True,
)
_GPT_NEOX = Family(
    modules=(
        ("attention.query_key_value", "qkv"),
        ("attention.dense", "o"),
        ("mlp.dense_h_to_4h", "up"),
        ("mlp.dense_4h_to_h", "down"),
    ),
    norm_floats=2,
)
_OPT = Family(
    modules=(
        ("self_attn.q_proj", "q"),
        ("self_attn.k_proj", "k"),
        ("self_attn.v_proj", "v"),
        ("self_attn.out_proj", "o"),
        ("fc1", "up"),
        ("fc2", "down"),
    ),
    norm_floats=2,
    learned_positions=True,
    more_positions=2,
    packs=False,  # its mask does not look at positions
)
_PHI3 = Family(
    modules=(
        ("self_attn.qkv_proj", "qkv"),
        ("self_attn.o_proj", "o"),
        ("mlp.gate_up_proj", "gate_up"),
        ("mlp.down_proj", "down"),
    ),
    norm_floats=1,
)
FAMILIES: Mapping[str, Family] = {
    "llama": _LLAMA,
    "mistral": _LLAMA,
    "qwen2": _LLAMA,
    "qwen3": replace(_LLAMA, query_key_norm="head"),
    "gemma": _LLAMA,
    "gemma2": replace(_LLAMA, norms=4, has_sdpa=False),  # it caps the scores of attention
    "gemma3_text": replace(_LLAMA, norms=4, query_key_norm="head"),
    "smollm3": _LLAMA,
    "olmo2": replace(_LLAMA, query_key_norm="whole"),
    "granite": _LLAMA,
    "phi3": _PHI3,
    "gpt2": _GPT2,
    "gpt_neox": _GPT_NEOX,
    "opt": _OPT,
}


def is_known(model: ModelProfile) -> bool:
    """Say whether the family's own layout is known."""
    return model.family in FAMILIES


def family_of(model: ModelProfile) -> Family:
    """Return the layout of a model's family, Llama's where it is unknown."""
    return FAMILIES.get(model.family, _LLAMA)


def attention_in(family: str, asked: Attention) -> Attention:
    """Return how a family's attention is computed where one is asked for: plainly without sdpa."""
    has_sdpa = family not in FAMILIES or FAMILIES[family].has_sdpa
    return "eager" if asked == "sdpa" and not has_sdpa else asked


def packs(family: str) -> bool:
    """Say whether several texts can stand in one row of a family's models, none seeing another."""
    return family in FAMILIES and FAMILIES[family].packs


@lru_cache(maxsize=1024)
def linears(model: ModelProfile) -> tuple[Linear, ...]:
    """Return the linear maps of one decoder layer in forward order."""
    return tuple(_linear(name, role, model) for name, role in family_of(model).modules)


@lru_cache(maxsize=4096)
def targeted(model: ModelProfile, target: TargetModules) -> tuple[Linear, ...]:
    """Return the linear maps of one decoder layer that a target names."""
    return tuple(linear for linear in linears(model) if linear.role in ROLES[target])


def weights_of(targets: tuple[Linear, ...], model: ModelProfile) -> int:
    """Return how many weights such linears of all layers have."""
    return model.layers * sum(linear.d_in * linear.d_out for linear in targets)


def norm_weights(model: ModelProfile) -> int:
    """Return how many weights the norms have: those of all layers, and the last one's."""
    family = family_of(model)
    query, key = (heads * model.head_size for heads in (model.heads, model.key_value_heads))
    of_queries_and_keys = {"none": 0, "head": 2 * model.head_size, "whole": query + key}
    hidden = family.norm_floats * model.hidden_size
    layer = family.norms * hidden + of_queries_and_keys[family.query_key_norm]
    return model.layers * layer + hidden


def _linear(name: str, role: Role, model: ModelProfile) -> Linear:
    query = model.heads * model.head_size
    key = model.key_value_heads * model.head_size
    d_in, d_out = {
        "q": (model.hidden_size, query),
        "k": (model.hidden_size, key),
        "v": (model.hidden_size, key),
        "o": (query, model.hidden_size),
        "qkv": (model.hidden_size, query + 2 * key),
        "gate": (model.hidden_size, model.mlp_width),
        "up": (model.hidden_size, model.mlp_width),
        "gate_up": (model.hidden_size, 2 * model.mlp_width),
        "down": (model.mlp_width, model.hidden_size),
    }[role]
    bias = model.biases == "all" or (model.biases == "qkv" and role in {"q", "k", "v", "qkv"})
    return Linear(name=name, role=role, d_in=d_in, d_out=d_out, bias=bias)
