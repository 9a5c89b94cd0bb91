"""Imported runs teach only where they say all that learning needs."""

import numpy as np
import pytest

from metadata.records import Origin, Run
from metadata.runs_file import SHIPPED_RUNS, read_runs
from metadata.table import build_table
from metadata.teaching import can_teach, teaching


@pytest.fixture(scope="module")
def shipped() -> list[Run]:
    return [run for run in read_runs(SHIPPED_RUNS) if run.score is not None][:400]


def imported(run: Run, gaps: str, **changes: object) -> Run:
    origin = Origin(source="csv", detail="runs.csv, row 2", gaps=gaps)
    name = {"id": f"imported-{run.id}"[:64], "origin": origin, "core": False}
    return run.model_copy(update={**name, **changes})


@pytest.mark.parametrize(
    ("gaps", "teaches"),
    [
        ("", True),
        ("created_at", True),
        ("costs.eval_seconds, costs.peak_device_bytes, created_at", True),
        ("task.device", False),
        ("configuration.method, created_at", False),
        ("created_at, task.dataset", False),
    ],
)
def test_a_run_teaches_where_no_gap_touches_what_is_learnt(
    shipped: list[Run], gaps: str, teaches: bool
) -> None:
    assert can_teach(imported(shipped[0], gaps)) is teaches


def test_runs_with_gaps_change_no_table(shipped: list[Run]) -> None:
    worse = [
        imported(run, "task.dataset", configuration=run.configuration.model_copy(
            update={"method": run.configuration.method.model_copy(update={"name": "no-such"})}
        ))
        for run in shipped[:20]
    ]  # fmt: skip

    before, after = build_table(shipped), build_table([*shipped, *worse])

    assert after.runs == before.runs
    np.testing.assert_array_equal(after.regret_N, before.regret_N)


def test_a_run_without_a_score_beside_a_core_does_not_count_as_one_that_failed(
    shipped: list[Run],
) -> None:
    core = next(run for run in shipped if run.core)
    unscored = imported(core, "", scores=None)

    assert unscored not in teaching([*shipped, unscored])
    np.testing.assert_array_equal(
        build_table([*shipped, unscored]).regret_N, build_table(shipped).regret_N
    )


def test_a_run_without_a_score_on_data_of_its_own_teaches_costs(shipped: list[Run]) -> None:
    task = shipped[0].task
    elsewhere = task.model_copy(
        update={"dataset": task.dataset.model_copy(update={"sha256": "c" * 64, "group": "own"})}
    )
    unscored = imported(shipped[0], "", scores=None, task=elsewhere)

    assert unscored in teaching([*shipped, unscored])
    assert unscored in build_table([*shipped, unscored]).runs
