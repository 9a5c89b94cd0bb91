"""Leave-one-dataset-out: who wins in worlds whose rule is known, and nothing leaks."""

import json
from types import ModuleType

import numpy as np
import pytest

from metadata.errors import TooFewRuns
from metadata.evaluation import OWN_RULES, Evaluation, bootstrap, evaluate
from metadata.held_out import make_round
from metadata.records import Run
from metadata.surrogates.quality import fit
from metadata.table import build_table, without_groups


@pytest.fixture(scope="module")
def runs(world: ModuleType) -> list[Run]:
    made: list[Run] = world.make_runs(datasets=8, extras=3)
    return made


@pytest.fixture(scope="module")
def result(runs: list[Run]) -> Evaluation:
    return evaluate(runs, draws=500)["free"]


def test_where_tasks_differ_by_rule_ours_beats_the_portfolio_and_that_beats_random(
    result: Evaluation,
) -> None:
    at_1 = {name: by_count[1] for name, by_count in result.regret.items()}

    assert at_1["ours"] < 0.5 * at_1["portfolio"]
    assert at_1["portfolio"] < at_1["random"]
    assert result.difference[1].high < 0


def test_random_has_the_mean_regret_of_the_core_at_1(result: Evaluation, runs: list[Run]) -> None:
    assert result.regret["random"][1] == pytest.approx(build_table(runs).core_regret.mean())


def test_best_average_and_portfolio_agree_on_the_first_run(result: Evaluation) -> None:
    assert result.regret["best_average"][1] == pytest.approx(result.regret["portfolio"][1])


def test_forecasts_are_ranked_and_covered_as_they_should_be(result: Evaluation) -> None:
    assert result.tau.mean > 0.5
    assert result.coverage.low < 0.95
    assert result.coverage.high > 0.85
    assert result.time is not None
    assert result.time.median_error < 0.15
    assert result.memory is not None
    assert result.memory.median_error < 0.05
    assert result.memory.coverage.high > 0.85


def test_json_has_the_agreed_shape(result: Evaluation) -> None:
    said = json.loads(json.dumps(result.to_json(), allow_nan=False))

    assert said["tasks"] == 8
    assert set(said["regret"]) == {
        "random",
        "default",
        "width_rule",
        "best_average",
        "portfolio",
        "ours",
    }
    assert set(said["regret"]["ours"]) == {"1", "2", "4", "8", "16"}
    assert set(said["regret_by_budget"]) == set(said["regret"])
    assert set(said["regret_by_budget"]["ours"]) == {"1", "2", "4", "8", "16"}


def test_the_left_out_dataset_teaches_nothing(runs: list[Run]) -> None:
    """Turn one dataset's scores upside down: what the lists for it are must not change."""
    upside_down = [_mirrored(run) if run.task.dataset.group == "world-03" else run for run in runs]

    orders = []
    for some in (runs, upside_down):
        table = build_table(some)
        pair = next(int(p) for p in table.usable if table.tasks[int(p)].dataset.group == "world-03")
        game = make_round(table, pair, fit(without_groups(table, [3]), 0))
        orders.append((game.ours.tolist(), game.portfolio.tolist()))
    assert orders[0] == orders[1]


def test_both_lists_go_through_all_that_was_tried(runs: list[Run]) -> None:
    table = build_table(runs)
    pair = int(table.usable[0])

    game = make_round(table, pair, fit(table, 0), OWN_RULES)

    everything = list(range(len(game.regret_K)))
    assert sorted(game.ours.tolist()) == sorted(game.portfolio.tolist()) == everything


def test_a_run_without_a_time_costs_the_median_and_the_default_costs_one(runs: list[Run]) -> None:
    table = build_table([_untimed(run) if run.configuration.epochs > 3 else run for run in runs])
    pair = int(table.usable[0])

    game = make_round(table, pair, fit(table, 0), OWN_RULES)
    unruled = make_round(table, pair, fit(table, 0))

    assert game.cost_K is not None
    assert game.cost_K[game.firsts["default"]] == 1.0
    assert (game.cost_K > 0).all()
    assert unruled.cost_K is None  # nothing says what the default is


def _untimed(run: Run) -> Run:
    """Return a run that used no time, as one that failed before its first step."""
    if run.costs is None:
        return run
    nothing = {"train_seconds": 0.0, "train_cpu_seconds": 0.0}
    return run.model_copy(update={"costs": run.costs.model_copy(update=nothing)})


def _mirrored(run: Run) -> Run:
    if run.scores is None:
        return run
    gain = run.scores.base_loss - run.scores.best_loss
    loss = run.scores.base_loss - 2.0 + gain
    scores = run.scores.model_copy(update={"best_loss": loss, "last_loss": loss})
    return run.model_copy(update={"scores": scores})


def test_peft_only_leaves_full_fine_tuning_out(runs: list[Run]) -> None:
    def as_full(run: Run) -> Run:
        configuration = run.configuration.model_copy(
            update={"method": run.configuration.method.model_copy(update={"name": "full"})}
        )
        return run.model_copy(update={"configuration": configuration, "id": f"full-{run.id[:20]}"})

    groups = sorted({run.task.dataset.group for run in runs})[:5]
    few = [r for r in runs if r.task.dataset.examples == 60 and r.task.dataset.group in groups]
    added = [as_full(run) for run in few if run.core]

    with_full = evaluate([*few, *added], kinds=["peft", "free"], draws=50)
    without = evaluate(few, draws=50)["free"].regret

    for name in ("random", "best_average", "portfolio"):
        assert with_full["peft"].regret[name] == pytest.approx(without[name])
    assert with_full["free"].regret["random"][4] != pytest.approx(without["random"][4])


def test_one_dataset_is_too_few(world: ModuleType) -> None:
    with pytest.raises(TooFewRuns, match="at least 4 datasets"):
        evaluate(world.make_runs(datasets=1, extras=0))


def test_bootstrap_is_as_wide_as_the_standard_error_says() -> None:
    value_G = np.random.default_rng(2).normal(1.0, 0.5, size=40)

    spread = bootstrap(value_G, rng=np.random.default_rng(0), draws=5000)

    assert spread.mean == pytest.approx(value_G.mean())
    expected = 2 * 1.645 * value_G.std() / np.sqrt(40)
    assert spread.high - spread.low == pytest.approx(expected, rel=0.1)
