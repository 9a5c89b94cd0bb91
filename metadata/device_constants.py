"""What is known of a device beyond its data sheet: measured by a calibration, learnt from runs.

Axes: N runs of one device.
"""

import logging
import os
import re
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from tempfile import NamedTemporaryFile

import numpy as np
from pydantic import ValidationError
from scipy.optimize import brentq

from metadata.arrays import Floats
from metadata.features.device import MEASURED
from metadata.records import Device, Name, Record, content_hash
from metadata.step_time import BANDWIDTH_SHARE, BF16_SHARE, DeviceConstants, expected_constants

log = logging.getLogger(__name__)

PRIOR_RUNS = 5.0  # runs that the forecast alone is worth
# A run that is further off than that counts as if it were just so far: others used the machine,
# or a clock was wrong. One run moves a forecast by at most 5 ** (1 / 5) = 1.38, either way.
FARTHEST_FACTOR = 5.0
SUFFIX = ".json"


class Calibration(Record):
    """What one machine's device reached when it was measured; `device` says it as figures."""

    device: Device
    constants: DeviceConstants
    measured_at: datetime
    processor: Name
    versions: Mapping[str, str]


def as_measured(device: Device, constants: DeviceConstants) -> Device:
    """Return a device with the figures by which forecasts come to what was measured.

    A CPU has one rate in its figures, and that of fp32 is told there. The name says that it was
    measured: what runs taught of data sheets does not hold for it.
    """
    is_cpu = device.kind == "cpu"
    rate = constants.fp32_flops_per_second if is_cpu else constants.bf16_flops_per_second
    return device.model_copy(
        update={
            "name": plain_name(device) + MEASURED,
            "bf16_tflops": rate / BF16_SHARE / 1e12,
            "bandwidth_gb_per_second": constants.bytes_per_second / BANDWIDTH_SHARE / 1e9,
            "launch_microseconds": constants.launch_seconds * 1e6,
        }
    )


def plain_name(device: Device) -> str:
    """Return what a device is called, measured or not."""
    return device.name.removesuffix(MEASURED)


def constants_of(device: Device, known: Mapping[str, Calibration]) -> DeviceConstants:
    """Return the constants of a device: measured where it was, else what its sheet lets expect."""
    found = known.get(plain_name(device))
    return expected_constants(device) if found is None else found.constants


def learnt_offset(log_ratio_N: Floats) -> float:
    """Return the logarithm of how much longer a device takes than forecast, learnt with caution.

    The most likely offset o where it is normal around 0, with the weight of five runs, and runs
    are normal around it up to a factor of five and Laplacian beyond (Huber's loss). Where
    no run is so far off it is their sum over their number and five.

    Args:
        log_ratio_N: The logarithm of measured / forecast of each run; empty gives 0.
    """
    limit = float(np.log(FARTHEST_FACTOR))
    mean = float(log_ratio_N.sum() / (len(log_ratio_N) + PRIOR_RUNS))
    if np.all(np.abs(log_ratio_N - mean) <= limit):
        return mean

    def pull(offset: float) -> float:
        """Return how strongly the runs pull upwards, less what holds the offset at 0."""
        return float(np.clip(log_ratio_N - offset, -limit, limit).sum()) - PRIOR_RUNS * offset

    return float(brentq(pull, min(0.0, log_ratio_N.min()), max(0.0, log_ratio_N.max())))


def read_calibrations(folder: Path) -> dict[str, Calibration]:
    """Return the calibrations of a folder by plain name of device; damaged ones are left aside."""
    known = {}
    for file in sorted(folder.glob(f"*{SUFFIX}")):
        try:
            found = Calibration.model_validate_json(file.read_bytes())
        except (OSError, ValidationError) as error:
            log.warning("Calibration %s is left aside: %s", file.name, type(error).__name__)
            continue
        known[plain_name(found.device)] = found
    return known


def keep_calibration(folder: Path, calibration: Calibration) -> Path:
    """Write a calibration in place of an earlier one of its device, whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    name = plain_name(calibration.device)
    readable = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:60]
    target = folder / f"{readable}-{content_hash(name)[:8]}{SUFFIX}"
    with NamedTemporaryFile("w", dir=folder, suffix=".partial", delete=False) as partial:
        partial.write(calibration.model_dump_json(indent=2) + "\n")
        partial.flush()
        os.fsync(partial.fileno())
    return Path(partial.name).replace(target)
