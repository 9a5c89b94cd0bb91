"""What a frozen decoder layer of a family keeps and runs, as Hugging Face transformers runs it.

What autograd keeps for the backward pass, what the kernels read and write: the counts of copies
and operations were measured on layers of each family under a dispatch mode;
`tests/metadata/test_step_costs.py` measures them again.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from metadata.records import ModelProfile


@dataclass(frozen=True, kw_only=True)
class Layer:
    """What a frozen decoder layer keeps for the backward pass, and what it runs.

    Copies per token of its widths: `fp32_hidden` in fp32 whatever the precision, the others in
    the model's precision; `cached_query` more where a method hands it keys and values, which are
    then copied. `keeps_activation` where the input of the last map is kept anyway. Eager attention
    keeps its softmax, in fp32 or not, what it is cast to, and `score_copies` more in the model's
    precision. `traffic` is bytes that its kernels move, matrix products apart, per byte kept.
    Operations are of forward and backward together, views too.
    """

    fp32_hidden: float = 2.0
    hidden: float = 0.0
    query: float = 4.0
    key: float = 0.0
    cached_query: float = 0.0
    keeps_activation: bool = False
    mlp: float = 3.0
    fp32_query_key: float = 0.0
    score_copies: float = 0.0
    fp32_scores: bool = True
    traffic: float = 14.0
    operations: int = 215


LLAMA = Layer()
LAYERS: Mapping[str, Layer] = {
    "qwen3": Layer(fp32_query_key=1.0, operations=265),
    "olmo2": Layer(fp32_query_key=1.0, operations=273),
    "gemma2": Layer(fp32_hidden=4.0, score_copies=1.0, operations=300),
    "gemma3_text": Layer(fp32_hidden=4.0, fp32_query_key=1.0, operations=327),
    "phi3": Layer(query=5.0, key=1.0, cached_query=-2.0, operations=200),
    "gpt2": Layer(
        fp32_hidden=0.0,
        hidden=2.0,
        cached_query=2.0,
        mlp=4.0,
        fp32_scores=False,
        traffic=8.0,
        operations=110,
    ),
    "gpt_neox": Layer(
        fp32_hidden=0.0, hidden=3.0, cached_query=-2.0, mlp=1.0, traffic=8.0, operations=145
    ),
    "opt": Layer(
        keeps_activation=True, fp32_hidden=0.0, hidden=2.0, mlp=1.0, traffic=8.0, operations=130
    ),
}


def layer_of(model: ModelProfile) -> Layer:
    """Return the counts of a model's family, Llama's where it is unknown."""
    return LAYERS.get(model.family, LLAMA)
