"""Memory and time of one training step, and the plan of a whole run, by arithmetic.

Nothing is run. Held against real runs of Llama-3.2-3B on an L40S by `tests/metadata`: peak memory
within 7 %, training time within 13 %, with nothing fitted but the shares below.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from metadata import lengths
from metadata.counts import Counts, counts_of, group_of
from metadata.elementwise import (
    any_of,
    greatest,
    least,
    power_of_two_within,
    rounded_up,
    truncated,
    where,
)
from metadata.features.task import training_examples
from metadata.records import Configuration, Device, ModelProfile, Task
from metadata.simulated import Phase
from metadata.step_costs import (
    LOGITS_TRAFFIC,
    UPDATE_OPERATIONS,
    StepCosts,
    costs_of,
    step_costs,
)
from metadata.terms import Terms, read

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


@dataclass(frozen=True, kw_only=True)
class Work:
    """What the passes of a micro-batch do, forward and backward together.

    `matmul_bytes` are read and written by matrix products, `bytes_moved` by all kernels.
    """

    flops: float
    bytes_moved: float
    matmul_bytes: float
    operations: int


@dataclass(frozen=True, kw_only=True)
class Footprint(Work):
    """What one micro step needs: what it does, and what is held at the peak of each phase."""

    weights_bytes: int
    gradient_bytes: int
    state_bytes: int
    held: Mapping[Phase, Held]
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
    batch = _Batch.of(costs, micro_batch_size, length_tokens, target_share=target_share)
    moments = _moments(costs, batch, accumulates=accumulates)
    return Footprint(
        weights_bytes=int(costs.weights_bytes),
        gradient_bytes=int(costs.gradient_bytes),
        state_bytes=int(costs.state_bytes),
        held={phase: max(held, key=lambda one: one.total_bytes) for phase, held in moments.items()},
        trainable_parameters=costs.trainable,
        **vars(_work(costs, batch)),
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
    counts = counts_of(group_of(configuration), task.model)
    return planned(read(configuration), counts, task, memory_bytes=memory_bytes)


def planned(terms: Terms, counts: Counts, task: Task, *, memory_bytes: int | None = None) -> Plan:
    """Return the plan of one configuration, or a plan whose fields are columns of many."""
    device, batch = task.device, terms.batch_size
    limit = memory_bytes or usable_bytes(device)
    costs, targets = costs_of(terms, counts, task.model), lengths.share_of_targets(terms, task)
    share = lengths.rows(terms, task, rounded_up(batch / device.count))
    longest = lengths.longest(terms, task)
    most = share if device.kind == "cuda" else least(share, CPU_MICRO_BATCH)
    size, peak = _largest(costs, most, longest, limit, target_share=targets)
    accumulation = rounded_up(share / size)
    steps = greatest(1, rounded_up(training_examples(task.dataset) * terms.epochs / batch))
    length = lengths.padded(terms, task, size)
    usual = _work(costs, _Batch.of(costs, size, length, target_share=targets))
    seconds = accumulation * pass_seconds(usual, device, is_fp32=terms.is_fp32)
    return Plan(
        micro_batch_size=size,
        accumulation_steps=accumulation,
        steps=steps,
        length_tokens=longest,
        tokens=steps * batch * lengths.mean(terms, task),
        weights_bytes=truncated(costs.weights_bytes),
        peak_bytes=peak,
        train_seconds=steps * (seconds + update_seconds(costs, device)),
        trainable_parameters=costs.trainable,
        fits=peak <= limit,
    )


def usable_bytes(device: Device) -> int:
    """Return the memory of one device that training can use."""
    return int(MEMORY_SHARE * device.memory_bytes)


def longest_tokens(configuration: Configuration, task: Task) -> int:
    """Return the length of the longest batch: the longest example's or a packed row's, cut."""
    return lengths.longest(read(configuration), task)


def target_share(configuration: Configuration, task: Task) -> float:
    """Return the share of a batch's tokens that the loss is on."""
    return lengths.share_of_targets(read(configuration), task)


def pass_seconds(needs: Work, device: Device, *, is_fp32: bool) -> float:
    """Return the time of a forward and backward pass.

    Matrix products are bound by FLOPs or by memory, other kernels by memory, and the whole by how
    fast operations can be started.
    """
    bytes_per_second = BANDWIDTH_SHARE * device.bandwidth_gb_per_second * 1e9
    fp32_share = FP32_SHARE if device.kind == "cuda" else 1.0
    share = MATMUL_SHARE * where(is_fp32, fp32_share, 1.0)
    products = greatest(
        needs.flops / (share * device.bf16_tflops * 1e12),
        needs.matmul_bytes / bytes_per_second,
    )
    others = (needs.bytes_moved - needs.matmul_bytes) / bytes_per_second
    return greatest(products + others, needs.operations * device.launch_microseconds * 1e-6)


def update_seconds(costs: StepCosts, device: Device) -> float:
    """Return the time of clipping and of the optimizer's step."""
    bytes_per_second = BANDWIDTH_SHARE * device.bandwidth_gb_per_second * 1e9
    launches = UPDATE_OPERATIONS * device.launch_microseconds * 1e-6
    return greatest(costs.update_bytes / bytes_per_second, launches)


def _largest(
    costs: StepCosts, share: int, length: int, limit: int, *, target_share: float
) -> tuple[int, int]:
    """Return the largest power of two up to the share that fits, and its peak bytes; else 1's."""
    size = power_of_two_within(share)
    while True:
        batch = _Batch.of(costs, size, length, target_share=target_share)
        peak = _peak_bytes(costs, batch, accumulates=size < share)
        is_too_large = (peak > limit) & (size > 1)
        if not any_of(is_too_large):
            return size, peak
        size = where(is_too_large, size // 2, size)


@dataclass(frozen=True, kw_only=True)
class _Batch:
    """A micro-batch of a size and length: its tokens, and what is held and moved for them.

    Forward there are logits of all positions, the `whole`, and those of the targets as they are
    and in fp32, or of the targets in fp32 and their softmax. Backward there are three of the
    targets in fp32, or two gradients of all positions and one of the targets.
    """

    tokens: float
    pairs: float
    kept: float
    live: float
    whole_logits: float
    forward_logits: float
    backward_logits: float
    logits_moved: float

    @classmethod
    def of(cls, costs: StepCosts, size: int, length: int, *, target_share: float) -> "_Batch":
        learnt = target_share * size * length
        length = length + costs.tokens_before  # a column is not changed in place
        tokens = size * length
        pairs = tokens * length
        every = costs.logits_per_token * tokens
        targets, targets_fp32 = costs.logits_per_token * learnt, costs.logits_per_target * learnt
        copied = where(costs.logits_per_token == costs.logits_per_target, 0.0, targets)
        backward = greatest(3 * targets_fp32, 2 * every + targets)
        return cls(
            tokens=tokens,
            pairs=pairs,
            kept=costs.kept_per_step + costs.kept_per_token * tokens + costs.kept_per_pair * pairs,
            live=costs.live_per_step + costs.live_per_token * tokens + costs.live_per_pair * pairs,
            whole_logits=where(costs.has_backward, every, 0.0),
            forward_logits=greatest(every + copied + targets_fp32, 2 * targets_fp32),
            backward_logits=where(costs.has_backward, backward, 0.0),
            logits_moved=2 * (every + targets_fp32),
        )


def _work(costs: StepCosts, batch: _Batch) -> Work:
    matmul_bytes = costs.weight_traffic + 2 * (batch.kept + batch.live)
    others = costs.traffic_per_token * batch.tokens + costs.other_weight_traffic
    scores = SCORES_TRAFFIC * (costs.kept_per_pair + costs.live_per_pair) * batch.pairs
    flops = costs.flops_per_token * batch.tokens + costs.flops_per_pair * batch.pairs
    return Work(
        flops=flops + costs.flops_per_step,
        bytes_moved=matmul_bytes + others + scores + LOGITS_TRAFFIC * batch.logits_moved,
        matmul_bytes=matmul_bytes,
        operations=costs.operations,
    )


def _peak_bytes(costs: StepCosts, batch: _Batch, *, accumulates: bool) -> int:
    moments = _moments(costs, batch, accumulates=accumulates)
    most = greatest(*(one.total_bytes for held in moments.values() for one in held))
    return truncated(truncated(costs.weights_bytes) + truncated(costs.state_bytes) + most)


def _moments(
    costs: StepCosts, batch: _Batch, *, accumulates: bool
) -> Mapping[Phase, tuple[Held, ...]]:
    """Return what is held around the loss, at the embeddings, and in the first layer's backward.

    Gradients grow while what was kept is freed, and the optimizer's step adds nothing of size.
    """
    gradients, moment = costs.gradient_bytes, costs.moment_per_step
    earlier = where(accumulates, gradients, 0.0)
    kept = batch.kept + costs.head_table_per_step
    freed = greatest(0.0, earlier + kept - gradients)
    in_layer = Held(gradients, batch.live + moment + freed, 0.0)
    at_head = Held(earlier, kept + costs.head_table_per_step, batch.whole_logits)
    at_embeddings = Held(earlier, costs.table_per_step, 0.0)
    return {
        "forward": (
            Held(earlier, kept, batch.forward_logits),
            Held(earlier, kept + moment, 0.0),
            at_embeddings,
        ),
        "backward": (
            Held(earlier, kept, batch.backward_logits),
            at_head,
            in_layer,
            at_embeddings,
        ),
        "optimizer": (Held(gradients, 0.0, 0.0),),
    }
