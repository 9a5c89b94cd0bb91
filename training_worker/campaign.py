"""Train many configurations on many datasets, into a meta-dataset; what is done is not done again.

python -m training_worker campaign --output FOLDER --processes N --data FOLDER
python -m training_worker campaign merge --output FOLDER --to FILE.parquet [--add FILE.parquet]
python -m training_worker campaign rerun --base-model FOLDER --rows N --seed N
"""

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from metadata.errors import PeftwiseError
from metadata.methods import METHODS
from metadata.records import RunState
from training_worker.campaigns import merging, rerun
from training_worker.campaigns.pairs import CORE_SECONDS, Pair, find_pairs, split_by_core
from training_worker.campaigns.plan import PHASES, Item, plan_items
from training_worker.campaigns.pool import work_off
from training_worker.campaigns.results import Results
from training_worker.campaigns.shards import done_ids
from training_worker.campaigns.sources import find_sources

BASE_MODEL = "peftwise-tiny"
MOST_NAMED = 8  # pairs that are left out


def main(arguments: Sequence[str]) -> int:
    """Run `python -m training_worker campaign`; return the exit status."""
    command = COMMANDS.get(arguments[0] if arguments else "")
    try:
        return command(arguments[1:]) if command else _campaign(arguments)
    except PeftwiseError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write("Stopped. The same command goes on where this one was.\n")
        return 1


def run_items(
    items: Iterable[Item],
    output: Path,
    *,
    processes: int,
    minutes: float | None = None,
    now: Callable[[], float] = time.monotonic,
) -> Counter[RunState]:
    """Do the items that are not in the output folder yet; return how many ended in which state."""
    left = _left(items, done_ids(output))
    end = None if minutes is None else now() + 60 * minutes
    states: Counter[RunState] = Counter()
    with _bar() as bar:
        row = bar.add_task("", total=None, failed=0, rate=0)
        started = now()

        def report(state: RunState) -> None:
            states[state] += 1
            ended = states.total()
            rate = round(3600 * ended / max(1e-9, now() - started))
            bar.update(row, advance=1, failed=ended - states["succeeded"], rate=rate)

        work_off(
            left,
            output,
            processes=processes,
            is_over=lambda: end is not None and now() >= end,
            report=report,
        )
    return states


def _left(items: Iterable[Item], done: Iterable[str]) -> Iterator[Item]:
    """Yield the items that are not done, each once: the screening is part of the core."""
    begun = set(done)
    for item in items:
        if item.run_id not in begun:
            begun.add(item.run_id)
            yield item


def _campaign(arguments: Sequence[str]) -> int:
    options = _parser().parse_args(arguments)
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"  # read by the processes when they load torch
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    phases = PHASES if options.plan is None else options.plan
    sources = find_sources(options.data, options.datasets)
    pairs = find_pairs(sources, options.base_model or [BASE_MODEL])
    if "core" in phases:  # its epochs are given; all other runs take as many tokens on any data
        pairs, left = split_by_core(pairs, core_seconds=options.core_seconds)
        wanted = [one for one in left if not options.sizes or one[0].sized.size in options.sizes]
        sys.stderr.write(_left_out(wanted, options.core_seconds))
    items = plan_items(
        pairs,
        Results(options.output),
        phases=phases,
        sizes=options.sizes,
        methods=options.methods,
        shuffle_seed=options.shuffle_seed,
    )
    states = run_items(items, options.output, processes=options.processes, minutes=options.minutes)
    ended = ", ".join(f"{count} {state}" for state, count in states.most_common())
    known = len(done_ids(options.output))
    sys.stdout.write(f"{known} runs are there; now: {ended or 'none to do'}\n")
    return 0


def _left_out(left: Sequence[tuple[Pair, float]], core_seconds: float) -> str:
    """Say which pairs take too long; nothing where none does."""
    if not left:
        return ""
    named = [
        f"{pair.sized.name} on {pair.task.model.id} ({seconds:.0f} s)"
        for pair, seconds in left[:MOST_NAMED]
    ]
    more = len(left) - MOST_NAMED
    return (
        f"Left out, as their core would train for more than {core_seconds:g} s: "
        f"{', '.join(named)}{f' and {more} more' if more > 0 else ''}. "
        "Raise --core-seconds to have them.\n"
    )


COMMANDS: Mapping[str, Callable[[Sequence[str]], int]] = {
    "merge": merging.main,
    "rerun": rerun.main,
}


def _bar() -> Progress:
    return Progress(
        BarColumn(),
        TextColumn("{task.completed:,} runs"),
        TextColumn("{task.fields[failed]} failed, {task.fields[rate]:,} an hour"),
        console=Console(stderr=True),
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m training_worker campaign",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--output", type=Path, required=True, help="folder that keeps the runs")
    parser.add_argument("--processes", type=_positive, default=1, help="each with one thread")
    parser.add_argument("--data", type=Path, help="folder of *.jsonl; default: generated only")
    parser.add_argument("--datasets", type=_names, default=[], help="only these, by comma")
    parser.add_argument("--sizes", type=_sizes, default=[], help="only these, by comma")
    parser.add_argument("--base-model", action="append", help="id or folder; may repeat")
    parser.add_argument("--plan", type=_phases, help=f"some of {','.join(PHASES)}, in this order")
    parser.add_argument("--methods", type=_methods, default=[], help="only these in the spread")
    parser.add_argument("--minutes", type=float, help="begin no run after so many")
    parser.add_argument(
        "--core-seconds",
        type=float,
        default=CORE_SECONDS,
        help="pairs whose core would train longer stay out, by its formula (default %(default)g)",
    )
    parser.add_argument("--shuffle-seed", type=int, default=0, help="order of the pairs")
    return parser


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {value}")
    return value


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _sizes(text: str) -> list[int]:
    return [_positive(size) for size in _names(text)]


def _phases(text: str) -> list[str]:
    return _names_among(PHASES, text)


def _methods(text: str) -> list[str]:
    return _names_among(METHODS, text)


def _names_among(known: Iterable[str], text: str) -> list[str]:
    names = _names(text)
    for name in names:
        if name not in known:
            raise argparse.ArgumentTypeError(f"must be among {', '.join(known)}, got {name!r}")
    return names
