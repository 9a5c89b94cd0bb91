"""What the recommender does where there is nothing to learn, or where evidence is lopsided."""

from dataclasses import replace

import numpy as np

from metadata.evaluation import OWN_RULES, evaluate_table
from metadata.held_out import fit_proven, make_round
from metadata.left_out_models import leave_models_out
from metadata.records import Run
from metadata.table import Table, build_table

COPIES = 50


def print_honesty(table: Table) -> None:
    """Print shuffled features, a copied dataset, and a base model left out with the dataset."""
    strange = shuffle_features(table, seed=0)
    shuffled = evaluate_table(strange, OWN_RULES, draws=100)["free"].regret
    print("\nfeatures of datasets shuffled: regret of the first run")
    print(f"  ours {shuffled['ours'][1]:.3f}, portfolio {shuffled['portfolio'][1]:.3f}")
    moved, asked = copies_move(table)
    print(f"a dataset copied {COPIES} times: {moved} of {asked} first picks elsewhere move")
    if len({task.model.id for task in table.tasks}) > 1:
        ratio = leave_models_out(table).ratio
        print("base model left out with the dataset: ours at 1 over that with the model known")
        print(f"  {ratio.mean:.2f} ({ratio.low:.2f} to {ratio.high:.2f})")


def shuffle_features(table: Table, *, seed: int) -> Table:
    """Give every dataset the features of another."""
    rng = np.random.default_rng(seed)
    first = {group: np.flatnonzero(table.group_P == group) for group in np.unique(table.group_P)}
    groups = list(first)
    other = dict(zip(groups, rng.permutation(groups), strict=True))
    source_P = np.array([rng.choice(first[other[group]]) for group in table.group_P])
    task_PT = table.task_PT[source_P]
    X_NF = table.X_NF.copy()
    X_NF[:, : task_PT.shape[1]] = task_PT[table.pair_N]
    return replace(table, task_PT=task_PT, X_NF=X_NF)


def copies_move(table: Table) -> tuple[int, int]:
    """Return how many first picks on other datasets change where one dataset is there 50 times."""
    group = int(table.group_P[table.usable[0]])
    rest = [int(pair) for pair in table.usable if table.group_P[pair] != group]
    asked = sorted({int(table.group_P[pair]) for pair in rest})[:5]
    moved = 0
    for other in asked:
        known = [run for run in table.runs if run.task.dataset.group != table.groups[other]]
        copied = [*known, *_copies(known, table.groups[group])]
        pair = next(p for p in rest if table.group_P[p] == other)
        picks = [
            make_round(table, pair, fit_proven(build_table(runs), 0)[0]).ours[0]
            for runs in (known, copied)
        ]
        moved += picks[0] != picks[1]
    return moved, len(asked)


def _copies(runs: list[Run], group: str) -> list[Run]:
    return [
        run.model_copy(
            update={
                "id": f"{run.id}-{number}",
                "task": run.task.model_copy(
                    update={
                        "dataset": run.task.dataset.model_copy(
                            update={"name": f"copy-{number}", "group": f"copy-{number}"}
                        )
                    }
                ),
            }
        )
        for number in range(1, COPIES)
        for run in runs
        if run.task.dataset.group == group
    ]
