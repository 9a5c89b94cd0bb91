"""The state of optimizers, schedules, random numbers and searches, as tensors and plain values.

What is read back is not run: a checkpoint is loaded with `weights_only`, which knows these alone.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

State = dict[str, Any]


def state_of(optimizer: Optimizer, schedule: LRScheduler) -> State:
    """Return all that an optimizer and its schedule go on from."""
    return {"optimizer": plain(optimizer.state_dict()), "schedule": plain(schedule.state_dict())}


def restore(optimizer: Optimizer, schedule: LRScheduler, state: State) -> None:
    """Have an optimizer and its schedule, built as the first were, go on from a state."""
    optimizer.load_state_dict(state["optimizer"])
    _keep_types(optimizer, state["optimizer"]["state"])
    schedule.load_state_dict(state["schedule"])


def random_state(device: torch.device) -> State:
    """Return where torch's random numbers are, on the CPU and on the run's device."""
    state = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state


def restore_random(state: State, device: torch.device) -> None:
    """Put torch's random numbers to where they were."""
    torch.set_rng_state(state["cpu"].cpu())
    if device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"].cpu(), device)


def plain(value: Any) -> Any:
    """Return a value with numpy's arrays as tensors, its numbers as Python's, and plain dicts."""
    if isinstance(value, np.ndarray):
        return torch.from_numpy(value.copy())
    if isinstance(value, np.generic):
        return value.item()
    return _inside(value, plain)


def with_arrays(value: Any) -> Any:
    """Return a value that `plain` gave with its tensors as numpy's arrays again."""
    if isinstance(value, torch.Tensor):
        return value.cpu().numpy().copy()
    return _inside(value, with_arrays)


def _inside(value: Any, change: Callable[[Any], Any]) -> Any:
    if isinstance(value, Mapping):
        return {key: change(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(change(one) for one in value)
    return value


def _keep_types(optimizer: Optimizer, saved: Mapping[Any, Any]) -> None:
    """Put back the types of numbers that torch gave its weights' own while it loaded."""
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    for key, values in saved.items():
        if not isinstance(values, Mapping):
            continue
        is_of_weight = isinstance(key, int)
        now = optimizer.state[weights[key] if is_of_weight else key]
        for name, value in values.items():
            if isinstance(value, torch.Tensor) and now[name].dtype != value.dtype:
                now[name] = value.to(now[name].device)
