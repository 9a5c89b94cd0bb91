"""Devices by name: the table of common accelerators, and the CPU of this machine."""

import csv
import os
import re
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from math import isfinite
from pathlib import Path

from metadata.errors import InvalidRequest, UnknownDevice
from metadata.records import Device

DEVICES_FILE = Path(__file__).parents[1] / "data" / "devices.csv"
MEMORY_LIMIT_FILE = Path("/sys/fs/cgroup/memory.max")  # a container's own, in bytes, or "max"
GIB, MIB = 2**30, 2**20
LARGEST_GIB = 10_000
THIS_MACHINE = "cpu"
MEASURED = ", measured"  # ends the name of a device whose figures are not its data sheet's
SHOWN_CHARACTERS = 60
NEAR_COUNT = 5
CPU_CACHE_BYTES, CUDA_CACHE_BYTES = 32 * MIB, 40 * MIB  # where nothing says
CUDA_FP32_SHARE = 1 / 4  # of bf16's where no sheet says; 1/2 (RTX 3090) to 1/16 (A100)
# Words that people leave out or add; they tell no two devices of the table apart.
FILLERS = frozenset({"nvidia", "amd", "geforce", "tesla", "instinct", "gpu", "generation", "rtx"})
# Words that name another device than the name without them.
VARIANTS = frozenset({"ti", "super", "laptop", "mobile", "max", "nvl", "mig"})
# A core with AVX2 does 32 fp32 operations a cycle at about 3 GHz; small products reach less than
# half. Fixed, so that the same question gets the same answer whatever else the machine does.
TFLOPS_PER_CORE = 0.08
BANDWIDTH_PER_CORE, LARGEST_CPU_BANDWIDTH = 20.0, 80.0  # GB/s; small models stay in the caches
CPU_LAUNCH_MICROSECONDS = 5.0


@dataclass(frozen=True, kw_only=True)
class _Entry:
    """A row of the table; `names` are the words of each name that the device goes by."""

    device: Device
    names: tuple[frozenset[str], ...]
    fp32_tflops: float | None
    cache_bytes: int
    source: str


def find_device(name: str, *, count: int = 1, memory_gib: float | None = None) -> Device:
    """Return a device by its name, in part or whole, such as `l40s` or `NVIDIA L40S`.

    Args:
        name: As in the table, as torch reports it, or "cpu" for this machine.
        count: How many of them.
        memory_gib: Memory of each where it differs from the table.

    Raises:
        UnknownDevice: No device goes by that name, or more than one; the message lists near ones.
        InvalidRequest: The count or the memory is out of range.
    """
    device = this_machine() if name.strip().lower() == THIS_MACHINE else _named(name)
    return sized(device, count=count, memory_gib=memory_gib)


def sized(device: Device, *, count: int = 1, memory_gib: float | None = None) -> Device:
    """Return so many of a device, with another memory where one is given.

    Raises:
        InvalidRequest: The count or the memory is out of range.
    """
    _check_range("count", count, 1, 1024)
    if memory_gib is None:
        return device.model_copy(update={"count": count})
    _check_range("memory_gib", memory_gib, 0.001, LARGEST_GIB)
    return device.model_copy(update={"count": count, "memory_bytes": int(memory_gib * GIB)})


def known_devices() -> tuple[Device, ...]:
    """Return the table of devices in its order."""
    return tuple(entry.device for entry in _table())


def data_sheet(device: Device) -> str | None:
    """Return where the figures of a device are from; None where it is not in the table."""
    entry = _entry(device.name)
    return None if entry is None else entry.source


def fp32_tflops(device: Device) -> float:
    """Return the fp32 TFLOP/s of a device without tensor cores, as torch computes by itself."""
    if device.kind == "cpu":
        return device.bf16_tflops
    entry = _entry(device.name)
    known = None if entry is None else entry.fp32_tflops
    return CUDA_FP32_SHARE * device.bf16_tflops if known is None else known


def cache_bytes(device: Device) -> int:
    """Return the size of a device's last cache, in which small tensors stay between operations."""
    if device.kind == "cpu":
        return CPU_CACHE_BYTES
    entry = _entry(device.name)
    return CUDA_CACHE_BYTES if entry is None else entry.cache_bytes


def this_machine() -> Device:
    """Return the CPU of this machine: its cores, its memory, and careful speeds for each core."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    cores = cores or 1
    return Device(
        name=f"CPU, {cores} core{'s' if cores > 1 else ''}",
        kind="cpu",
        memory_bytes=_memory_bytes(),
        bf16_tflops=TFLOPS_PER_CORE * cores,
        bandwidth_gb_per_second=min(BANDWIDTH_PER_CORE * cores, LARGEST_CPU_BANDWIDTH),
        launch_microseconds=CPU_LAUNCH_MICROSECONDS,
    )


def _memory_bytes() -> int:
    installed = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    try:
        return min(installed, int(MEMORY_LIMIT_FILE.read_text()))
    except (OSError, ValueError):  # no container, or one without a limit
        return installed


def _named(name: str) -> Device:
    wanted = _words(name)
    exact = [one.device for one in _table() if wanted in one.names]
    if exact:
        return exact[0]
    inside = [one.device for one in _table() if any(wanted <= words for words in one.names)]
    around = [
        one.device
        for one in _table()
        if not wanted & VARIANTS and any(words <= wanted for words in one.names)
    ]
    found = (inside or around) if wanted else []
    if len(found) == 1:
        return found[0]
    if found:
        raise UnknownDevice(
            f"The device must name one of the table; {_shown(name)} names {len(found)}: "
            f"{', '.join(device.name for device in found)}. Choose one of them.",
            param="hardware.device",
        )
    near = _near(name)
    listed = near or [device.name for device in known_devices()]
    raise UnknownDevice(
        f'The device must be one of the table or "cpu"; got {_shown(name)}. '
        f"{'Near ones' if near else 'Known ones'}: {', '.join(listed)}.",
        param="hardware.device",
    )


def _near(name: str) -> list[str]:
    by_words = {" ".join(sorted(_words(d.name))): d.name for d in known_devices()}
    wanted = " ".join(sorted(_words(name)))
    close = get_close_matches(wanted, by_words, n=NEAR_COUNT, cutoff=0.4)
    return [by_words[words] for words in close]


def _words(name: str) -> frozenset[str]:
    """Return the words of a name that tell devices apart: `RTX4090` and `rtx 4090` are one."""
    spaced = re.sub(r"rtx(?=[a-z0-9])", "rtx ", name.lower()[:200])
    spaced = re.sub(r"(\d+)\s*gi?b\b", r"\1gb", spaced)
    return frozenset(re.findall(r"[a-z0-9]+", spaced)) - FILLERS


def _entry(name: str) -> _Entry | None:
    plain = name.removesuffix(MEASURED)
    return next((entry for entry in _table() if entry.device.name == plain), None)


@lru_cache(maxsize=1)
def _table() -> tuple[_Entry, ...]:
    with DEVICES_FILE.open(encoding="utf-8", newline="") as file:
        return tuple(_row(row) for row in csv.DictReader(file))


def _row(row: dict[str, str]) -> _Entry:
    device = Device(
        name=row["name"],
        kind="cuda",  # what torch calls them all
        memory_bytes=int(float(row["memory_gib"]) * GIB),
        bf16_tflops=float(row["bf16_tflops"]),
        bandwidth_gb_per_second=float(row["bandwidth_gb_per_second"]),
        launch_microseconds=float(row["launch_microseconds"]),
        usd_per_hour=float(row["usd_per_hour"]) if row["usd_per_hour"] else None,
    )
    names = [row["name"], *filter(None, row["aliases"].split(";"))]
    return _Entry(
        device=device,
        names=tuple(_words(name) for name in names),
        fp32_tflops=float(row["fp32_tflops"]) if row["fp32_tflops"] else None,
        cache_bytes=int(float(row["cache_mib"]) * MIB),
        source=row["source"],
    )


def _check_range(field: str, value: float, lowest: float, highest: float) -> None:
    if not isfinite(value) or not lowest <= value <= highest:
        raise InvalidRequest(
            f"hardware.{field} must be from {lowest} to {highest}, got {value}. Change it.",
            param=f"hardware.{field}",
        )


def _shown(value: str) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + "..."
