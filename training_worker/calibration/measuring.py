"""Measure what decides how long a training step takes: products, memory, and starting operations.

Single products and additions come first. Training reaches less: its operations are of many kinds
and shapes. So the constants are those by which real steps of small models, some bound by each of
them, are explained best, near what the single ones reach. The fastest of many repeats counts,
since others may use the machine at the same time.
"""

import math
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from metadata.step_time import STARTS, DeviceConstants, Work, fit_constants
from training_worker.calibration.steps import NARROW, STEPS, TrainingStep

# Tokens, outputs and inputs of products as training has them: on a GPU those of models of 1 to 8 B
# parameters, on a CPU those of the small models that are trained there.
SHAPES: Mapping[str, tuple[tuple[int, int, int], ...]] = {
    "cuda": ((1024, 2048, 2048), (1024, 8192, 2048), (1024, 2048, 8192), (1024, 4096, 4096)),
    "cpu": ((256, 128, 128), (256, 512, 128), (256, 1024, 256), (256, 768, 768)),
}
FLOAT_BYTES = 4
MOVED_PER_FLOAT = 3 * FLOAT_BYTES  # two read and one written by an addition
BEYOND_CACHE, WITHIN_CACHE = 8.0, 0.25  # bytes of an addition, in sizes of the cache
BLOCK_SECONDS = 0.005  # repeats that are timed together
LEAST_BLOCKS = 3
SINGLE_SHARE = 0.4  # of the time; real steps have the rest


def measure(device: torch.device, *, seconds: float, cache_bytes: int) -> DeviceConstants:
    """Return the constants of a device, as measured in about so many seconds.

    Args:
        device: A CPU or a CUDA device, best with nothing else running on it.
        seconds: How long all may take; each part has at least three repeats.
        cache_bytes: Size of its last cache.
    """
    share = SINGLE_SHARE * seconds / 4
    sizes = {"within": int(WITHIN_CACHE * cache_bytes), "beyond": int(BEYOND_CACHE * cache_bytes)}
    steps = [TrainingStep(shape, device) for shape in (NARROW, *STEPS[device.type])]
    works = [step.work() for step in steps]
    share_of_step = (1 - SINGLE_SHARE) * seconds / len(steps)
    took = [fastest(step.take, device, seconds=share_of_step) for step in steps]
    single = DeviceConstants(
        bf16_flops_per_second=product_rate(device, torch.bfloat16, seconds=share),
        fp32_flops_per_second=product_rate(device, torch.float32, seconds=share),
        cached_bytes_per_second=addition_rate(device, sizes["within"], seconds=share),
        launch_seconds=took[0] / _starts(works[0]),
        bytes_per_second=addition_rate(device, sizes["beyond"], seconds=share),
        cache_bytes=cache_bytes,
        starts_ahead=device.type == "cuda",
    )
    return fit_constants(works, took, expected=single)


def _starts(work: Work) -> float:
    """Return how many operations a step starts, those of each phase at their cost."""
    costs = np.array(list(STARTS.values()))
    return float(work.count_G @ costs[work.phase_G])


def product_rate(device: torch.device, dtype: torch.dtype, *, seconds: float) -> float:
    """Return FLOP/s of matrix products, the geometric mean over the shapes of training."""
    shapes, logs = SHAPES[device.type], []
    for tokens, outputs, inputs in shapes:
        left = torch.randn(tokens, inputs, device=device).to(dtype)
        weight = torch.randn(outputs, inputs, device=device).to(dtype)

        def multiply(left: torch.Tensor = left, weight: torch.Tensor = weight) -> None:
            nn.functional.linear(left, weight)

        took = fastest(multiply, device, seconds=seconds / len(shapes))
        logs.append(math.log(2 * tokens * outputs * inputs / took))
    return math.exp(sum(logs) / len(logs))


def addition_rate(device: torch.device, moved_bytes: int, *, seconds: float) -> float:
    """Return bytes read and written per second by additions that move so many bytes each."""
    size = max(1, moved_bytes // MOVED_PER_FLOAT)
    left, right, total = (torch.ones(size, device=device) for _ in range(3))
    took = fastest(lambda: torch.add(left, right, out=total), device, seconds=seconds)
    return size * MOVED_PER_FLOAT / took


def fastest(action: Callable[[], Any], device: torch.device, *, seconds: float) -> float:
    """Return the seconds of an action in the fastest of as many blocks as the time allows."""
    end = time.monotonic() + seconds
    first = _block_seconds(action, device, 1)
    repeats = max(1, math.ceil(BLOCK_SECONDS / max(first, 1e-9)))
    repeats = max(1, math.ceil(BLOCK_SECONDS / _block_seconds(action, device, repeats) * repeats))
    best, blocks = math.inf, 0
    while blocks < LEAST_BLOCKS or time.monotonic() < end:
        best = min(best, _block_seconds(action, device, repeats) / repeats)
        blocks += 1
    return best


def _block_seconds(action: Callable[[], Any], device: torch.device, repeats: int) -> float:
    """Return how long repeats take: of a CPU that others use too, without the waiting."""
    _wait_for(device)
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(repeats):
        action()
    _wait_for(device)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return max(1e-9, wall if device.type == "cuda" else min(wall, cpu))


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
