"""What a configuration costs on a model: bytes, FLOPs and operations, fixed and per token.

A decoder layer is counted as `metadata.layers` says, a method as its table entry does. Formulas
take one configuration's terms, or columns of many (`metadata.elementwise`).
"""

from dataclasses import dataclass, replace

from metadata.architectures import attention_in, linears, weights_of
from metadata.counts import Counts, counts_of, group_of
from metadata.elementwise import any_of, greatest, least, rounded_up, where, where_each
from metadata.layers import layer_of
from metadata.records import Configuration, ModelProfile
from metadata.terms import Terms, read

FP32_BYTES, INDEX_BYTES = 4, 8
QUANTIZED_OPERATIONS = 8  # to restore one linear's weights, forward and again backward
LOGITS_TRAFFIC = 4.0  # bytes moved per byte of logits held
# Passes over all trained weights of the optimizer's step: gradient norm and clipping, then moments
# and update in torch's multi-tensor form, each kernel reading and writing whole copies.
UPDATE_PASSES = 24
UPDATE_OPERATIONS = 60
CHECKPOINTED_PASSES = 4 / 3  # a forward pass is a third of the work, and is done again
LIVE_HIDDEN = 3.0  # copies of the hidden state beside what a layer works on
# Passes over all trained weights of three moves along a direction and of the step: each draws its
# numbers, reads them, and reads and writes the weights.
MOVING_PASSES = 4 * 4
FIXED_OPERATIONS = 100  # embedding, last norm, logits and loss


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
    return costs_of(read(configuration), counts_of(group_of(configuration), model), model)


def costs_of(terms: Terms, counts: Counts, model: ModelProfile) -> StepCosts:
    """Return the costs of one configuration, or columns of them."""
    costs = _costs_of_gradients(terms, counts, model)
    if not any_of(terms.forward_passes):
        return costs
    forward_only = _costs_of_passes(costs, terms, model)
    return where_each(terms.forward_passes > 0, forward_only, costs)


def _costs_of_gradients(terms: Terms, counts: Counts, model: ModelProfile) -> StepCosts:
    method, width = terms.method, terms.width_bytes
    trained_width = where(method.trains_base, width, FP32_BYTES)
    state_bytes = _state_bytes(terms, model) * trained_width / FP32_BYTES
    passes = where(terms.gradient_checkpointing, CHECKPOINTED_PASSES, 1.0)
    layer_bytes = _frozen_bytes(terms, model) + _method_bytes(terms, counts)
    step_width = where(method.in_model_precision, width, FP32_BYTES)
    cast_bytes = FP32_BYTES * terms.cast_weights * counts.target_weights
    step_bytes: float = step_width * counts.step_floats
    step_bytes += INDEX_BYTES * counts.step_indices + where(terms.is_fp32, 0.0, cast_bytes)
    return StepCosts(
        weights_bytes=_weights_bytes(terms, model) + _bytes_beside(terms, counts),
        trainable=counts.trainable,
        gradient_bytes=counts.trainable * trained_width,
        state_bytes=counts.trainable * (state_bytes + FP32_BYTES * method.state_copies),
        update_bytes=UPDATE_PASSES * counts.trainable * trained_width,
        **_held(terms, model, layer_bytes, _pair_bytes(terms, model), step_bytes),
        moment_per_step=step_width * counts.moment_floats,
        **_tables(terms, model),
        tokens_before=where(method.runs_virtual_tokens, terms.virtual_tokens, 0),
        logits_per_token=model.vocabulary * width,
        logits_per_target=model.vocabulary * FP32_BYTES,
        has_backward=True,
        flops_per_token=_flops(terms, counts, model),
        flops_per_step=counts.step_flops,
        flops_per_pair=_pair_flops(terms, model),
        traffic_per_token=passes * layer_of(model).traffic * model.layers * layer_bytes,
        weight_traffic=passes * _weight_traffic(terms, model),
        other_weight_traffic=passes * (method.weight_passes * counts.target_weights * FP32_BYTES),
        operations=_operations(terms, counts, model, passes),
    )


def _costs_of_passes(costs: StepCosts, terms: Terms, model: ModelProfile) -> StepCosts:
    """Return the costs of forward passes without a graph: one layer at a time is held."""
    passes = terms.forward_passes
    layer, share = layer_of(model), passes / 3  # a forward pass is a third of the work
    trained = where(terms.method.trains_base, 0, costs.trainable)
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
        live_per_token=terms.width_bytes * live,
        live_per_pair=_pair_bytes(terms, model),
        live_per_step=costs.kept_per_step / model.layers,
        has_backward=False,
        flops_per_token=passes * 2 * computed,
        flops_per_pair=share * costs.flops_per_pair,
        flops_per_step=share * costs.flops_per_step,
        traffic_per_token=share * costs.traffic_per_token,
        weight_traffic=passes * _weights_bytes(terms, model),
        other_weight_traffic=share * costs.other_weight_traffic,
        operations=rounded_up(share * costs.operations),
    )


def _state_bytes(terms: Terms, model: ModelProfile) -> float:
    """Return bytes of state per trained weight; factored, at most two of a matrix's small side."""
    small = where(terms.method.trains_base, model.hidden_size, terms.rank)
    share = where(small > 0, 2 / greatest(small, 1), 1.0)
    return where(terms.is_factored, terms.state_bytes * least(1.0, share), terms.state_bytes)


def _bytes_beside(terms: Terms, counts: Counts) -> int:
    """Return the bytes of what the method holds beside the base model, trained and untrained."""
    trained = where(terms.method.trains_base, 0, counts.of_method)
    frozen_width = where(terms.method.frozen_in_model_precision, terms.width_bytes, FP32_BYTES)
    return FP32_BYTES * trained + frozen_width * counts.frozen


def _held(
    terms: Terms, model: ModelProfile, layer_bytes: float, pair_bytes: float, step_bytes: float
) -> dict[str, float]:
    """Return what is kept of all layers and what of one at a time; checkpointed, inputs only.

    What a method builds anew in a pass belongs to the layers where it has targets in them.
    """
    layers, in_layers, again = (
        model.layers,
        terms.method.uses_target_modules,
        terms.gradient_checkpointing,
    )
    inputs = layers * model.hidden_size * terms.width_bytes
    return {
        "kept_per_token": where(again, inputs, layers * layer_bytes),
        "kept_per_pair": where(again, 0.0, layers * pair_bytes),
        "kept_per_step": where(again, where(in_layers, 0.0, step_bytes), step_bytes),
        "live_per_token": where(again, layer_bytes, 0.0),
        "live_per_pair": where(again, pair_bytes, 0.0),
        "live_per_step": where(again, where(in_layers, step_bytes / layers, 0.0), 0.0),
    }


def _tables(terms: Terms, model: ModelProfile) -> dict[str, float]:
    """Return the bytes of a table of embeddings that the method builds in each pass."""
    whole = terms.width_bytes * model.vocabulary * model.hidden_size
    table = where(terms.method.rebuilds_embeddings, whole, 0.0)
    return {
        "table_per_step": table,
        "head_table_per_step": table if model.tied_embeddings else 0.0,
    }


def _flops(terms: Terms, counts: Counts, model: ModelProfile) -> float:
    """Return FLOPs per token: 2 a weight forward, 2 backward to its input, 2 to itself.

    Where layers are run again, 2 more of theirs.
    """
    method, again = terms.method, terms.gradient_checkpointing
    layers, head = _linear_weights(model), model.vocabulary * model.hidden_size
    of_all = 6 * (layers + head) + where(again, 2 * layers, 0)
    factors = method.factor_products * counts.trainable
    more = terms.token_flops * counts.target_weights
    repeated = where(again, 2 * (layers + factors), 0)
    return where(method.trains_base, of_all, 4 * (layers + head) + 6 * factors + more + repeated)


def _is_eager(terms: Terms, model: ModelProfile) -> bool:
    is_sdpa_eager = attention_in(model.family, "sdpa") == "eager"
    return where(terms.asks_sdpa, is_sdpa_eager, terms.asks_eager)


def _pair_flops(terms: Terms, model: ModelProfile) -> float:
    """Return FLOPs per pair: two products forward, which fused attention takes again, and four."""
    products = where(_is_eager(terms, model), 6, 7) + where(terms.gradient_checkpointing, 2, 0)
    return 2 * products * model.layers * model.heads * model.head_size


def _operations(terms: Terms, counts: Counts, model: ModelProfile, passes: float) -> int:
    method = terms.method
    times = where(method.uses_target_modules, counts.targets, 1)
    restoring = where(terms.is_quantized, QUANTIZED_OPERATIONS * len(linears(model)), 0)
    layer = layer_of(model).operations + times * method.operations + restoring
    return rounded_up(passes * model.layers * layer) + FIXED_OPERATIONS


def _linear_weights(model: ModelProfile) -> int:
    return weights_of(linears(model), model)


def _weights_bytes(terms: Terms, model: ModelProfile) -> float:
    of_linears = _linear_weights(model)
    others = (model.parameters - of_linears) * terms.width_bytes
    return of_linears * terms.linear_bytes + others


def _weight_traffic(terms: Terms, model: ModelProfile) -> float:
    """Return the bytes of weights that matrix products read; quantised ones are restored first."""
    reads = where(terms.method.trains_base, 3, 2)
    restored = reads * 2 * terms.width_bytes * _linear_weights(model)
    return reads * _weights_bytes(terms, model) + where(terms.is_quantized, restored, 0)


def _pair_bytes(terms: Terms, model: ModelProfile) -> float:
    """Return what a layer keeps per pair: its mask as numbers, or eager attention its scores."""
    layer, width = layer_of(model), terms.width_bytes
    softmax = width if not layer.fp32_scores else where(terms.is_fp32, width, FP32_BYTES + width)
    scores = model.heads * (softmax + layer.score_copies * width)
    return where(_is_eager(terms, model), scores, where(terms.asks_sdpa, width, 0.0))


def _frozen_bytes(terms: Terms, model: ModelProfile) -> float:
    """Return what a frozen layer keeps per token."""
    layer, width = layer_of(model), terms.width_bytes
    query = model.heads * model.head_size
    key = model.key_value_heads * model.head_size
    # Where layers cannot be run again, a cache is handed to them.
    copies = layer.query + where(terms.method.checkpoints, 0.0, layer.cached_query)
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


def _method_bytes(terms: Terms, counts: Counts) -> float:
    """Return bytes that the method keeps in a layer per token, beyond the frozen layer."""
    own = terms.method.trains_base | terms.method.in_model_precision
    # Without a copy in another precision, inputs are shared.
    shared = where(own | terms.is_fp32, counts.shared_floats, 0.0)
    own_bytes = (counts.activation_floats - shared) * where(own, terms.width_bytes, FP32_BYTES)
    return own_bytes + counts.model_floats * terms.width_bytes
