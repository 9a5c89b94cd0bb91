import json
import multiprocessing
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from metadata.features.device import find_device
from metadata.features.model import find_model
from metadata.messages import Limits
from metadata.priors import rate_ratio
from metadata.records import Run, RunState, Scores
from metadata.relative import relative_key
from metadata.runs_file import read_runs
from metadata.space import check
from metadata.table import build_table
from training_worker import campaign
from training_worker.campaigns.core import DEFAULT, SCREENING, WIDTH_RULE, core_configurations
from training_worker.campaigns.pairs import Pair, affordable_pairs, find_pairs, seconds_of_core
from training_worker.campaigns.plan import (
    BEST,
    BUDGETS,
    HIGH_RATIOS,
    MOST_STEPS,
    SECOND_SEED,
    SPREAD,
    TOKENS,
    WINNERS,
    Item,
    core,
    limits,
    near,
    plan_items,
    run_id,
    seeds,
    spread,
)
from training_worker.campaigns.pool import work_off
from training_worker.campaigns.results import Results
from training_worker.campaigns.shards import append, done_ids, new_shard, read_shards
from training_worker.campaigns.sources import find_sources
from training_worker.campaigns.work import do, failed

SECRET = "zanzibar"  # a word of every prompt, which no run may tell
TINY = "peftwise-tiny"
PAIRS = 2 * 3  # datasets, sizes
CORE = 24  # configurations


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    for name, length in (("colours", 1), ("stories", 60)):
        lines = [
            json.dumps({"prompt": f"{SECRET} {number}:", "completion": "blue sky " * length})
            for number in range(700)
        ]
        (folder / f"{name}.jsonl").write_text("\n".join(lines))
    return folder


@pytest.fixture(scope="module")
def pairs(data: Path) -> list[Pair]:
    return find_pairs(find_sources(data, ["colours", "stories"]), [TINY])


@pytest.fixture(scope="module")
def items(pairs: list[Pair]) -> list[Item]:
    return [item for pair in pairs for item in core(pair, 0, {})]


def plan(data: Path, folder: Path, **options: Any) -> list[Item]:
    sources = find_sources(data, ["colours"])
    return list(plan_items(sources, [TINY], Results(folder), **options))


def short_items(data: Path, base_model: str, count: int) -> list[Item]:
    found = find_pairs(find_sources(data, ["colours"]), [base_model])
    chosen = core(found[0], 0, {})
    return [item for item in chosen if item.configuration.epochs <= 3][:count]


def scored(item: Item, gain: float) -> Run:
    """Return the record of a run that gained so much."""
    scores = Scores(base_loss=50.0, best_loss=50.0 - gain, last_loss=50.0 - gain)
    done = failed(item, "", "succeeded")
    return done.model_copy(update={"scores": scores})


def test_the_core_is_many_different_configurations_that_every_model_can_run(
    pairs: list[Pair],
) -> None:
    large = pairs[0].task.model_copy(update={"model": find_model("meta-llama/Llama-3.2-3B")})
    for task in (pairs[0].task, large):
        found = core_configurations(task)
        for configuration in found.values():
            check(configuration, task.model)
        keys = {relative_key(configuration, task.model) for configuration in found.values()}

        assert len(found) == len(keys) == CORE
        assert found.keys() >= set(SCREENING)
    assert len({configuration.method.name for configuration in found.values()}) >= 9


def test_the_default_is_among_the_core_with_its_rate_and_with_the_rule_s(
    pairs: list[Pair],
) -> None:
    found = core_configurations(pairs[0].task)

    assert found[DEFAULT].optimizer.learning_rate == 2e-4
    assert found[DEFAULT].method.values["r"] == 16
    assert rate_ratio(found[WIDTH_RULE], pairs[0].task.model) == pytest.approx(1.0)
    assert found[DEFAULT].method == found[WIDTH_RULE].method


def test_a_core_configuration_is_the_same_on_every_dataset(items: list[Item]) -> None:
    of_pair: dict[str, set[str]] = {}
    for item in items:
        key = relative_key(item.configuration, item.task.model)
        of_pair.setdefault(item.task.pair, set()).add(key)

    assert len(of_pair) == PAIRS
    assert len({frozenset(keys) for keys in of_pair.values()}) == 1


def test_run_ids_name_pair_configuration_seed_and_limits(items: list[Item]) -> None:
    item = items[0]
    other_seed = item.configuration.model_copy(update={"seed": 7})
    elsewhere = item.task.model_copy(update={"device": find_device("NVIDIA L40S")})

    assert len({item.run_id for item in items}) == len(items)
    assert run_id(item.task, item.configuration, item.limits) == item.run_id
    assert run_id(item.task, other_seed, item.limits) != item.run_id
    assert run_id(item.task, item.configuration, Limits(train_seconds=1)) != item.run_id
    assert run_id(elsewhere, item.configuration, item.limits) == item.run_id


def test_pairs_whose_core_takes_too_long_are_left_out(pairs: list[Pair]) -> None:
    seconds = sorted(seconds_of_core(pair) for pair in pairs)

    kept = affordable_pairs(pairs, core_seconds=seconds[2])

    assert len(kept) == 3


def test_each_dataset_is_screened_once_before_anything_else(data: Path, tmp_path: Path) -> None:
    planned = plan(data, tmp_path)

    assert [item.detail.removeprefix("core: ") for item in planned] == [
        name for name in core_configurations(planned[0].task) if name in SCREENING
    ]
    assert {item.sized.size for item in planned} == {200}


@pytest.mark.parametrize(("gain", "goes_on"), [(0.0, False), (2.0, True)])
def test_what_the_base_cannot_learn_is_dropped_after_the_screening(
    data: Path, tmp_path: Path, gain: float, goes_on: bool
) -> None:
    shard = new_shard(tmp_path)
    for item in plan(data, tmp_path):
        append(shard, scored(item, gain))

    planned = plan(data, tmp_path, phases=["core"])

    assert {item.sized.size for item in planned} >= ({40, 200} if goes_on else set())
    assert bool(planned) == goes_on


def test_the_best_of_a_pair_are_repeated_with_another_seed_alone(
    items: list[Item], pairs: list[Pair]
) -> None:
    of_pair = [item for item in items if item.task.pair == pairs[0].task.pair]
    runs = {item.run_id: scored(item, gain) for gain, item in enumerate(of_pair)}

    repeated = list(seeds(pairs[0], 0, runs))

    assert [item.detail for item in repeated] == [item.detail for item in of_pair[::-1][:BEST]]
    for again, item in zip(repeated, of_pair[::-1], strict=False):
        assert again.configuration == item.configuration.model_copy(update={"seed": SECOND_SEED})


def test_neighbours_of_the_best_are_tried(items: list[Item], pairs: list[Pair]) -> None:
    of_pair = [item for item in items if item.task.pair == pairs[0].task.pair]
    runs = {item.run_id: scored(item, gain) for gain, item in enumerate(of_pair)}

    tried = list(near(pairs[0], 0, runs))

    assert len(tried) == WINNERS
    assert not {item.run_id for item in tried} & runs.keys()
    for item in tried:
        check(item.configuration, item.task.model)


def test_the_methods_take_turns_over_the_pairs(pairs: list[Pair]) -> None:
    turns = [item for number in range(4) for item in spread(pairs[number], number, {})]

    assert len({item.configuration.method.name for item in turns}) >= 0.9 * len(turns)


def test_what_is_beyond_the_core_is_possible_and_affordable(pairs: list[Pair]) -> None:
    beyond = [item for pair in pairs[:3] for item in spread(pair, 0, {})]
    for item in beyond:
        check(item.configuration, item.task.model)
        dataset, steps = item.task.dataset, item.configuration.epochs * item.sized.size
        mean = dataset.prompt_bytes.mean + dataset.completion_bytes.mean
        tokens = item.sized.size * min(256, mean / item.task.model.bytes_per_token)
        most = BUDGETS[-1] * 1.1

        assert item.configuration.epochs <= max(0.05, most * TOKENS / tokens)
        assert steps / item.configuration.batch_size <= max(1, most * MOST_STEPS)
    assert len(beyond) == 3 * SPREAD


def test_some_runs_are_to_fail(pairs: list[Pair]) -> None:
    planned = [item for number in range(3) for item in limits(pairs[number], number, {})]
    high = [item for item in planned if item.detail == "high rate"]

    details = sorted(item.detail for item in planned)
    assert details == [*["high rate"] * 3, "short of memory", "short of time"]
    for item in high:
        ratio = rate_ratio(item.configuration, item.task.model)
        assert HIGH_RATIOS[0] * 0.99 <= ratio <= HIGH_RATIOS[1] * 1.01
        assert item.configuration.gradient_clipping == "none"


def test_large_sizes_are_run_at_as_many_tokens_but_get_no_core(tmp_path: Path) -> None:
    sources, done = find_sources(None, ["generated-facts-people"]), Results(tmp_path)

    def planned(*phases: str) -> list[Item]:
        return list(plan_items(sources, [TINY], done, phases=phases))

    append(new_shard(tmp_path), scored(planned("screen")[0], 1.0))

    assert {item.sized.size for item in planned("core")} == {200}
    only = ["vblora"]
    named = plan_items(sources, [TINY], done, phases=["spread"], sizes=[1_000], methods=only)
    assert {(i.sized.size, i.configuration.method.name) for i in named} == {(1_000, "vblora")}
    assert {item.sized.size for item in planned("spread")} == {200, 1_000, 5_000}
    for item in planned("spread"):
        shortest = item.sized.size * item.configuration.epochs * 10
        assert shortest < TOKENS * BUDGETS[-1] * 1.1


def test_the_plan_is_the_same_again_and_another_shuffle_only_orders_it_anew(
    data: Path, tmp_path: Path
) -> None:
    sources = find_sources(data, ["colours", "stories"])

    def planned(seed: int) -> list[str]:
        results = Results(tmp_path)
        return [item.run_id for item in plan_items(sources, [TINY], results, shuffle_seed=seed)]

    assert planned(0) == planned(0)
    assert planned(3) != planned(0)
    assert sorted(planned(3)) == sorted(planned(0))


def test_results_are_read_as_they_are_written(items: list[Item], tmp_path: Path) -> None:
    results, shard, pair = Results(tmp_path), new_shard(tmp_path), items[0].task.pair
    known = [len(results.of(pair))]
    for item in items[:2]:
        append(shard, scored(item, 1.0))
        whole = shard.read_text()
        shard.write_text(whole + '{"cut off in the mid')
        known.append(len(results.of(pair)))
        shard.write_text(whole)

    assert known == [0, 1, 2]


def test_a_campaign_does_nothing_twice_and_makes_one_file(
    data: Path, tiny_llama: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    todo = short_items(data, tiny_llama, 2)
    output, merged = tmp_path / "campaign", tmp_path / "runs.parquet"

    first = campaign.run_items([*todo, todo[0]], output, processes=1)  # as core after screening
    (shard,) = output.iterdir()
    shard.write_text(shard.read_text() + '{"id": "cut off in the mid')
    second = campaign.run_items(todo, output, processes=1)
    status = campaign.main(["merge", "--output", str(output), "--to", str(merged)])
    runs = read_runs(merged)

    assert first == {"succeeded": 2}
    assert second == {}
    assert status == 0
    assert "2 runs over 1 datasets" in capsys.readouterr().out
    assert {run.id for run in runs} == {item.run_id for item in todo}
    assert all(run.core and run.origin.source == "campaign" for run in runs)
    assert all(run.score is not None and len(run.curve) >= 5 for run in runs)
    assert all(run.costs and run.costs.train_cpu_seconds > 0 for run in runs)
    assert all(run.versions["threads"] == "1" and run.versions["base_model"] for run in runs)
    assert SECRET not in merged.read_bytes().decode("latin-1") + shard.read_text()
    assert str(data) not in shard.read_text()
    assert len(build_table(runs).rows) == 2


def test_a_process_that_is_killed_leaves_a_failed_run_and_the_others_go_on(
    data: Path, tiny_llama: str, tmp_path: Path
) -> None:
    doomed, spared = short_items(data, tiny_llama, 2)
    states: list[RunState] = []

    def feed() -> Iterator[Item]:
        yield doomed
        (child,) = multiprocessing.active_children()
        os.kill(child.pid or 0, signal.SIGKILL)
        child.join()
        yield spared

    work_off(feed(), tmp_path, processes=2, is_over=lambda: False, report=states.append)
    runs = {run.id: run for run in read_shards([tmp_path])}

    assert states == ["failed", "succeeded"]
    assert runs[doomed.run_id].state == "failed"
    assert "-9" in runs[doomed.run_id].reason
    assert runs[spared.run_id].state == "succeeded"
    assert not multiprocessing.active_children()


def test_no_run_begins_after_its_time(tmp_path: Path, items: list[Item]) -> None:
    clock = iter(range(0, 10_000, 100))

    states = campaign.run_items(
        items[:5], tmp_path, processes=1, minutes=1, now=lambda: float(next(clock))
    )

    assert states.total() == 0
    assert done_ids(tmp_path) == set()


def test_equal_runs_of_two_folders_are_merged_into_one(tmp_path: Path, items: list[Item]) -> None:
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        append(new_shard(folder), failed(items[0], "no reason"))
    append(new_shard(folders[1]), failed(items[1], "no reason"))

    assert len(read_shards(folders)) == 2


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--data", "EMPTY"], "*.jsonl"),
        (["--datasets", "generated-nothing"], "generated-facts"),
        (["--datasets", "generated-facts-people", "--base-model", "nobody/nothing"], "base model"),
    ],
)
def test_a_wrong_option_is_refused_with_what_would_be_right(
    arguments: list[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [str(tmp_path) if argument == "EMPTY" else argument for argument in arguments]

    status = campaign.main(["--output", str(tmp_path / "out"), *given])

    assert status == 2
    assert told in capsys.readouterr().err


def test_an_unknown_phase_is_used_wrongly(tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as exit_info:
        campaign.main(["--output", str(tmp_path), "--plan", "core,nonsense"])

    assert exit_info.value.code == 2


def test_a_merged_run_is_probed_and_trained_again_bit_for_bit(
    data: Path, tiny_llama: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output, merged = tmp_path / "campaign", tmp_path / "runs.parquet"
    places = ["--base-model", tiny_llama, "--data", str(data)]
    campaign.run_items(short_items(data, tiny_llama, 1), output, processes=1)
    campaign.main(["merge", "--output", str(output), "--to", str(merged), *places])
    (run,) = read_runs(merged)

    status = campaign.main(["rerun", "--table", str(merged), "--rows", "3", *places])

    assert run.task.dataset.probe is not None
    assert run.task.dataset.probe.gradient_norm is not None
    assert status == 0
    assert capsys.readouterr().out.endswith(f"{run.task.model.id}: equal\n1 of 1 hold\n")


def test_a_run_that_scores_otherwise_is_told(
    data: Path, tiny_llama: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output, merged = tmp_path / "campaign", tmp_path / "runs.parquet"
    (item,) = short_items(data, tiny_llama, 1)
    done = do(item)
    assert done.scores is not None
    wrong = done.scores.model_copy(update={"best_loss": done.scores.best_loss - 0.5})
    append(new_shard(output), done.model_copy(update={"scores": wrong}))
    campaign.main(["merge", "--output", str(output), "--to", str(merged)])

    places = ["--base-model", tiny_llama, "--data", str(data)]
    status = campaign.main(["rerun", "--table", str(merged), *places])

    assert status == 1
    assert "0 of 1 hold" in capsys.readouterr().out
