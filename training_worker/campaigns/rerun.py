"""The command `campaign rerun`: train some shipped runs again, and compare the scores.

On the same kind of CPU with as many threads they must be equal bit for bit; elsewhere they must
lie within two standard deviations of the repeats of their pair.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from random import Random

from metadata.errors import InvalidRequest
from metadata.records import Run
from metadata.runs_file import SHIPPED_RUNS, read_runs
from metadata.table import build_table
from training_worker.campaigns.pairs import Pair, find_pairs
from training_worker.campaigns.plan import item_of
from training_worker.campaigns.sources import find_sources
from training_worker.campaigns.work import SOURCE, do

SAME = ("cpu", "threads", "torch", "base_model")  # versions that decide every bit
BOUND = 2.0  # standard deviations of repeats


def main(arguments: Sequence[str]) -> int:
    """Train runs again and print the scores side by side; 1 where one does not hold."""
    options = _parser().parse_args(arguments)
    runs = read_runs(options.table)
    table = build_table(runs)
    noise = {
        task.pair: float(noise) for task, noise in zip(table.tasks, table.noise_P, strict=True)
    }
    found = find_pairs(find_sources(options.data), options.base_model)
    pairs = {pair.task.pair: pair for pair in found}
    held = [
        _compare(run, pairs[run.task.pair], noise[run.task.pair])
        for run in _drawn(runs, pairs, rows=options.rows, seed=options.seed)
    ]
    sys.stdout.write(f"{sum(held)} of {len(held)} hold\n")
    return 0 if all(held) else 1


def _drawn(runs: Sequence[Run], pairs: dict[str, Pair], *, rows: int, seed: int) -> list[Run]:
    """Draw succeeded runs of our own of the pairs that can be trained here.

    Raises:
        InvalidRequest: There is none.
    """
    known = [
        run
        for run in runs
        if run.origin.source == SOURCE and run.score is not None and run.task.pair in pairs
    ]
    if not known:
        raise InvalidRequest(
            f"Some run must be of a base model and a dataset that are here, none of {len(runs)} "
            "is. Name the folders by --base-model and --data.",
            param="base-model",
        )
    return Random(seed).sample(known, min(rows, len(known)))


def _compare(run: Run, pair: Pair, noise: float) -> bool:
    again = do(item_of(pair, run.configuration, detail=run.origin.detail, core=run.core))
    before, now = run.score or 0.0, again.score
    is_same_machine = all(run.versions.get(name) == again.versions.get(name) for name in SAME)
    equal = now == before
    holds = equal if is_same_machine else now is not None and abs(now - before) <= BOUND * noise
    told = "equal" if equal else f"was {before:.6f}, is {now}, noise {noise:.4f}"
    sys.stdout.write(f"{run.id}  {run.task.dataset.name} on {run.task.model.id}: {told}\n")
    sys.stdout.flush()
    return holds


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m training_worker campaign rerun", description=__doc__
    )
    add = parser.add_argument
    add("--table", type=Path, default=SHIPPED_RUNS, help="Parquet file of runs; default: shipped")
    add("--data", type=Path, help="folder of *.jsonl; default: generated datasets only")
    add("--base-model", action="append", required=True, help="id or folder; may repeat")
    add("--rows", type=int, default=20, help="how many runs")
    add("--seed", type=int, default=0, help="which of them")
    return parser
