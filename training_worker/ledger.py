"""What is known of a run so far, so that a run cut short keeps its curve and its costs."""

import json
import os
import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

import torch

from metadata.records import Costs, Measurement
from training_worker.meter import Clock, forget_device_peak, peak_device_bytes
from training_worker.trainer_messages import Level, Notice

PACKAGES = ("torch", "transformers", "peft", "peftwise")


@dataclass
class Ledger:
    """The growing account of one run; `report` is told each measurement and the progress.

    `on_notice` is told what the one who waits for the run should know of.
    """

    report: Callable[[Measurement, float], None]
    on_notice: Callable[[Notice], None] = lambda notice: None
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    curve: list[Measurement] = field(default_factory=list)
    all_steps: int = 1
    steps: int = 0
    trained_tokens: int = 0
    trainable_parameters: int = 0
    peak_tensor_bytes: int = 0
    micro_batch_size: int = 0
    earlier_device_bytes: int = 0  # the peak in processes that this one goes on from
    training: Clock = field(init=False)
    evaluation: Clock = field(init=False)

    def __post_init__(self) -> None:
        """Start both clocks at zero."""
        self.use(self.device)

    def use(self, device: torch.device) -> None:
        """Keep the account of a device, from zero."""
        self.device = device
        self.training, self.evaluation = Clock(device), Clock(device)
        forget_device_peak(device)

    @property
    def progress(self) -> float:
        """Return the share of optimizer steps that are done."""
        return min(1.0, self.steps / self.all_steps)

    def note(self, name: str, value: float, split: Literal["train", "validation", "test"]) -> None:
        """Add one point to the curve at the current step."""
        measurement = Measurement(name=name, step=self.steps, value=value, split=split)
        self.curve.append(measurement)
        self.report(measurement, self.progress)

    def notify(self, level: Level, message: str, **data: Any) -> None:
        """Tell what should be known of the run."""
        self.on_notice(Notice(level=level, message=message, data=data))

    def to_json(self) -> str:
        """Return what another process can go on from."""
        account = {
            "costs": self.costs().model_dump(mode="json"),
            "curve": [measurement.model_dump(mode="json") for measurement in self.curve],
            "micro_batch_size": self.micro_batch_size,
        }
        return json.dumps(account, indent=1)

    def restore(self, account: Mapping[str, Any]) -> None:
        """Go on from an account, and report its curve again, each point at its own progress."""
        costs = Costs.model_validate(account["costs"])
        self.training.go_on_from(costs.train_seconds, costs.train_cpu_seconds)
        self.evaluation.go_on_from(costs.eval_seconds, costs.eval_cpu_seconds)
        self.steps, self.trained_tokens = costs.steps, costs.trained_tokens
        self.peak_tensor_bytes = max(self.peak_tensor_bytes, costs.peak_tensor_bytes)
        self.earlier_device_bytes = costs.peak_device_bytes
        self.curve = [Measurement.model_validate(point) for point in account["curve"]]
        for measurement in self.curve:
            self.report(measurement, min(1.0, measurement.step / self.all_steps))

    def costs(self) -> Costs:
        """Return what the run has used so far."""
        return Costs(
            train_seconds=self.training.seconds,
            eval_seconds=self.evaluation.seconds,
            train_cpu_seconds=self.training.cpu_seconds,
            eval_cpu_seconds=self.evaluation.cpu_seconds,
            peak_tensor_bytes=self.peak_tensor_bytes,
            peak_device_bytes=max(self.earlier_device_bytes, peak_device_bytes(self.device)),
            trained_tokens=self.trained_tokens,
            steps=self.steps,
            trainable_parameters=self.trainable_parameters,
        )


def versions() -> dict[str, str]:
    """Return the versions of what computes a run, the CPU's name and the threads used."""
    found = {name: _version(name) for name in PACKAGES}
    threads = {"threads": str(torch.get_num_threads())}
    return found | {"python": platform.python_version(), "cpu": cpu_name()} | threads


def device_name(device: torch.device) -> str:
    """Return what the device is called by its maker."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else cpu_name()


def cpu_name() -> str:
    """Return the processor's name as the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or f"{os.cpu_count()} cores"


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "unknown"
