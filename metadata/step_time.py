"""Seconds of one training step, from what it computes and moves and from constants of a device.

Every operation takes as long as its arithmetic or its memory traffic, whichever is more. A GPU
works through them while the host starts the next ones, so that a phase ends when both have come
to its end. A CPU starts and works in turn, so that both add up and small products are slow.

Axes: G groups of like operations, R measured steps, K constants.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Self

import numpy as np
from pydantic import Field
from scipy.optimize import OptimizeResult, least_squares

from metadata.arrays import Booleans, Floats, Integers
from metadata.errors import TooFewRuns
from metadata.features.device import cache_bytes, fp32_tflops
from metadata.records import Device, Record
from metadata.simulated import PHASES, Operation, Phase, SimulatedStep

HALF_DTYPES = frozenset({"bfloat16", "float16"})  # the rest computes at the rate of fp32
# Operations of the forward pass are started by Python modules, the others by autograd and the
# optimizer in C++. Relative to their mean; the ratio is chosen on the runs of `benchmarks`.
STARTS: Mapping[Phase, float] = {"forward": 1.4, "backward": 0.7, "optimizer": 0.7}
# Shares of a data sheet's figures that training reaches, and how many times faster than memory a
# cache is, before anything was measured.
BF16_SHARE, FP32_SHARE, BANDWIDTH_SHARE, CACHE_SPEEDUP = 0.45, 0.5, 0.8, 2.0
# How far a constant lies from what its data sheet lets expect, and a step from its constants.
USUAL_FACTOR, USUAL_ERROR = 1.6, 0.1
LARGEST_FACTOR = 8.0  # no constant is ever fitted further from what was expected
FITTED = (
    "bf16_flops_per_second",
    "fp32_flops_per_second",
    "cached_bytes_per_second",
    "launch_seconds",
)
FIRST_LAUNCHES = (0.0, 0.8, -0.8)  # logs: where no step is bound by launches, nothing points to it

Rate = Annotated[float, Field(gt=0, le=1e18)]


class DeviceConstants(Record):
    """What decides how long a step takes, as training reaches it, not as data sheets state it.

    Of each operation the first `cache_bytes` move at the cache's speed and the rest at the
    memory's. `starts_ahead` says whether operations are started while earlier ones still run.
    """

    bf16_flops_per_second: Rate
    fp32_flops_per_second: Rate
    cached_bytes_per_second: Rate
    launch_seconds: Annotated[float, Field(gt=0, le=1)]
    bytes_per_second: Rate
    cache_bytes: Annotated[int, Field(ge=0, le=10**12)]
    starts_ahead: bool

    @property
    def logs(self) -> Floats:
        """Return the logarithms of the four that are fitted, in the order of `FITTED`."""
        return np.log([getattr(self, name) for name in FITTED])

    def at(self, logs_K: Floats) -> Self:
        """Return the constants with these logarithms of the four that are fitted."""
        values = np.exp(logs_K).tolist()
        return self.model_copy(update=dict(zip(FITTED, values, strict=True)))


@dataclass(frozen=True, kw_only=True)
class Work:
    """A step as arrays over its groups of like operations; phases by their place in `PHASES`."""

    phase_G: Integers
    count_G: Floats
    flops_G: Floats
    bytes_G: Floats
    is_half_G: Booleans


def expected_constants(device: Device) -> DeviceConstants:
    """Return the constants of one device as its data sheet lets expect them.

    A CPU has one figure for both precisions.
    """
    is_cpu = device.kind == "cpu"
    bf16 = BF16_SHARE * device.bf16_tflops * 1e12
    memory = BANDWIDTH_SHARE * device.bandwidth_gb_per_second * 1e9
    return DeviceConstants(
        bf16_flops_per_second=bf16,
        fp32_flops_per_second=bf16 if is_cpu else FP32_SHARE * fp32_tflops(device) * 1e12,
        cached_bytes_per_second=CACHE_SPEEDUP * memory,
        launch_seconds=device.launch_microseconds * 1e-6,
        bytes_per_second=memory,
        cache_bytes=cache_bytes(device),
        starts_ahead=device.kind == "cuda",
    )


def work_of(step: SimulatedStep) -> Work:
    """Return what a simulated step has to do."""
    return work_of_operations(step.operations)


def work_of_operations(operations: Sequence[Operation]) -> Work:
    """Return what the operations of a step have to do, simulated or watched."""
    return Work(
        phase_G=np.array([PHASES.index(one.phase) for one in operations], dtype=np.int64),
        count_G=np.array([one.count for one in operations], dtype=np.float64),
        flops_G=np.array([one.flops for one in operations], dtype=np.float64),
        bytes_G=np.array([one.bytes_moved for one in operations], dtype=np.float64),
        is_half_G=np.array([one.dtype in HALF_DTYPES for one in operations], dtype=np.bool_),
    )


def step_seconds(work: Work, constants: DeviceConstants) -> float:
    """Return how long a step takes on a device that it has to itself."""
    busy_G = work.count_G * _busy_seconds(work, constants)
    started = worked = 0.0  # when the host has started all so far, and when the device is done
    for place, phase in enumerate(PHASES):
        in_phase_G = work.phase_G == place
        count, busy = float(work.count_G @ in_phase_G), float(busy_G @ in_phase_G)
        starting = STARTS[phase] * constants.launch_seconds * count
        started += starting
        together = max(worked + busy, started)
        worked = together if constants.starts_ahead else worked + starting + busy
    return worked


def _busy_seconds(work: Work, constants: DeviceConstants) -> Floats:
    """Return how long the device is busy with one operation of each group."""
    half, single = constants.bf16_flops_per_second, constants.fp32_flops_per_second
    computing_G = work.flops_G / np.where(work.is_half_G, half, single)
    cached_G = np.minimum(work.bytes_G, constants.cache_bytes)
    moving_G = cached_G / constants.cached_bytes_per_second
    moving_G += (work.bytes_G - cached_G) / constants.bytes_per_second
    busy_G: Floats = np.maximum(computing_G, moving_G)
    return busy_G


def fit_constants(
    works: Sequence[Work], seconds: Sequence[float], *, expected: DeviceConstants
) -> DeviceConstants:
    """Return the constants that explain measured steps best, near those that were expected.

    The likeliest ones, where each is log-normal around what was expected, and a measurement has a
    Cauchy's heavy tails around its truth: one that is far off alone is hardly believed, and ten
    that agree are. What no step depends on stays as it was.

    Args:
        works: R steps.
        seconds: What each took, above 0.
        expected: As of `expected_constants`.

    Raises:
        TooFewRuns: There is no step at all.
    """
    if not works:
        raise TooFewRuns("Fitting a device's constants needs a measured step, got none. Run one.")
    log_seconds_R = np.log(np.asarray(seconds, dtype=np.float64))
    usual, limit = float(np.log(USUAL_FACTOR)), float(np.log(LARGEST_FACTOR))

    def misses(moves_K: Floats) -> Floats:
        constants = expected.at(expected.logs + moves_K)
        said_R = np.log([step_seconds(work, constants) for work in works])
        miss_R = (said_R - log_seconds_R) / USUAL_ERROR
        both: Floats = np.concatenate([_heavy_tailed(miss_R), moves_K / usual])
        return both

    def from_launch(first: float) -> OptimizeResult:
        start_K = np.array([first * (name == "launch_seconds") for name in FITTED])
        return least_squares(misses, start_K, bounds=(-limit, limit))

    best = min((from_launch(first) for first in FIRST_LAUNCHES), key=lambda found: found.cost)
    return expected.at(expected.logs + best.x)


def _heavy_tailed(miss_R: Floats) -> Floats:
    """Return what squares to the negative logarithm of a Cauchy's density, with the signs."""
    tailed_R: Floats = np.sign(miss_R) * np.sqrt(np.log1p(miss_R**2))
    return tailed_R
