"""python -m training_worker: the commands of the worker, each loaded only when asked for."""

import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module

Command = Callable[[Sequence[str]], int]

# name: where its `main(arguments) -> exit code` stands, and what it does
COMMANDS: Mapping[str, tuple[str, str]] = {
    "run": ("training_worker.run_command", "train one configuration on one file"),
    "attempt": ("training_worker.attempt", "train what a service's claim code stands for"),
    "train-child": ("training_worker.child", "train what stands on stdin (started by attempt)"),
    "campaign": ("training_worker.campaign", "train many configurations on many datasets"),
    "export": ("training_worker.export_command", "turn an adapter into merged weights or LoRA"),
    "sample": (
        "training_worker.sample_command",
        "answer prompts by a base and what was made of it",
    ),
    "calibrate": ("training_worker.calibration.command", "measure what this machine reaches"),
    "simulate": ("training_worker.simulation.command", "tell what a step needs, without a GPU"),
    "simulate-table": ("training_worker.simulation.table", "simulate many steps, for formulas"),
    "probe": ("training_worker.probe", "tell what a base makes of data before training"),
    "pretrain": (
        "training_worker.pretrain",
        "make a base model, the shipped one or another",
    ),
    "tasks": ("training_worker.tasks.command", "list or write the generated datasets"),
}
DONE, FAILED, USED_WRONGLY = 0, 1, 2


def main(arguments: Sequence[str]) -> int:
    """Run the command that the first argument names; return its exit code."""
    name = arguments[0] if arguments else ""
    if name in {"-h", "--help"}:
        print(_usage())
        return DONE
    if name not in COMMANDS:
        seen = f"no command {name!r}" if name else "a command is needed"
        print(f"{seen}\n\n{_usage()}", file=sys.stderr)
        return USED_WRONGLY
    command: Command = import_module(COMMANDS[name][0]).main
    return command(arguments[1:])


def _usage() -> str:
    lines = [f"  {name:12} {help_text}" for name, (_, help_text) in COMMANDS.items()]
    return "\n".join(["usage: python -m training_worker COMMAND ...", "", *lines])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
