"""The command `tasks`: list the generated datasets, or write them as JSON Lines."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from metadata.errors import InvalidRequest
from training_worker.tasks.datasets import (
    DATASETS,
    TRAIN_EXAMPLES,
    build_dataset,
    write_dataset,
)


def main(arguments: Sequence[str]) -> int:
    """Run `python -m training_worker tasks`; return the exit status."""
    options = _parse(arguments)
    if options.command == "list":
        for spec in DATASETS.values():
            sys.stdout.write(f"{spec.name:16} {spec.kind:12} {spec.description}\n")
        return 0
    try:
        for name in options.names or DATASETS:
            _write(name, options)
    except InvalidRequest as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


def _write(name: str, options: argparse.Namespace) -> None:
    path = options.output / f"{name}.jsonl"
    splits = build_dataset(name, seed=options.seed, train_examples=options.train_examples)
    sys.stdout.write(f"{path}: {write_dataset(path, splits)} examples\n")


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m training_worker tasks", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="name the datasets, their kinds and what they teach")
    write = commands.add_parser("write", help="write datasets as JSON Lines")
    write.add_argument("names", nargs="*", type=_known, help="all where not given")
    write.add_argument("--output", type=Path, required=True, help="folder for NAME.jsonl")
    write.add_argument("--seed", type=int, default=0, help="another seed is another world")
    write.add_argument(
        "--train-examples",
        type=int,
        default=TRAIN_EXAMPLES,
        help="30 to 10000, of facts ten for each; what is held out comes on top",
    )
    return parser.parse_args(arguments)


def _known(name: str) -> str:
    if name not in DATASETS:
        raise argparse.ArgumentTypeError(f"must be among {', '.join(DATASETS)}, got {name!r}")
    return name
