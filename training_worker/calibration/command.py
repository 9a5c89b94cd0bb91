"""The command `calibrate`: what this machine reaches in training, in a minute or two."""

import argparse
import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime

import torch

from metadata.device_constants import Calibration, as_measured, plain_name
from metadata.errors import InvalidRequest, PeftwiseError, UnknownDevice
from metadata.features.device import CPU_CACHE_BYTES, find_device, this_machine
from metadata.records import Device
from metadata.step_time import DeviceConstants
from training_worker.calibration.measuring import measure
from training_worker.ledger import cpu_name, versions
from training_worker.model import choose_device

LEAST_SECONDS, MOST_SECONDS = 1.0, 600.0


def main(arguments: Sequence[str]) -> int:
    """Run `python -m training_worker calibrate`; return 0 when done, 2 where used wrongly."""
    options = _parser().parse_args(arguments)
    try:
        found = calibrate(options.device, seconds=options.seconds)
    except PeftwiseError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    dumped = found.model_dump(mode="json")
    sys.stdout.write(json.dumps(dumped, indent=2) + "\n" if options.json else _table(found))
    return 0


def calibrate(name: str, *, seconds: float) -> Calibration:
    """Return what the CPU or the CUDA device of this machine reaches.

    Args:
        name: auto, cpu or cuda.
        seconds: About how long it may take, from 1 to 600.

    Raises:
        InvalidRequest: There is no such device here, or the time is out of range.
    """
    if not LEAST_SECONDS <= seconds <= MOST_SECONDS:
        raise InvalidRequest(
            f"seconds must be from {LEAST_SECONDS:.0f} to {MOST_SECONDS:.0f}, got {seconds}. "
            "60 give steady figures.",
            param="seconds",
        )
    chosen = choose_device(name)
    constants = measure(chosen, seconds=seconds, cache_bytes=_cache_bytes(chosen))
    return Calibration(
        device=as_measured(describe(chosen, constants), constants),
        constants=constants,
        measured_at=datetime.now(UTC),
        processor=cpu_name(),
        versions=versions(),
    )


def describe(chosen: torch.device, constants: DeviceConstants) -> Device:
    """Return the device by the name that forecasts know it by; a GPU of no table by torch's."""
    if chosen.type == "cpu":
        return this_machine()
    properties = torch.cuda.get_device_properties(chosen)
    try:
        return find_device(properties.name)
    except UnknownDevice:
        return Device(
            name=properties.name,
            kind="cuda",
            memory_bytes=properties.total_memory,
            bf16_tflops=constants.bf16_flops_per_second / 1e12,
            bandwidth_gb_per_second=constants.bytes_per_second / 1e9,
            launch_microseconds=constants.launch_seconds * 1e6,
        )


def _cache_bytes(chosen: torch.device) -> int:
    if chosen.type == "cpu":
        return CPU_CACHE_BYTES
    return int(torch.cuda.get_device_properties(chosen).L2_cache_size)


def _table(found: Calibration) -> str:
    constants = found.constants
    lines = [
        f"device              {plain_name(found.device)}",
        f"products in bf16    {constants.bf16_flops_per_second / 1e12:.4g} TFLOP/s",
        f"products in fp32    {constants.fp32_flops_per_second / 1e12:.4g} TFLOP/s",
        f"memory              {constants.bytes_per_second / 1e9:.4g} GB/s",
        f"cache               {constants.cached_bytes_per_second / 1e9:.4g} GB/s",
        f"start an operation  {constants.launch_seconds * 1e6:.3g} microseconds",
    ]
    return "\n".join(lines) + "\n"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m training_worker calibrate", description=__doc__
    )
    add = parser.add_argument
    add("--device", default="auto", help="auto, cpu or cuda: what to measure [auto]")
    add("--seconds", type=float, default=60.0, help="about how long it may take [60]")
    add("--json", action="store_true", help="print JSON")
    return parser
