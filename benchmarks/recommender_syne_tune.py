"""Syne Tune's zero-shot recommender as a peer, run by an interpreter of its own.

    python -m venv FOLDER; FOLDER/bin/pip install syne-tune==0.16.0 huggingface_hub s3fs fastparquet
    python benchmarks/recommender.py --syne-tune-python FOLDER/bin/python

Its package pins other versions than ours, so that this file is both: what `recommender.py` asks,
and, run by that interpreter, what answers. Nothing of ours is imported there.

`ZeroShotTransfer` (Wistuba, Schilling, Schmidt-Thieme, ICDM 2015) orders configurations that all
past tasks have tried by the mean rank of the best so far; what was not run has its mean. Its
surrogates, off as it sets them by default, are for tasks that tried different configurations.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

Regrets = Sequence[Sequence[float]]  # of each past pair, by configuration


def orders(python: Path, tables: Sequence[Regrets]) -> list[list[int]]:
    """Return the order of configurations that each table of past regrets gives, or exit."""
    asked = json.dumps([[list(row) for row in table] for table in tables])
    try:
        done = subprocess.run(
            [str(python), __file__], input=asked, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError) as error:
        told = str(getattr(error, "stderr", None) or error).strip().splitlines()[-1]
        sys.exit(f"--syne-tune-python must be a Python that has syne-tune, got: {told}")
    said: list[list[int]] = json.loads(done.stdout.splitlines()[-1])
    return said


def _answer() -> None:
    # Only the other interpreter has these, so that ours cannot check their types.
    from syne_tune.config_space import choice  # type: ignore[import-not-found]
    from syne_tune.optimizer.schedulers.transfer_learning import (  # type: ignore[import-not-found]
        zero_shot,
    )

    said = [
        _order(table, choice=choice, zero_shot=zero_shot) for table in json.loads(sys.stdin.read())
    ]
    print(json.dumps(said))


def _order(table: Regrets, *, choice: Any, zero_shot: Any) -> list[int]:
    import numpy as np
    import pandas as pd  # type: ignore[import-untyped]

    count = len(table[0])
    space = {"configuration": choice(list(range(count)))}
    tasks = {
        str(task): zero_shot.TransferLearningTaskEvaluations(
            configuration_space=space,
            hyperparameters=pd.DataFrame({"configuration": range(count)}),
            objectives_names=["regret"],
            objectives_evaluations=np.array(row).reshape(count, 1, 1, 1),
        )
        for task, row in enumerate(table)
    }
    scheduler = zero_shot.ZeroShotTransfer(space, "regret", tasks, random_seed=0)
    return [int(scheduler.get_config()["configuration"]) for _ in range(count)]


if __name__ == "__main__":
    _answer()
