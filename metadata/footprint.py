"""Memory and time of one training step, and the plan of a whole run, by arithmetic.

Nothing is run. Held against real runs of Llama-3.2-3B on an L40S by `tests/metadata`: peak memory
within 7 %, training time within 13 %, with nothing fitted but the shares below.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from math import ceil

from metadata.features.task import completion_tokens, prompt_tokens, training_examples
from metadata.methods import METHODS
from metadata.records import Configuration, Device, Lengths, ModelProfile, Precision, Task
from metadata.simulated import Phase
from metadata.step_costs import LOGITS_TRAFFIC, UPDATE_OPERATIONS, StepCosts, step_costs

MATMUL_SHARE = 0.45  # of a data sheet's dense FLOP/s that training's matrix products reach
FP32_SHARE = 1 / 8  # of bf16's, on GPUs; data sheets go from 1/2 (RTX 3090) to 1/16 (A100)
BANDWIDTH_SHARE = 0.8
SCORES_TRAFFIC = 4.0  # bytes moved per byte of attention weights held
# On one core of a CPU 8 examples a pass took 20 to 30 % less time than 32 at width 128: a larger
# batch pads more and leaves the caches.
CPU_MICRO_BATCH = 8
MEMORY_SHARE = 0.95  # of a device: the rest is its driver's and the allocator's fragments


@dataclass(frozen=True, slots=True)
class Held:
    """What is held at the peak of a phase beside weights and optimizer state."""

    gradient_bytes: float
    activation_bytes: float
    logits_bytes: float

    @property
    def total_bytes(self) -> float:
        """Return the sum."""
        return self.gradient_bytes + self.activation_bytes + self.logits_bytes


@dataclass(frozen=True)
class Footprint:
    """What one micro step needs; FLOPs and bytes of forward and backward together.

    `matmul_bytes` are read and written by matrix products, `bytes_moved` by all kernels.
    """

    weights_bytes: int
    gradient_bytes: int
    state_bytes: int
    held: Mapping[Phase, Held]
    flops: float
    bytes_moved: float
    matmul_bytes: float
    operations: int
    trainable_parameters: int

    @property
    def peak_phase(self) -> Phase:
        """Return the phase in which the most is held."""
        return max(self.held, key=lambda phase: self.held[phase].total_bytes)

    @property
    def peak_bytes(self) -> int:
        """Return the most that is held at once, weights and optimizer state among it."""
        most = self.held[self.peak_phase].total_bytes
        return int(self.weights_bytes + self.state_bytes + most)

    @property
    def activation_bytes(self) -> int:
        """Return the activations that are held at the peak."""
        return int(self.held[self.peak_phase].activation_bytes)

    @property
    def logits_bytes(self) -> int:
        """Return the most that logits take."""
        return int(max(held.logits_bytes for held in self.held.values()))


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
    weights_bytes: int
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
    target_share: float = 1.0,
    accumulates: bool = False,
) -> Footprint:
    """Return what one forward and backward pass of a micro-batch needs, and the optimizer's step.

    Args:
        configuration: A configuration that passes `metadata.space.check` on the model.
        model: The base model.
        micro_batch_size: Examples that go through together.
        length_tokens: The length to which they are padded.
        target_share: Of the tokens, how many are learnt; logits of the others stay in the model's
            precision.
        accumulates: Whether gradients of earlier micro-batches stay while this one runs.
    """
    costs = step_costs(configuration, model)
    return _at(
        costs,
        micro_batch_size,
        length_tokens,
        target_share=target_share,
        accumulates=accumulates,
    )


def plan(configuration: Configuration, task: Task, *, memory_bytes: int | None = None) -> Plan:
    """Return how a configuration would run on a task's device, with its largest micro-batch.

    Micro-batches are powers of two up to the batch of one device, and on a CPU what the worker
    takes there. The data are taken for a whole file, of which 80 % is trained on.

    Args:
        configuration: A configuration that passes `metadata.space.check` on the task's model.
        task: What it is to run on.
        memory_bytes: What one device may use, its own memory less a reserve where not given.
    """
    device, batch = task.device, configuration.batch_size
    limit = memory_bytes or usable_bytes(device)
    costs = step_costs(configuration, task.model)
    share, targets = ceil(batch / device.count), target_share(configuration, task)
    share = rows(configuration, task, share)
    longest = longest_tokens(configuration, task)
    most = share if device.kind == "cuda" else min(share, CPU_MICRO_BATCH)
    size, needed = _largest(costs, most, longest, limit, target_share=targets)
    accumulation = ceil(share / size)
    steps = max(1, ceil(training_examples(task.dataset) * configuration.epochs / batch))
    usual = _at(costs, size, padded_tokens(configuration, task, size), target_share=targets)
    seconds = accumulation * pass_seconds(usual, device, configuration.precision)
    return Plan(
        micro_batch_size=size,
        accumulation_steps=accumulation,
        steps=steps,
        length_tokens=longest,
        tokens=steps * batch * _mean_tokens(configuration, task),
        weights_bytes=needed.weights_bytes,
        peak_bytes=needed.peak_bytes,
        train_seconds=steps * (seconds + update_seconds(costs, device)),
        trainable_parameters=costs.trainable,
        fits=needed.peak_bytes <= limit,
    )


def usable_bytes(device: Device) -> int:
    """Return the memory of one device that training can use."""
    return int(MEMORY_SHARE * device.memory_bytes)


def longest_tokens(configuration: Configuration, task: Task) -> int:
    """Return the length of the longest batch: the longest example's or a packed row's, cut."""
    if configuration.packing:
        batch = configuration.batch_size * _mean_tokens(configuration, task)
        return max(2, min(batch, configuration.max_length_tokens))
    prompt, completion = task.dataset.prompt_bytes, task.dataset.completion_bytes
    return _cut((prompt.max + completion.max) / task.model.bytes_per_token, configuration, task)


def padded_tokens(configuration: Configuration, task: Task, size: int) -> int:
    """Return the usual length of a micro-batch, each example padded to the longest of it.

    The longest of `size` draws lies near the quantile size / (size + 1). Packed rows share the
    tokens of a batch.
    """
    if configuration.packing:
        batch = configuration.batch_size
        return ceil(batch * _mean_tokens(configuration, task) / rows(configuration, task, batch))
    parts = (task.dataset.prompt_bytes, task.dataset.completion_bytes)
    mean_bytes = sum(lengths.mean for lengths in parts)
    long_bytes = sum(_quantile(lengths, size / (size + 1)) for lengths in parts)
    tokens = max(mean_bytes, long_bytes if size > 1 else 0) / task.model.bytes_per_token
    return _cut(tokens, configuration, task)


def rows(configuration: Configuration, task: Task, examples: int) -> int:
    """Return how many rows so many examples take: one each, or packed, as few as hold them."""
    if not configuration.packing:
        return examples
    tokens = examples * _mean_tokens(configuration, task)
    return max(1, ceil(tokens / configuration.max_length_tokens))


def _mean_tokens(configuration: Configuration, task: Task) -> int:
    parts = (task.dataset.prompt_bytes, task.dataset.completion_bytes)
    mean_bytes = sum(lengths.mean for lengths in parts)
    return _cut(mean_bytes / task.model.bytes_per_token, configuration, task)


def _cut(tokens: float, configuration: Configuration, task: Task) -> int:
    end = 1  # the token that ends a text
    limit = min(configuration.max_length_tokens, room_tokens(configuration, task.model))
    return max(2, min(ceil(tokens) + end, limit))


def room_tokens(configuration: Configuration, model: ModelProfile) -> int:
    """Return how much of the context the method's own tokens leave to a text."""
    method = configuration.method
    return model.context_tokens - METHODS[method.name].virtual_tokens(method.values)


def _quantile(lengths: Lengths, share: float) -> float:
    points = ((0.5, lengths.p50), (0.9, lengths.p90), (0.99, lengths.p99), (1.0, lengths.max))
    for (low, at_low), (high, at_high) in pairwise(points):
        if share <= high:
            return at_low + (at_high - at_low) * (share - low) / (high - low)
    return lengths.max


def target_share(configuration: Configuration, task: Task) -> float:
    """Return the share of a batch's tokens that the loss is on."""
    if configuration.loss_on == "all":
        return 1.0
    completion = completion_tokens(task)
    return completion / (completion + prompt_tokens(task))


def pass_seconds(needs: Footprint, device: Device, precision: Precision) -> float:
    """Return the time of a forward and backward pass.

    Matrix products are bound by FLOPs or by memory, other kernels by memory, and the whole by how
    fast operations can be started.
    """
    bytes_per_second = BANDWIDTH_SHARE * device.bandwidth_gb_per_second * 1e9
    share = MATMUL_SHARE * (FP32_SHARE if precision == "fp32" and device.kind == "cuda" else 1.0)
    products = max(
        needs.flops / (share * device.bf16_tflops * 1e12),
        needs.matmul_bytes / bytes_per_second,
    )
    others = (needs.bytes_moved - needs.matmul_bytes) / bytes_per_second
    return max(products + others, needs.operations * device.launch_microseconds * 1e-6)


def update_seconds(costs: StepCosts, device: Device) -> float:
    """Return the time of clipping and of the optimizer's step."""
    bytes_per_second = BANDWIDTH_SHARE * device.bandwidth_gb_per_second * 1e9
    launches = UPDATE_OPERATIONS * device.launch_microseconds * 1e-6
    return max(costs.update_bytes / bytes_per_second, launches)


def _largest(
    costs: StepCosts, share: int, length: int, limit: int, *, target_share: float
) -> tuple[int, Footprint]:
    """Return the largest power of two up to the share that fits, and what it needs; else 1."""
    size = 1 << (share.bit_length() - 1)
    while True:
        needed = _at(costs, size, length, target_share=target_share, accumulates=size < share)
        if needed.peak_bytes <= limit or size == 1:
            return size, needed
        size //= 2


def _at(
    costs: StepCosts, size: int, length: int, *, target_share: float, accumulates: bool = False
) -> Footprint:
    length += costs.tokens_before
    tokens = size * length
    pairs = tokens * length
    kept = costs.kept_per_step + costs.kept_per_token * tokens + costs.kept_per_pair * pairs
    live = costs.live_per_step + costs.live_per_token * tokens + costs.live_per_pair * pairs
    logits = _Logits.of(costs, tokens, target_share=target_share)
    matmul_bytes = costs.weight_traffic + 2 * (kept + live)
    others = costs.traffic_per_token * tokens + costs.other_weight_traffic
    scores = SCORES_TRAFFIC * (costs.kept_per_pair + costs.live_per_pair) * pairs
    return Footprint(
        weights_bytes=int(costs.weights_bytes),
        gradient_bytes=int(costs.gradient_bytes),
        state_bytes=int(costs.state_bytes),
        held=_held(costs, kept, live, logits, accumulates=accumulates),
        flops=costs.flops_per_token * tokens + costs.flops_per_pair * pairs + costs.flops_per_step,
        bytes_moved=matmul_bytes + others + scores + LOGITS_TRAFFIC * logits.moved,
        matmul_bytes=matmul_bytes,
        operations=costs.operations,
        trainable_parameters=costs.trainable,
    )


@dataclass(frozen=True)
class _Logits:
    """Bytes of logits that are live at once at the end of each pass, and that are moved.

    The `whole` are those of all positions.

    Forward there are those of all positions, and those of the targets as they are and in fp32, or
    of the targets in fp32 and their softmax. Backward there are three of the targets in fp32, or
    two gradients of all positions and one of the targets.
    """

    whole: float
    forward: float
    backward: float
    moved: float

    @classmethod
    def of(cls, costs: StepCosts, tokens: float, *, target_share: float) -> "_Logits":
        every, fp32 = costs.logits_per_token * tokens, costs.logits_per_target * tokens
        targets, targets_fp32 = target_share * every, target_share * fp32
        copied = 0.0 if every == fp32 else targets
        return cls(
            whole=every if costs.has_backward else 0.0,
            forward=max(every + copied + targets_fp32, 2 * targets_fp32),
            backward=max(3 * targets_fp32, 2 * every + targets) if costs.has_backward else 0.0,
            moved=2 * (every + targets_fp32),
        )


def _held(
    costs: StepCosts, kept: float, live: float, logits: _Logits, *, accumulates: bool
) -> Mapping[Phase, Held]:
    """Return what is held around the loss, at the embeddings, and in the first layer's backward.

    Gradients grow while what was kept is freed, and the optimizer's step adds nothing of size.
    """
    gradients = costs.gradient_bytes
    earlier = gradients if accumulates else 0.0
    kept += costs.head_table_per_step
    moment = costs.moment_per_step
    in_layer = Held(gradients, live + moment + max(0.0, earlier + kept - gradients), 0.0)
    at_head = Held(earlier, kept + costs.head_table_per_step, logits.whole)
    at_embeddings = Held(earlier, costs.table_per_step, 0.0)
    return {
        "forward": _most(
            Held(earlier, kept, logits.forward),
            Held(earlier, kept + moment, 0.0),
            at_embeddings,
        ),
        "backward": _most(Held(earlier, kept, logits.backward), at_head, in_layer, at_embeddings),
        "optimizer": Held(gradients, 0.0, 0.0),
    }


def _most(*held: Held) -> Held:
    return max(held, key=lambda one: one.total_bytes)
