"""Make one file of the runs of a campaign, and of files made before."""

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from metadata.device_constants import Calibration, plain_name
from metadata.errors import InvalidRequest
from metadata.records import Device, Run
from metadata.runs_file import read_runs, write_runs
from training_worker.campaigns.probes import with_probes
from training_worker.campaigns.shards import read_shards


def main(arguments: Sequence[str]) -> int:
    """Run `python -m training_worker campaign merge`; return the exit status.

    Raises:
        InvalidRequest: A file is none of runs, or none of a calibration; or of another machine.
    """
    options = _parser().parse_args(arguments)
    runs = read_shards(options.output)
    if options.calibration:
        device = _device(options.calibration)
        runs = [_on(device, run) for run in runs]
    if options.base_model:
        runs = list(with_probes(runs, options.data, options.base_model))
    before = [run for file in options.add for run in read_runs(file)]
    found = {run.id: run for run in (*runs, *before)}  # what was there before stands
    everything = [found[key] for key in sorted(found)]
    write_runs(options.to, everything)
    states = Counter(run.state for run in everything)
    groups = len({run.task.dataset.group for run in everything})
    ended = ", ".join(f"{count} {state}" for state, count in states.most_common())
    sys.stdout.write(f"{options.to}: {len(everything)} runs over {groups} datasets ({ended})\n")
    return 0


def _device(file: Path) -> Device:
    """Return the device of a calibration as it was measured."""
    try:
        return Calibration.model_validate_json(file.read_bytes()).device
    except (OSError, ValidationError):
        raise InvalidRequest(
            f"calibration: {file.name} is not what `python -m training_worker calibrate --json` "
            "prints. Write that to a file on the machine that ran the campaign, and give it here.",
            param="calibration",
        ) from None


def _on(device: Device, run: Run) -> Run:
    """Return a run on a device as it was measured, with the memory that the run was granted.

    Raises:
        InvalidRequest: The run was on another device.
    """
    if plain_name(run.task.device) != plain_name(device):
        raise InvalidRequest(
            f"calibration: runs must be of the device that was measured, {plain_name(device)}; got "
            f"one on {plain_name(run.task.device)}. Merge the folders of each machine by itself.",
            param="calibration",
        )
    measured = device.model_copy(update={"memory_bytes": run.task.device.memory_bytes})
    return run.model_copy(update={"task": run.task.model_copy(update={"device": measured})})


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m training_worker campaign merge", description=__doc__
    )
    parser.add_argument("--output", type=Path, action="append", required=True, help="may repeat")
    parser.add_argument("--to", type=Path, required=True, help="Parquet file to write")
    parser.add_argument(
        "--add", type=Path, action="append", default=[], help="Parquet file made before; may repeat"
    )
    parser.add_argument("--base-model", action="append", help="probe it on its data; may repeat")
    parser.add_argument("--data", type=Path, help="folder of *.jsonl, for these probes")
    parser.add_argument(
        "--calibration",
        type=Path,
        help="what `calibrate --json` printed on the machine of these folders, whose speed "
        "their runs are to be known by",
    )
    return parser
