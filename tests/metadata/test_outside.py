"""Tables of other makes, played through the engine."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from metadata.__main__ import main
from metadata.errors import InvalidRequest, TooFewRuns
from metadata.evaluation import Evaluation, evaluate_table
from metadata.outside import OUTSIDE_RULES, read_table
from metadata.outside.rules import nearest_to_medians

TASKS, RATES, RANKS = 10, np.geomspace(1e-5, 1e-1, 9), (2, 8, 32)
Columns = dict[str, list[Any]]


def columns_of(*, tasks: int = TASKS, seed: int = 0, is_shuffled: bool = False) -> Columns:
    """Return a table where a feature of the task says which rate is best."""
    rng = np.random.default_rng(seed)
    places = np.linspace(-1.0, 1.0, tasks)
    told = rng.permutation(places) if is_shuffled else places
    rows = [
        {
            "task": f"task-{number:02}",
            "configuration_id": f"{rate:.1e}-{rank}",
            "step": step,
            "score": -((np.log10(rate) + 3.0 - 2.0 * place) ** 2) * step + 0.01 * rng.normal(),
            "seconds": 10.0 * step,
            "config.rate": rate,
            "config.rank": rank,
            "config.kind": "wide" if rank > 8 else None,
            "config.packs": rank >= 8,
            "feature.place": float(told[number]),
        }
        for number, place in enumerate(places)
        for rate in RATES
        for rank in RANKS
        for step in (1, 2)
    ]
    return {name: [row[name] for row in rows] for name in rows[0]}


@pytest.fixture
def write(tmp_path: Path) -> Callable[[Columns], Path]:
    def write(columns: Columns) -> Path:
        path = tmp_path / "table.parquet"
        pq.write_table(pa.table(columns), path)
        return path

    return write


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Evaluation:
    path = tmp_path_factory.mktemp("outside") / "table.parquet"
    pq.write_table(pa.table(columns_of()), path)
    return evaluate_table(read_table(path), OUTSIDE_RULES)["free"]


def test_what_a_feature_tells_is_learnt(result: Evaluation) -> None:
    assert result.datasets == TASKS
    assert result.regret["ours"][1] < 0.6 * result.regret["portfolio"][1]
    assert result.difference[1].high < 0


def test_features_of_other_tasks_make_it_the_portfolio(
    write: Callable[[Columns], Path],
) -> None:
    table = read_table(write(columns_of(is_shuffled=True)))

    shuffled = evaluate_table(table, OUTSIDE_RULES)["free"].regret

    assert shuffled["ours"][1] <= shuffled["portfolio"][1] + 0.01


def test_the_score_is_that_of_the_last_step(write: Callable[[Columns], Path]) -> None:
    columns = columns_of(tasks=4)
    table = read_table(write(columns))

    last = [s for s, step in zip(columns["score"], columns["step"], strict=True) if step == 2]

    assert sorted(table.score_N) == pytest.approx(sorted(last))


def test_the_default_is_nearest_the_medians(write: Callable[[Columns], Path]) -> None:
    table = read_table(write(columns_of(tasks=4)))
    rows = np.flatnonzero(table.pair_N == 0)

    first = table.keys[table.key_N[rows[nearest_to_medians(table, rows)]]]

    assert first == repr((float(RATES[4]), 8.0, None, 1.0))


def test_a_failed_run_has_the_worst_regret(write: Callable[[Columns], Path]) -> None:
    columns = columns_of(tasks=4)
    columns["score"][:2] = [None, None]
    table = read_table(write(columns))

    assert 2.0 in table.regret_N[table.pair_N == 0]
    assert np.isnan(table.score_N[table.pair_N == 0]).sum() == 1


def test_on_tasks_without_features_ours_begins_as_the_portfolio(
    write: Callable[[Columns], Path],
) -> None:
    columns = columns_of(tasks=6)
    del columns["feature.place"], columns["seconds"]

    regret = evaluate_table(read_table(write(columns)), OUTSIDE_RULES)["free"].regret

    assert regret["ours"][1] == pytest.approx(regret["portfolio"][1])


def test_the_command_writes_the_agreed_figures(
    write: Callable[[Columns], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, output = write(columns_of(tasks=5)), tmp_path / "figures.json"

    assert main(["evaluate", "--table", str(path), "--json", str(output)]) == 0

    said = json.loads(output.read_text())
    assert said["tasks"] == 5
    assert set(said["regret"]) == {"random", "default", "best_average", "portfolio", "ours"}
    assert set(said["regret"]["ours"]) == {"1", "2", "4", "8", "16"}
    assert "greedy portfolio" in capsys.readouterr().out


def _without(name: str) -> Callable[[Columns], None]:
    return lambda columns: columns.__delitem__(name)


def _with(name: str, values: Callable[[list[Any]], list[Any]]) -> Callable[[Columns], None]:
    return lambda columns: columns.__setitem__(name, values(columns[name]))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (_without("score"), "needs the columns"),
        (_with("score", lambda v: ["good"] * len(v)), "score of a table holds numbers"),
        (_with("step", lambda v: [0] * len(v)), "whole number from 1"),
        (_with("step", lambda v: [1] * len(v)), "stands once"),
        (_with("task", lambda v: [None, *v[1:]]), "has a value in every row"),
        (_with("feature.place", lambda v: [9.0, *v[1:]]), "the same in every row of a task"),
        (_with("feature.place", lambda v: ["x"] * len(v)), "holds numbers, got string"),
    ],
)
def test_a_spoilt_table_is_refused_with_the_rule(
    write: Callable[[Columns], Path], spoil: Callable[[Columns], None], said: str
) -> None:
    columns = columns_of(tasks=4)
    spoil(columns)

    with pytest.raises(InvalidRequest, match=said):
        read_table(write(columns))


def test_what_is_no_parquet_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    path.write_text("task,score\n")

    with pytest.raises(InvalidRequest, match="readable Parquet file"):
        read_table(path)


def test_tasks_that_share_no_configuration_are_refused(
    write: Callable[[Columns], Path],
) -> None:
    columns = columns_of(tasks=4)
    columns["config.rate"] = [float(n // 2) for n in range(len(columns["task"]))]

    with pytest.raises(TooFewRuns, match="run on at least 4 tasks"):
        read_table(write(columns))
