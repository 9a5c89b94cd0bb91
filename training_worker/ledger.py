"""What is known of a run so far, so that a run cut short keeps its curve and its costs."""

import os
import platform
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

import torch

from metadata.records import Costs, Measurement
from training_worker.meter import Clock, forget_device_peak, peak_device_bytes

PACKAGES = ("torch", "transformers", "peft", "peftwise")


@dataclass
class Ledger:
    """The growing account of one run; `report` is told each measurement and the progress."""

    report: Callable[[Measurement, float], None]
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    curve: list[Measurement] = field(default_factory=list)
    all_steps: int = 1
    steps: int = 0
    trained_tokens: int = 0
    trainable_parameters: int = 0
    peak_tensor_bytes: int = 0
    micro_batch_size: int = 0
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

    def costs(self) -> Costs:
        """Return what the run has used so far."""
        return Costs(
            train_seconds=self.training.seconds,
            eval_seconds=self.evaluation.seconds,
            train_cpu_seconds=self.training.cpu_seconds,
            eval_cpu_seconds=self.evaluation.cpu_seconds,
            peak_tensor_bytes=self.peak_tensor_bytes,
            peak_device_bytes=peak_device_bytes(self.device),
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
