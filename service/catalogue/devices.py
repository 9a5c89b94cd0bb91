"""The devices by name: those of the table, and what was measured of them on this machine."""

from collections.abc import Callable
from pathlib import Path

from metadata.device_constants import as_measured, read_calibrations
from metadata.errors import UnknownDevice
from metadata.features.device import THIS_MACHINE, find_device, sized
from metadata.records import Device

FOLDER = "devices"  # of calibrations, in the data folder
FindDevice = Callable[..., Device]  # as `find_device`: name, count and memory


class Devices:
    """Devices with the figures of their data sheets, in whose place stand those measured here.

    A calibration holds from the next question on: its folder is read anew for each.
    """

    def __init__(self, folder: Path) -> None:
        """Keep where calibrations are; the folder need not exist."""
        self._folder = folder

    def find(self, name: str, *, count: int = 1, memory_gib: float | None = None) -> Device:
        """Return a device by its name, with the figures that were measured where some were.

        Raises:
            UnknownDevice: It is neither in the table nor was it measured here.
            InvalidRequest: The count or the memory is out of range.
        """
        known = read_calibrations(self._folder)
        try:
            device = find_device(name, count=count, memory_gib=memory_gib)
        except UnknownDevice:
            named = {measured.lower(): one for measured, one in known.items()}
            if name.lower() not in named:
                raise
            return sized(named[name.lower()].device, count=count, memory_gib=memory_gib)
        found = known.get(device.name)
        return device if found is None else as_measured(device, found.constants)

    def here(self) -> Device:
        """Return the CPU of this machine."""
        return self.find(THIS_MACHINE)
