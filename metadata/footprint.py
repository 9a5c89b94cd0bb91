"""Bytes, FLOPs and operations of one training step, by arithmetic, and the plan of a whole run.

A decoder layer is counted as Hugging Face transformers runs it: what autograd keeps for the
backward pass, what the kernels read and write. Nothing is run. The counts of copies and operations
were measured on layers of each family under a dispatch mode, and `tests/metadata` measures them
again; memory and time are held there against real runs of Llama-3.2-3B on an L40S.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from math import ceil

from metadata.architectures import Linear, linears, targeted
from metadata.examples import TRAIN_SHARE
from metadata.methods import METHODS
from metadata.methods.spec import MethodSpec
from metadata.optimizers import OPTIMIZERS
from metadata.records import Configuration, Device, Lengths, ModelProfile, Task

FP32_BYTES = 4
PRECISION_BYTES = {"fp32": 4, "bf16": 2}
# Bytes per weight of a quantised linear: LLM.int8 has a scale per row, NF4 an fp32 one per block
# of 64 (arXiv:2208.07339, arXiv:2305.14314).
QUANTIZED_BYTES = {"int8": 1.0, "nf4": 0.5 + 4 / 64}
SHARES_INPUT = frozenset({"k", "v", "o"})  # k and v read q's input; attention keeps o's anyway
LOGITS_COPIES = 3  # in fp32: the logits, their softmax and its gradient; one more in bf16
# Passes over all trained weights of the optimizer's step: gradient norm and clipping, then moments
# and update in torch's multi-tensor form, each kernel reading and writing whole copies.
UPDATE_PASSES = 24
UPDATE_OPERATIONS = 60
MATMUL_SHARE = 0.5  # of a data sheet's dense FLOP/s that training's matrix products reach
BANDWIDTH_SHARE = 0.8
MEMORY_SHARE = 0.95  # of a device: the rest is its driver's and the allocator's fragments
CHECKPOINTED_PASSES = 4 / 3  # a forward pass is a third of the work, and is done again


@dataclass(frozen=True, kw_only=True)
class Layer:
    """What a frozen decoder layer keeps for the backward pass, and what it runs.

    Copies per token of its widths: `fp32_hidden` in fp32 whatever the precision, the others in
    the model's precision. `traffic` is bytes that its kernels move, matrix products apart, per
    byte kept. Operations are of forward and backward together, views too.
    """

    fp32_hidden: float = 2.0
    hidden: float = 0.0
    query: float = 4.0
    mlp: float = 3.0
    fp32_query_key: float = 0.0
    traffic: float = 14.0
    operations: int = 215


LLAMA = Layer()
LAYERS: Mapping[str, Layer] = {
    "qwen3": Layer(fp32_query_key=1.0, operations=265),
    "olmo2": Layer(fp32_query_key=1.0, operations=273),
    "gemma2": Layer(fp32_hidden=4.0, operations=300),
    "gemma3_text": Layer(fp32_hidden=4.0, fp32_query_key=1.0, operations=327),
    "phi3": Layer(operations=200),
    "gpt2": Layer(fp32_hidden=0.0, hidden=2.0, mlp=4.0, traffic=8.0, operations=110),
    "gpt_neox": Layer(fp32_hidden=0.0, hidden=3.0, mlp=1.0, traffic=8.0, operations=145),
    "opt": Layer(fp32_hidden=0.0, hidden=2.0, mlp=1.0, traffic=8.0, operations=130),
}
FIXED_OPERATIONS = 100  # embedding, last norm, logits and loss


@dataclass(frozen=True)
class Footprint:
    """What one micro step needs; FLOPs and bytes of forward and backward together.

    `matmul_bytes` are read and written by matrix products, `bytes_moved` by all kernels.
    """

    weights_bytes: int
    gradient_bytes: int
    state_bytes: int
    activation_bytes: int
    logits_bytes: int
    peak_bytes: int
    flops: float
    bytes_moved: float
    matmul_bytes: float
    operations: int
    trainable_parameters: int


@dataclass(frozen=True)
class Plan:
    """How a run would go on a device: micro-batch, steps, memory and time.

    `length_tokens` is that of the longest batch, by which memory is counted; `tokens` are all
    that are trained on; `fits` is False where even a micro-batch of one example is too much.
    """

    micro_batch_size: int
    accumulation_steps: int
    steps: int
    length_tokens: int
    tokens: int
    peak_bytes: int
    train_seconds: float
    trainable_parameters: int
    fits: bool


def footprint(
    configuration: Configuration,
    model: ModelProfile,
    *,
    micro_batch_size: int,
    length_tokens: int,
    accumulates: bool = False,
) -> Footprint:
    """Return what one forward and backward pass of a micro-batch needs, and the optimizer's step.

    Args:
        configuration: A configuration that passes `metadata.space.check` on the model.
        model: The base model.
        micro_batch_size: Examples that go through together.
        length_tokens: The length to which they are padded.
        accumulates: Whether gradients of earlier micro-batches stay while this one runs.
    """
    costs = _costs(configuration, model)
    return _at(costs, micro_batch_size, length_tokens, accumulates=accumulates)


def plan(configuration: Configuration, task: Task, *, memory_bytes: int | None = None) -> Plan:
    """Return how a configuration would run on a task's device, with its largest micro-batch.

    Micro-batches are powers of two up to the batch of one device. The data are taken for a whole
    file, of which `TRAIN_SHARE` is trained on.

    Args:
        configuration: A configuration that passes `metadata.space.check` on the task's model.
        task: What it is to run on.
        memory_bytes: What one device may use, its own memory less a reserve where not given.
    """
    device = task.device
    limit = memory_bytes or usable_bytes(device)
    costs = _costs(configuration, task.model)
    share = ceil(configuration.batch_size / device.count)
    longest = longest_tokens(configuration, task)
    size, needed = _largest(costs, share, longest, limit)
    examples = max(1, round(TRAIN_SHARE * task.dataset.examples))
    steps = max(1, ceil(examples * configuration.epochs / configuration.batch_size))
    accumulation = ceil(share / size)
    padded = padded_tokens(configuration, task, size)
    seconds = steps * (
        accumulation * pass_seconds(_at(costs, size, padded), device)
        + update_seconds(costs, device)
    )
    return Plan(
        micro_batch_size=size,
        accumulation_steps=accumulation,
        steps=steps,
        length_tokens=longest,
        tokens=int(steps * configuration.batch_size * padded_tokens(configuration, task, 1)),
        peak_bytes=needed.peak_bytes,
        train_seconds=seconds,
        trainable_parameters=costs.trainable,
        fits=needed.peak_bytes <= limit,
    )


def usable_bytes(device: Device) -> int:
    """Return the memory of one device that training can use."""
    return int(MEMORY_SHARE * device.memory_bytes)


def longest_tokens(configuration: Configuration, task: Task) -> int:
    """Return the length of the longest batch: the longest example's, cut as it will be."""
    prompt, completion = task.dataset.prompt_bytes, task.dataset.completion_bytes
    return _cut((prompt.max + completion.max) / task.model.bytes_per_token, configuration, task)


def padded_tokens(configuration: Configuration, task: Task, size: int) -> int:
    """Return the usual length of a micro-batch, each example padded to the longest of it.

    The longest of `size` draws lies near the quantile size / (size + 1).
    """
    parts = (task.dataset.prompt_bytes, task.dataset.completion_bytes)
    mean_bytes = sum(lengths.mean for lengths in parts)
    long_bytes = sum(_quantile(lengths, size / (size + 1)) for lengths in parts)
    tokens = max(mean_bytes, long_bytes if size > 1 else 0) / task.model.bytes_per_token
    return _cut(tokens, configuration, task)


def _cut(tokens: float, configuration: Configuration, task: Task) -> int:
    end = 1  # the token that ends a text
    limit = min(configuration.max_length_tokens, task.model.context_tokens)
    return max(2, min(ceil(tokens) + end, limit))


def _quantile(lengths: Lengths, share: float) -> float:
    points = ((0.5, lengths.p50), (0.9, lengths.p90), (0.99, lengths.p99), (1.0, lengths.max))
    for (low, at_low), (high, at_high) in pairwise(points):
        if share <= high:
            return at_low + (at_high - at_low) * (share - low) / (high - low)
    return lengths.max


def pass_seconds(needs: Footprint, device: Device) -> float:
    """Return the time of a forward and backward pass.

    Matrix products are bound by FLOPs or by memory, other kernels by memory, and the whole by how
    fast operations can be started.
    """
    bytes_per_second = BANDWIDTH_SHARE * device.bandwidth_gb_per_second * 1e9
    products = max(
        needs.flops / (MATMUL_SHARE * device.bf16_tflops * 1e12),
        needs.matmul_bytes / bytes_per_second,
    )
    others = (needs.bytes_moved - needs.matmul_bytes) / bytes_per_second
    return max(products + others, needs.operations * device.launch_microseconds * 1e-6)


@dataclass(frozen=True)
class _Costs:
    """A configuration on a model: what is fixed, and what each token or pair of tokens adds."""

    weights_bytes: float
    trainable: int
    gradient_bytes: float
    state_bytes: float
    update_bytes: float
    kept_per_token: float
    kept_per_pair: float
    live_per_token: float
    logits_per_token: float
    flops_per_token: float
    flops_per_pair: float
    traffic_per_token: float
    weight_traffic: float
    operations: int


def update_seconds(costs: _Costs, device: Device) -> float:
    """Return the time of clipping and of the optimizer's step."""
    bytes_per_second = BANDWIDTH_SHARE * device.bandwidth_gb_per_second * 1e9
    launches = UPDATE_OPERATIONS * device.launch_microseconds * 1e-6
    return max(costs.update_bytes / bytes_per_second, launches)


def _largest(costs: _Costs, share: int, length: int, limit: int) -> tuple[int, Footprint]:
    """Return the largest power of two up to the share that fits, and what it needs; else 1."""
    size = 1 << (share.bit_length() - 1)
    while True:
        needed = _at(costs, size, length, accumulates=size < share)
        if needed.peak_bytes <= limit or size == 1:
            return size, needed
        size //= 2


def _at(costs: _Costs, size: int, length: int, *, accumulates: bool = False) -> Footprint:
    tokens, pairs = size * length, size * length * length
    kept = costs.kept_per_token * tokens + costs.kept_per_pair * pairs
    live = costs.live_per_token * tokens
    logits = costs.logits_per_token * tokens
    resident = costs.weights_bytes + costs.state_bytes
    forward = kept + max(live, logits) + (costs.gradient_bytes if accumulates else 0.0)
    # The multi-tensor optimizer works on whole copies of the gradients.
    step = 2 * costs.gradient_bytes
    traffic = costs.traffic_per_token * tokens + 4 * costs.kept_per_pair * pairs
    matmul_bytes = costs.weight_traffic + 2 * kept
    return Footprint(
        weights_bytes=int(costs.weights_bytes),
        gradient_bytes=int(costs.gradient_bytes),
        state_bytes=int(costs.state_bytes),
        activation_bytes=int(kept + live),
        logits_bytes=int(logits),
        peak_bytes=int(resident + max(forward, step)),
        flops=costs.flops_per_token * tokens + costs.flops_per_pair * pairs,
        bytes_moved=matmul_bytes + traffic,
        matmul_bytes=matmul_bytes,
        operations=costs.operations,
        trainable_parameters=costs.trainable,
    )


def _costs(configuration: Configuration, model: ModelProfile) -> _Costs:
    spec = METHODS[configuration.method.name]
    layer = LAYERS.get(model.family, LLAMA)
    targets = targeted(model, configuration.target_modules) if spec.uses_target_modules else ()
    values = configuration.method.values
    width = PRECISION_BYTES[configuration.precision]
    trainable = spec.trainable(values, targets, model)
    trained_width = width if spec.trains_base else FP32_BYTES
    layer_linears = linears(model)
    linear_weights = model.layers * sum(linear.d_in * linear.d_out for linear in layer_linears)
    head_weights = model.vocabulary * model.hidden_size
    weights_bytes = _weights_bytes(configuration, model, linear_weights)
    added = 0 if spec.trains_base else trainable

    frozen = _frozen_bytes(layer, model, width)
    method = _method_bytes(spec, configuration, targets or layer_linears, width)
    kept, live, passes = model.layers * (frozen + method), 0.0, 1.0
    pairs = 0.0
    if configuration.attention == "eager":
        pairs = model.heads * (width + FP32_BYTES)  # scores after the softmax, in both precisions
    kept_pairs = model.layers * pairs
    if configuration.gradient_checkpointing:
        live, kept, passes = (
            frozen + method,
            model.layers * model.hidden_size * width,
            CHECKPOINTED_PASSES,
        )
        kept_pairs = pairs
    computed = linear_weights + head_weights
    factor = 3 if spec.trains_base else 2  # forward, backward to activations, to weights
    attention = 4 * model.layers * model.heads * model.head_size  # scores and values
    logits = model.vocabulary * (width + LOGITS_COPIES * FP32_BYTES)
    return _Costs(
        weights_bytes=weights_bytes + added * FP32_BYTES,
        trainable=trainable,
        gradient_bytes=trainable * trained_width,
        state_bytes=trainable
        * OPTIMIZERS[configuration.optimizer.name].state_bytes
        * trained_width
        / FP32_BYTES,
        update_bytes=UPDATE_PASSES * trainable * trained_width,
        kept_per_token=kept,
        kept_per_pair=kept_pairs,
        live_per_token=live,
        logits_per_token=logits,
        flops_per_token=passes * (2 * factor * computed + 6 * added),
        flops_per_pair=passes * 2.5 * attention / 2 * 1.0,
        traffic_per_token=passes * layer.traffic * model.layers * (frozen + method) + 4 * logits,
        weight_traffic=passes * factor * weights_bytes,
        operations=ceil(passes * model.layers * (layer.operations + spec.operations * len(targets)))
        + FIXED_OPERATIONS,
    )


def _weights_bytes(configuration: Configuration, model: ModelProfile, linear_weights: int) -> float:
    width = PRECISION_BYTES[configuration.precision]
    quantized = QUANTIZED_BYTES.get(configuration.quantization, width)
    return linear_weights * quantized + (model.parameters - linear_weights) * width


def _frozen_bytes(layer: Layer, model: ModelProfile, width: int) -> float:
    """Return what a frozen layer keeps per token."""
    query = model.heads * model.head_size
    key = model.key_value_heads * model.head_size
    return (
        FP32_BYTES * layer.fp32_hidden * model.hidden_size
        + FP32_BYTES * layer.fp32_query_key * (query + key)
        + FP32_BYTES * model.heads  # the log-sum-exp of attention
        + width * layer.hidden * model.hidden_size
        + width * (layer.query * query + key)
        + width * layer.mlp * model.mlp_width
    )


def _method_bytes(
    spec: MethodSpec, configuration: Configuration, targets: tuple[Linear, ...], width: int
) -> float:
    """Return what the method keeps in a layer per token, beyond the frozen layer."""
    values = configuration.method.values
    shares = SHARES_INPUT | ({"up"} if any(t.role == "gate" for t in targets) else set())
    in_own_precision = spec.trains_base or width == FP32_BYTES
    floats = sum(spec.activation_floats(values, linear) for linear in targets)
    if in_own_precision:
        floats -= sum(
            spec.shared_floats(values, linear) for linear in targets if linear.role in shares
        )
    return floats * (width if spec.trains_base else FP32_BYTES)
