"""What runs show together, on both databases: seeds, knobs, failures, coverage, fronts."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from sqlalchemy import Engine

from metadata.browsing import Browser, View
from metadata.database import open_database
from metadata.errors import TooFewRuns
from metadata.history import History
from metadata.notes import Notes
from metadata.records import Choice, Configuration, OptimizerChoice, Run, Scores, Task
from metadata.showing.coverage import coverage
from metadata.showing.failures import failures
from metadata.showing.importance import importance
from metadata.showing.repeats import repeated
from metadata.showing.together import unbeaten

EVERY = View()


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    engine = open_database(database_url)
    yield engine
    engine.dispose()


def configuration(**values: Any) -> Configuration:
    usual: dict[str, Any] = {
        "method": Choice(name="lora", r=8, lora_alpha=16),
        "optimizer": OptimizerChoice(name="adamw", learning_rate=2e-4),
    }
    return Configuration(**(usual | values))


def scored(score: float) -> Scores:
    return Scores(base_loss=3.0, best_loss=3.0 - score, last_loss=3.0)


def kept(engine: Engine, runs: list[Run]) -> Browser:
    History(engine).add_many(runs)
    return Browser(engine)


def test_seeds_are_grouped_with_mean_and_spread(engine: Engine, make_run: Any) -> None:
    scores = [0.5, 0.7, 0.9]
    runs = [
        make_run(n, configuration=configuration(seed=n), scores=scored(score))
        for n, score in enumerate(scores)
    ]
    runs.append(make_run(3, configuration=configuration(seed=3), scores=None, state="failed"))
    runs.append(make_run(4, configuration=configuration(epochs=9), scores=scored(0.1)))
    runs += [
        make_run(n, configuration=configuration(epochs=7, seed=n), scores=scored(n / 100))
        for n in (5, 6)
    ]

    found = repeated(kept(engine, runs), EVERY)

    first, second = found.groups
    assert first.run_ids == tuple(run.id for run in runs[:4])
    assert (first.seeds, first.scored, first.failed) == ((0, 1, 2, 3), 3, 1)
    assert first.mean == pytest.approx(0.7)
    assert first.spread == pytest.approx(np.std(scores, ddof=1))
    assert (first.lowest, first.highest) == (pytest.approx(0.5), pytest.approx(0.9))
    assert second.run_ids == (runs[5].id, runs[6].id)
    variances = [(2, np.var(scores, ddof=1)), (1, np.var([0.05, 0.06], ddof=1))]
    pooled = sum(count * variance for count, variance in variances) / 3
    assert found.noise == pytest.approx(pooled**0.5)
    assert (found.runs, found.degrees_of_freedom) == (7, 3)


def test_without_repeats_nothing_is_said_of_noise(engine: Engine, make_run: Any) -> None:
    found = repeated(kept(engine, [make_run(0)]), EVERY)

    assert (found.groups, found.noise, found.runs) == ((), None, 1)


def test_failures_meet_by_reason_whatever_the_numbers(engine: Engine, make_run: Any) -> None:
    runs = [
        make_run(n, state="diverged", reason=f"NaN at step {17 * n + 1:,}.", scores=None)
        for n in range(12)
    ]
    runs += [make_run(20, state="failed", reason="", scores=None), make_run(21), make_run(22)]

    found = failures(kept(engine, runs), EVERY)

    assert [(one.state, one.reason, one.runs) for one in found.reasons] == [
        ("diverged", "NaN at step #.", 12),
        ("failed", "", 1),
    ]
    assert found.reasons[0].example.startswith("NaN at step ")
    assert set(found.reasons[0].run_ids) <= {run.id for run in runs[:12]}
    assert (found.runs, found.failed) == (15, 13)
    assert found.failed_by_method == {"lora": (13, 15)}


def worth(rank: int, rate: float, rng: np.random.Generator) -> float:
    """Return a score that the rate decides, the rank a little, dropout and epochs not at all."""
    rate_part = -((np.log2(rate) + 12) ** 2)
    return float(rate_part + 0.3 * np.log2(rank) + rng.normal(0, 0.05))


def made_runs(make_run: Any, count: int) -> list[Run]:
    rng = np.random.default_rng(0)
    runs = []
    for number in range(count):
        rank, rate = int(2 ** rng.integers(1, 7)), float(2.0 ** -rng.integers(9, 16))
        method = Choice(name="lora", r=rank, lora_dropout=float(rng.uniform(0, 0.3)))
        chosen = configuration(
            method=method,
            optimizer=OptimizerChoice(name="adamw", learning_rate=rate),
            epochs=float(rng.uniform(1, 20)),
        )
        score = worth(rank, rate, rng)
        runs.append(make_run(number, points=0, configuration=chosen, scores=scored(score)))
    return runs


def test_the_knob_that_decides_is_the_most_important(engine: Engine, make_run: Any) -> None:
    (found,) = importance(kept(engine, made_runs(make_run, 200)), EVERY)

    assert found.explained > 0.7
    assert found.knobs[0].name == "configuration.optimizer.learning_rate"
    shares = {knob.name: knob.importance for knob in found.knobs}
    assert shares["configuration.optimizer.learning_rate"] > 0.7
    assert shares["configuration.method.r"] > shares["configuration.epochs"]
    assert abs(shares["configuration.method.lora_dropout"]) < 0.1
    assert (found.runs, found.advice, found.dataset) == (200, "", None)
    assert "configuration.seed" not in shares
    assert "configuration.precision" not in shares  # it never varied


def test_chance_is_not_taken_for_importance(engine: Engine, make_run: Any) -> None:
    rng = np.random.default_rng(1)
    runs = [
        run.model_copy(update={"scores": scored(float(rng.normal()))})
        for run in made_runs(make_run, 80)
    ]

    (found,) = importance(kept(engine, runs), EVERY)

    assert found.explained < 0.1
    assert "more than chance" in found.advice


def test_too_few_runs_say_nothing_of_importance(engine: Engine, make_run: Any) -> None:
    with pytest.raises(TooFewRuns, match=r"needs 30 scored runs.*got 12"):
        importance(kept(engine, made_runs(make_run, 12)), EVERY)


def test_each_dataset_has_its_own_importance(engine: Engine, make_run: Any) -> None:
    found = importance(kept(engine, made_runs(make_run, 60)), EVERY, by_dataset=True)

    assert [one.dataset for one in found] == [None, "trec"]
    assert "60 runs are few" in found[1].advice


def test_a_dataset_of_few_configurations_is_left_out_alone(engine: Engine, make_run: Any) -> None:
    same = configuration(epochs=2.0)
    other = configuration(epochs=4.0)
    dataset = replace_dataset(make_run(0).task, "alike")
    alike = [
        make_run(
            1000 + n, configuration=other if n % 2 else same, scores=scored(0.1 * n)
        ).model_copy(update={"task": dataset})
        for n in range(40)
    ]

    found = importance(kept(engine, [*made_runs(make_run, 60), *alike]), EVERY, by_dataset=True)

    assert [one.dataset for one in found] == [None, "trec"]


def replace_dataset(task: Task, group: str) -> Task:
    dataset = task.dataset.model_copy(update={"group": group, "name": group, "sha256": "c" * 64})
    return task.model_copy(update={"dataset": dataset})


def test_coverage_holds_what_was_seen_against_the_space(engine: Engine, make_run: Any) -> None:
    runs = [
        make_run(n, configuration=configuration(method=Choice(name="lora", r=rank), epochs=epochs))
        for n, (rank, epochs) in enumerate([(1, 1.0), (16, 2.0), (16, 4.0)])
    ]
    runs.append(make_run(9, configuration=configuration(method=Choice(name="ia3")), scores=None))

    found = coverage(kept(engine, runs), EVERY)

    knobs = {(knob.name, knob.entry): knob for knob in found.knobs}
    rank = knobs["configuration.method.r", "lora"]
    assert (rank.low, rank.high, rank.space_low, rank.space_high) == (1, 16, 1, 256)
    assert rank.share == pytest.approx(0.5)  # by logarithm: 4 doublings of 8
    assert (rank.runs, rank.distinct, rank.values) == (3, 2, {"16": 2, "1": 1})
    modules = knobs["configuration.target_modules", None]
    assert modules.values == {"all-linear": 4}
    assert "qv" in modules.unseen
    assert modules.share == pytest.approx(0.25)
    assert knobs["configuration.precision", None].share is None
    assert knobs["rate_ratio", None].runs == 4
    assert (found.methods["lora"].runs, found.methods["ia3"].scored, found.runs) == (3, 0, 4)
    assert {"dora", "full"} <= set(found.untried_methods)
    assert "lora" not in found.untried_methods


def test_archived_runs_show_nothing(engine: Engine, make_run: Any) -> None:
    browser = kept(engine, [make_run(0), make_run(1, state="failed", scores=None)])
    Notes(engine).change("run-00001", archived=True)

    assert failures(browser, EVERY).failed == 0
    assert coverage(browser, EVERY).runs == 1


def test_an_empty_history_shows_nothing(engine: Engine) -> None:
    browser = Browser(engine)

    assert repeated(browser, EVERY).groups == ()
    assert failures(browser, EVERY).reasons == ()
    assert coverage(browser, EVERY).knobs == ()
    assert browser.front(EVERY, cost="train_seconds", gain="score") == []
    with pytest.raises(TooFewRuns):
        importance(browser, EVERY)


def test_the_front_is_that_of_all_points(engine: Engine, make_run: Any) -> None:
    rng = np.random.default_rng(0)
    runs = []
    for number in range(120):  # of few values, so that many are equal
        cost, gain = float(rng.integers(1, 12)), float(rng.integers(0, 9))
        costs = (
            None if number % 9 == 0 else make_run().costs.model_copy(update={"train_seconds": cost})
        )
        scores = None if number % 11 == 0 else scored(gain)
        runs.append(make_run(number, points=0, costs=costs, scores=scores))
    browser = kept(engine, runs)

    for where in ("", "seed = 0", "train_seconds > 4"):
        found = browser.front(View(filter=where), cost="train_seconds", gain="score")
        points = browser.columns(View(filter=where), ["train_seconds", "score"])
        assert [one[0] for one in found] == unbeaten(points)
        assert found
