"""What a configuration costs on a model: bytes, FLOPs and operations, fixed and per token.

A decoder layer is counted as Hugging Face transformers runs it: what autograd keeps for the
backward pass, what the kernels read and write. The counts of copies and operations in `LAYERS` and
in the method table were measured on layers of each family under a dispatch mode;
`tests/metadata/test_step_costs.py` measures them again.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import ceil

from metadata.architectures import Linear, attention_in, linears, targeted
from metadata.methods import METHODS
from metadata.methods.spec import MethodSpec
from metadata.optimizers import OPTIMIZERS
from metadata.optimizers.spec import OptimizerSpec
from metadata.parameters import Values
from metadata.records import Configuration, ModelProfile

FP32_BYTES, INDEX_BYTES = 4, 8
PRECISION_BYTES = {"fp32": 4, "bf16": 2}
# Bytes per weight of a quantised linear: LLM.int8 has a scale per row, NF4 an fp32 one per block
# of 64 (arXiv:2208.07339, arXiv:2305.14314).
QUANTIZED_BYTES = {"int8": 1.0, "nf4": 0.5 + 4 / 64}
QUANTIZED_OPERATIONS = 8  # to restore one linear's weights, forward and again backward
SHARES_INPUT = frozenset({"k", "v", "o"})  # k and v read q's input; attention keeps o's anyway
LOGITS_TRAFFIC = 4.0  # bytes moved per byte of logits held
# Passes over all trained weights of the optimizer's step: gradient norm and clipping, then moments
# and update in torch's multi-tensor form, each kernel reading and writing whole copies.
UPDATE_PASSES = 24
UPDATE_OPERATIONS = 60
CHECKPOINTED_PASSES = 4 / 3  # a forward pass is a third of the work, and is done again
FORWARD_PASSES = {"zeroth_order": 2, "population": 1}  # a step, without gradients
LIVE_HIDDEN = 3.0  # copies of the hidden state beside what a layer works on
# Passes over all trained weights of three moves along a direction and of the step: each draws its
# numbers, reads them, and reads and writes the weights.
MOVING_PASSES = 4 * 4
FIXED_OPERATIONS = 100  # embedding, last norm, logits and loss


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


@dataclass(frozen=True, kw_only=True)
class StepCosts:
    """A configuration on a model: what is fixed, and what a token or a pair of tokens adds.

    Pairs are those of tokens that attend to each other. `kept` is held from the forward pass to
    the backward one, `live` only while one layer is worked on, `traffic` is read and written.
    What is held `per_step` is the same for any batch: weights that the method builds anew; for
    one `moment` of a pass, while it builds them.
    `tokens_before` go through the layers with each text, and are no part of it.
    """

    weights_bytes: float
    trainable: int
    gradient_bytes: float
    state_bytes: float
    update_bytes: float
    kept_per_token: float
    kept_per_pair: float
    kept_per_step: float
    tokens_before: int
    live_per_token: float
    live_per_pair: float
    live_per_step: float
    moment_per_step: float
    table_per_step: float  # of embeddings built anew, held while they are looked up
    head_table_per_step: float  # the same where the head is tied to it: kept, and its gradient
    logits_per_token: float  # in the model's precision
    logits_per_target: float  # in fp32
    has_backward: bool
    flops_per_token: float
    flops_per_pair: float
    flops_per_step: float
    traffic_per_token: float
    weight_traffic: float
    other_weight_traffic: float
    operations: int


def step_costs(configuration: Configuration, model: ModelProfile) -> StepCosts:
    """Return the costs of the passes of one step, and of the optimizer's part after them.

    With gradients these are a forward and a backward pass, without them forward passes only.
    """
    kind = OPTIMIZERS[configuration.optimizer.name].kind
    if kind == "gradient":
        return _costs_of_gradients(configuration, model)
    plain = configuration.model_copy(update={"gradient_checkpointing": False})
    return _costs_of_passes(_costs_of_gradients(plain, model), plain, model, FORWARD_PASSES[kind])


def _costs_of_gradients(configuration: Configuration, model: ModelProfile) -> StepCosts:
    spec = METHODS[configuration.method.name]
    targets = targeted(model, configuration.target_modules) if spec.uses_target_modules else ()
    optimizer = OPTIMIZERS[configuration.optimizer.name]
    count = optimizer.trainable or spec.trainable
    trainable = count(configuration.method.values, targets, model)
    width = PRECISION_BYTES[configuration.precision]
    trained_width = width if spec.trains_base else FP32_BYTES
    state_bytes = _state_bytes(optimizer, configuration, model) * trained_width / FP32_BYTES
    passes = CHECKPOINTED_PASSES if configuration.gradient_checkpointing else 1.0
    hands_cache = not spec.checkpoints
    layer_bytes = _frozen_bytes(model, width, hands_cache=hands_cache) + _method_bytes(
        configuration, model, width
    )
    pair_bytes = _pair_bytes(configuration, model, width)
    step_width = width if spec.in_model_precision else FP32_BYTES
    step_bytes: float = step_width * spec.step_floats(configuration.method.values, targets, model)
    step_bytes += INDEX_BYTES * spec.step_indices(configuration.method.values, targets, model)
    if width != FP32_BYTES:
        step_bytes += (
            FP32_BYTES * spec.cast_weights(configuration.method.values) * _weights(model, targets)
        )
    return StepCosts(
        weights_bytes=_weights_bytes(configuration, model)
        + _bytes_beside(configuration, model, targets),
        trainable=trainable,
        gradient_bytes=trainable * trained_width,
        state_bytes=trainable * (state_bytes + FP32_BYTES * spec.state_copies),
        update_bytes=UPDATE_PASSES * trainable * trained_width,
        **_held(configuration, model, layer_bytes, pair_bytes, step_bytes),
        moment_per_step=step_width
        * float(spec.moment_floats(configuration.method.values, targets, model)),
        **_tables(spec, model, width),
        tokens_before=tokens_before(spec, configuration.method.values),
        logits_per_token=model.vocabulary * width,
        logits_per_target=model.vocabulary * FP32_BYTES,
        has_backward=True,
        flops_per_token=_flops(configuration, model, trainable, again=passes > 1),
        flops_per_step=float(spec.step_flops(configuration.method.values, targets, model)),
        flops_per_pair=_pair_flops(configuration, model, again=passes > 1),
        traffic_per_token=passes * layer_of(model).traffic * model.layers * layer_bytes,
        weight_traffic=passes * _weight_traffic(configuration, model),
        other_weight_traffic=passes * _rebuilt_bytes(spec, model, targets),
        operations=_operations(configuration, model, len(targets), passes),
    )


def tokens_before(spec: MethodSpec, values: Values) -> int:
    """Return how many tokens of the method go through the layers with each text."""
    return spec.virtual_tokens(values) if spec.runs_virtual_tokens else 0


def _costs_of_passes(
    costs: StepCosts, configuration: Configuration, model: ModelProfile, passes: int
) -> StepCosts:
    """Return the costs of forward passes without a graph: one layer at a time is held."""
    spec, width = METHODS[configuration.method.name], PRECISION_BYTES[configuration.precision]
    layer, share = layer_of(model), passes / 3  # a forward pass is a third of the work
    trained = 0 if spec.trains_base else costs.trainable
    computed = _linear_weights(model) + model.vocabulary * model.hidden_size + trained
    query, key = model.heads * model.head_size, model.key_value_heads * model.head_size
    in_mlp, in_attention = max(2.0, layer.mlp) * model.mlp_width, layer.query * query + 2 * key
    live = LIVE_HIDDEN * model.hidden_size + max(in_mlp, in_attention)
    return replace(
        costs,
        gradient_bytes=0.0,
        update_bytes=(passes - 1) * MOVING_PASSES / UPDATE_PASSES * costs.update_bytes,
        kept_per_token=0.0,
        kept_per_pair=0.0,
        kept_per_step=0.0,
        live_per_token=width * live,
        live_per_pair=_pair_bytes(configuration, model, width),
        live_per_step=costs.kept_per_step / model.layers,
        has_backward=False,
        flops_per_token=passes * 2 * computed,
        flops_per_pair=share * costs.flops_per_pair,
        flops_per_step=share * costs.flops_per_step,
        traffic_per_token=share * costs.traffic_per_token,
        weight_traffic=passes * _weights_bytes(configuration, model),
        other_weight_traffic=share * costs.other_weight_traffic,
        operations=ceil(share * costs.operations),
    )


def _state_bytes(
    optimizer: OptimizerSpec, configuration: Configuration, model: ModelProfile
) -> float:
    """Return bytes of state per trained weight; factored, at most two of a matrix's small side."""
    if not optimizer.factored:
        return optimizer.state_bytes
    spec, rank = METHODS[configuration.method.name], configuration.method.values.get("r")
    small = model.hidden_size if spec.trains_base else rank
    share = 2 / small if isinstance(small, int) else 1.0
    return optimizer.state_bytes * min(1.0, share)


def _bytes_beside(
    configuration: Configuration, model: ModelProfile, targets: tuple[Linear, ...]
) -> int:
    """Return the bytes of what the method holds beside the base model, trained and untrained."""
    spec, values = METHODS[configuration.method.name], configuration.method.values
    trained = 0 if spec.trains_base else spec.trainable(values, targets, model)
    width = PRECISION_BYTES[configuration.precision]
    frozen_width = width if spec.frozen_in_model_precision else FP32_BYTES
    return FP32_BYTES * trained + frozen_width * spec.frozen_numbers(values, targets, model)


def _held(
    configuration: Configuration,
    model: ModelProfile,
    layer_bytes: float,
    pair_bytes: float,
    step_bytes: float,
) -> dict[str, float]:
    """Return what is kept of all layers and what of one at a time; checkpointed, inputs only.

    What a method builds anew in a pass belongs to the layers where it has targets in them.
    """
    layers, in_layers = model.layers, METHODS[configuration.method.name].uses_target_modules
    if not configuration.gradient_checkpointing:
        return {
            "kept_per_token": layers * layer_bytes,
            "kept_per_pair": layers * pair_bytes,
            "kept_per_step": step_bytes,
            "live_per_token": 0.0,
            "live_per_pair": 0.0,
            "live_per_step": 0.0,
        }
    return {
        "kept_per_token": layers * model.hidden_size * PRECISION_BYTES[configuration.precision],
        "kept_per_pair": 0.0,
        "kept_per_step": 0.0 if in_layers else step_bytes,
        "live_per_token": layer_bytes,
        "live_per_pair": pair_bytes,
        "live_per_step": step_bytes / layers if in_layers else 0.0,
    }


def _tables(spec: MethodSpec, model: ModelProfile, width: int) -> dict[str, float]:
    """Return the bytes of a table of embeddings that the method builds in each pass."""
    table = float(width * model.vocabulary * model.hidden_size) if spec.rebuilds_embeddings else 0.0
    return {
        "table_per_step": table,
        "head_table_per_step": table if model.tied_embeddings else 0.0,
    }


def _flops(
    configuration: Configuration, model: ModelProfile, trainable: int, *, again: bool
) -> float:
    """Return FLOPs per token: 2 a weight forward, 2 backward to its input, 2 to itself.

    Where layers are run again, 2 more of theirs.
    """
    spec = METHODS[configuration.method.name]
    layers, head = _linear_weights(model), model.vocabulary * model.hidden_size
    if spec.trains_base:
        return 6 * (layers + head) + (2 * layers if again else 0)
    factors = trainable if spec.multiplies_factors else 0
    targeted_weights = _weights(model, targeted(model, configuration.target_modules))
    more = spec.token_flops(configuration.method.values) * targeted_weights
    return 4 * (layers + head) + 6 * factors + more + (2 * (layers + factors) if again else 0)


def _pair_flops(configuration: Configuration, model: ModelProfile, *, again: bool) -> float:
    """Return FLOPs per pair: two products forward, which fused attention takes again, and four."""
    is_eager = attention_in(model.family, configuration.attention) == "eager"
    products = 6 if is_eager else 7
    return 2 * (products + (2 if again else 0)) * model.layers * model.heads * model.head_size


def _operations(
    configuration: Configuration, model: ModelProfile, targets: int, passes: float
) -> int:
    spec = METHODS[configuration.method.name]
    times = targets if spec.uses_target_modules else 1
    layer = layer_of(model).operations + times * spec.operations
    if configuration.quantization != "none":
        layer += QUANTIZED_OPERATIONS * len(linears(model))
    return ceil(passes * model.layers * layer) + FIXED_OPERATIONS


def _weights(model: ModelProfile, targets: tuple[Linear, ...]) -> int:
    return model.layers * sum(linear.d_in * linear.d_out for linear in targets)


def _linear_weights(model: ModelProfile) -> int:
    return _weights(model, linears(model))


def _weights_bytes(configuration: Configuration, model: ModelProfile) -> float:
    width = PRECISION_BYTES[configuration.precision]
    quantized = QUANTIZED_BYTES.get(configuration.quantization, width)
    weights = _linear_weights(model)
    return weights * quantized + (model.parameters - weights) * width


def _weight_traffic(configuration: Configuration, model: ModelProfile) -> float:
    """Return the bytes of weights that matrix products read; quantised ones are restored first."""
    reads = 3 if METHODS[configuration.method.name].trains_base else 2
    traffic = reads * _weights_bytes(configuration, model)
    if configuration.quantization != "none":
        width = PRECISION_BYTES[configuration.precision]
        traffic += reads * 2 * width * _linear_weights(model)
    return traffic


def _rebuilt_bytes(spec: MethodSpec, model: ModelProfile, targets: tuple[Linear, ...]) -> float:
    """Return the bytes a method moves to build whole weights anew in each pass."""
    return spec.weight_passes * _weights(model, targets) * FP32_BYTES


def _pair_bytes(configuration: Configuration, model: ModelProfile, width: int) -> float:
    """Return what a layer keeps per pair: its mask as numbers, or eager attention its scores."""
    attention = attention_in(model.family, configuration.attention)
    if attention != "eager":
        return width if attention == "sdpa" else 0.0
    layer = layer_of(model)
    softmax = width if width == FP32_BYTES or not layer.fp32_scores else FP32_BYTES + width
    return model.heads * (softmax + layer.score_copies * width)


def _frozen_bytes(model: ModelProfile, width: int, *, hands_cache: bool) -> float:
    """Return what a frozen layer keeps per token."""
    layer = layer_of(model)
    query = model.heads * model.head_size
    key = model.key_value_heads * model.head_size
    copies = layer.query + (layer.cached_query if hands_cache else 0.0)
    return (
        FP32_BYTES * layer.fp32_hidden * model.hidden_size
        + FP32_BYTES * layer.fp32_query_key * (query + key)
        + FP32_BYTES * model.heads  # the log-sum-exp of attention
        + width * layer.hidden * model.hidden_size
        + width * (copies * query + layer.key * key - _unrepeated(model))
        + width * layer.mlp * model.mlp_width
    )


def _unrepeated(model: ModelProfile) -> int:
    """Return by how much keys and values are narrower than queries where all share one head.

    Otherwise they are repeated for every head.
    """
    is_one = model.key_value_heads == 1 < model.heads
    return 2 * (model.heads - 1) * model.head_size if is_one else 0


def _method_bytes(configuration: Configuration, model: ModelProfile, width: int) -> float:
    """Return bytes that the method keeps in a layer per token, beyond the frozen layer."""
    spec, values = METHODS[configuration.method.name], configuration.method.values
    targets = (
        targeted(model, configuration.target_modules)
        if spec.uses_target_modules
        else linears(model)
    )
    floats = sum(spec.activation_floats(values, linear) for linear in targets)
    own = spec.trains_base or spec.in_model_precision
    if own or width == FP32_BYTES:  # no copy in another precision
        shares = set(SHARES_INPUT)
        if any(t.role == "gate" for t in targets):
            shares.add("up")
        if layer_of(model).keeps_activation:
            shares.add("down")
        floats -= sum(spec.shared_floats(values, one) for one in targets if one.role in shares)
    return floats * (width if own else FP32_BYTES)
