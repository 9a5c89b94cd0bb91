"""The first picks of the recommender beside those of its peers, on datasets left out.

    python benchmarks/recommender.py [--runs FILE] [--kinds free peft memory time] [--json FILE]
        [--plot FILE.svg] [--honesty] [--syne-tune-python VENV/bin/python]

FILE is a Parquet file of runs, the shipped ones by default. For each kind of question (everything
allowed; adapters only; half the memory, or half the time, of a usual run) every dataset is left
out in turn, and each player's best of the first 1, 2, 4, 8, 16 runs is scored by regret: 0 for the
best configuration of the core, 1 for its median, 2 for a failure. Printed beside the means are
ours over the portfolio's and over the width rule's, each with its paired bootstrap interval over
datasets, Kendall's tau and the coverage of 90 % intervals; the same over real datasets only; and
regret by the time that is spent, in runs of the default, and by base model.

Peers: random; the default LoRA; the default at the width rule's rate; what OpenAI's fine-tuning
endpoint documented as its automatic choice (4 epochs, batches of 0.2 % of the examples, at most
256: CreateFineTuneRequest in OpenAI's API description), at the width rule's rate, since its own is
a multiple of a rate it does not tell; best average; greedy portfolio; Syne Tune's zero-shot
recommender, where an interpreter that has it is given (`recommender_syne_tune.py`).

--honesty prints what happens to the answer where features say nothing (shuffled over datasets),
where a dataset is copied fifty times, and where a base model is left out with the dataset.
"""

import argparse
import json
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from recommender_honesty import print_honesty
from recommender_picture import draw
from recommender_syne_tune import orders

from metadata.arrays import Floats
from metadata.evaluation import OWN_RULES, Evaluation, evaluate_table, rule_of
from metadata.held_out import Rule
from metadata.kinds import KINDS, Kind, restrict
from metadata.records import Configuration, Task
from metadata.runs_file import SHIPPED_RUNS, read_runs
from metadata.space import width_rule_configuration
from metadata.spending import BUDGETS
from metadata.surrogates.leanings import change_left_out
from metadata.surrogates.portfolio import scenarios_of
from metadata.surrogates.rehearsal import COUNTS, rehearse
from metadata.surrogates.scenarios import balance, best_so_far, fill
from metadata.table import Table, build_table

OPENAI_EPOCHS, OPENAI_SHARE, OPENAI_LARGEST = 4.0, 0.002, 256
GENERATED = "generated-"
SYNE_TUNE = "syne_tune_zero_shot"
DRAWS = 10_000


def openai_auto(task: Task) -> Configuration:
    """Return the width rule's configuration with epochs and batch as OpenAI's endpoint chose."""
    batch = int(np.clip(round(OPENAI_SHARE * task.dataset.examples), 1, OPENAI_LARGEST))
    return width_rule_configuration(task).model_copy(
        update={"epochs": OPENAI_EPOCHS, "batch_size": batch}
    )


RULES: Mapping[str, Rule] = {**OWN_RULES, "openai_auto": rule_of(openai_auto)}


def main() -> int:
    """Print a table for each kind of question."""
    options = _parse()
    table = build_table(read_runs(options.runs))
    played = evaluate_table(table, RULES, kinds=options.kinds, draws=DRAWS)
    for kind in options.kinds if table.rows else ():
        print(f"{kind}, by base model:")
        _print_by_base(restrict(table, kind))
    if options.syne_tune_python:
        played = {
            kind: _with_syne_tune(result, restrict(table, kind), options.syne_tune_python)
            for kind, result in played.items()
        }
    found: dict[str, Any] = {
        kind: result.to_json() | {"ratios": _print(kind, result, table)}
        for kind, result in played.items()
    }
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    if options.plot:
        draw(options.plot, found)
    if options.honesty:
        print_honesty(table)
    return 0


def _with_syne_tune(result: Evaluation, table: Table, python: Path) -> Evaluation:
    """Return an evaluation with Syne Tune among the players, on the same datasets."""
    scenarios = scenarios_of(table)
    others = [scenarios.group_T != group for group in result.groups]
    filled = [
        fill(scenarios.regret_TK[mask_T], balance(scenarios.group_T[mask_T])) for mask_T in others
    ]
    said = orders(python, [one.tolist() for one in filled])
    by_dataset = []
    for group, order in zip(result.groups, said, strict=True):
        pairs = np.flatnonzero(scenarios.group_T == group)
        tried = [[k for k in order if np.isfinite(scenarios.regret_TK[pair, k])] for pair in pairs]
        regrets = [
            best_so_far(scenarios.regret_TK[pair], columns, COUNTS)
            for pair, columns in zip(pairs, tried, strict=True)
        ]
        by_dataset.append(np.mean(regrets, axis=0))
    mean_Q, median_Q = np.mean(by_dataset, axis=0), np.median(by_dataset, axis=0)
    return replace(
        result,
        regret={**result.regret, SYNE_TUNE: dict(zip(COUNTS, mean_Q.tolist(), strict=True))},
        median={**result.median, SYNE_TUNE: dict(zip(COUNTS, median_Q.tolist(), strict=True))},
        by_dataset={**result.by_dataset, SYNE_TUNE: np.array(by_dataset)},
    )


def _print(kind: Kind, result: Evaluation, table: Table) -> dict[str, Any]:
    print(f"\n{kind}: {result.datasets} datasets, {result.pairs} pairs, {result.rows} rows")
    print(f"{'regret of the best of the first':34}" + "".join(f"{k:>8}" for k in COUNTS))
    for name, by_count in result.regret.items():
        print(f"  {name:32}" + "".join(f"{by_count[k]:8.3f}" for k in COUNTS))
    print(f"{'regret in the time of default runs':34}" + "".join(f"{k:>8}" for k in BUDGETS))
    for name, by_budget in result.regret_by_budget.items():
        print(f"  {name:32}" + "".join(f"{by_budget[k]:8.3f}" for k in BUDGETS))
    real = np.array([not name.startswith(GENERATED) for name in _groups(table, result)])
    ratios = {}
    for where, mask in (("all", np.ones(len(real), dtype=bool)), ("real", real)):
        for peer, count in (("portfolio", 1), ("width_rule", 1), ("portfolio", 4)):
            ratios[f"{where}, {peer}, {count}"] = _ratio(result, mask, peer, count)
    for name, (ratio, low, high) in ratios.items():
        print(f"  ours / peer, {name:24} {ratio:6.3f} ({low:.3f} to {high:.3f})")
    print(f"  Kendall's tau {_spread(result.tau)}; 90 % intervals hold {_spread(result.coverage)}")
    chosen = ", ".join(f"{n} x ({name})" for name, n in result.stands_on.items())
    print(f"  first runs inside the folds: {chosen}")
    return ratios


def _print_by_base(allowed: Table) -> None:
    """Print what one and two runs find on each base model, whatever is proven."""
    scenarios = scenarios_of(allowed)
    played = [
        rehearse(scenarios, counts=(1, 2), change_TK=change)
        for change in (None, change_left_out(scenarios))
    ]
    base_T = np.array([allowed.tasks[pair].model.id for pair in allowed.usable])
    for base in np.unique(base_T):
        (of_portfolio, ours) = (one[base_T == base].mean(axis=0) for one in played)
        said = " and ".join(
            f"{theirs:.3f} to {own:.3f}" for theirs, own in zip(of_portfolio, ours, strict=True)
        )
        print(f"  {base}, {(base_T == base).sum()} tasks, portfolio to ours at 1 and 2: {said}")


def _groups(table: Table, result: Evaluation) -> list[str]:
    return [table.groups[group] for group in result.groups]


def _ratio(
    result: Evaluation, mask: np.ndarray, peer: str, count: int
) -> tuple[float, float, float]:
    """Return mean regret over the peer's with the interval over datasets drawn again."""
    place = COUNTS.index(count)
    ours, theirs = (result.by_dataset[name][mask, place] for name in ("ours", peer))
    if not len(ours):
        return float("nan"), float("nan"), float("nan")
    drawn = np.random.default_rng(0).integers(len(ours), size=(DRAWS, len(ours)))
    ratios: Floats = ours[drawn].mean(axis=1) / np.maximum(theirs[drawn].mean(axis=1), 1e-9)
    low, high = np.quantile(ratios, (0.05, 0.95))
    return float(ours.mean() / max(theirs.mean(), 1e-9)), float(low), float(high)


def _spread(one: Any) -> str:
    return f"{one.mean:.3f} ({one.low:.3f} to {one.high:.3f})"


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=Path, default=SHIPPED_RUNS)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--honesty", action="store_true")
    parser.add_argument("--syne-tune-python", type=Path, help="the interpreter that has Syne Tune")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
