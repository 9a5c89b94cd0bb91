import json
import multiprocessing
import os
import signal
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import pytest

from metadata.features.device import find_device
from metadata.features.model import find_model
from metadata.messages import Limits
from metadata.priors import rate_ratio
from metadata.records import RunState
from metadata.runs_file import read_runs
from metadata.space import check
from metadata.table import build_table, relative_key
from training_worker import campaign
from training_worker.campaigns.core import DEFAULT, WIDTH_RULE, core_configurations
from training_worker.campaigns.plan import (
    EXTREME_RATIOS,
    MOST_STEPS,
    MOST_TOKENS,
    Item,
    find_pairs,
    plan_items,
    run_id,
)
from training_worker.campaigns.pool import work_off
from training_worker.campaigns.shards import append, done_ids, new_shard, read_shards
from training_worker.campaigns.sources import find_sources
from training_worker.campaigns.work import failed

SECRET = "zanzibar"  # a word of every prompt, which no run may tell
TINY = "peftwise-tiny"
PAIRS = 2 * 3  # datasets, sizes


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
def items(data: Path) -> list[Item]:
    return list(plan_items(find_sources(data, ["colours", "stories"]), [TINY]))


def short_items(data: Path, base_model: str, count: int) -> list[Item]:
    sources = find_sources(data, ["colours"])
    chosen = plan_items(sources, [base_model], phases=["core"])
    return [item for item in chosen if item.configuration.epochs <= 3][:count]


def test_the_core_is_twenty_different_configurations_that_every_model_can_run(data: Path) -> None:
    (pair, *_) = find_pairs(find_sources(data, ["colours"]), [TINY])
    large = pair.task.model_copy(update={"model": find_model("meta-llama/Llama-3.2-3B")})
    for task in (pair.task, large):
        core = core_configurations(task)
        for configuration in core.values():
            check(configuration, task.model)
        keys = {relative_key(configuration, task.model) for configuration in core.values()}

        assert len(core) == len(keys) == 20
    methods = {configuration.method.name for configuration in core.values()}
    assert methods == {"lora", "rslora", "dora", "ia3", "bitfit", "full"}
    assert {configuration.optimizer.name for configuration in core.values()} == {"adamw", "lion"}


def test_the_default_is_among_the_core_with_its_rate_and_with_the_rule_s(data: Path) -> None:
    (pair, *_) = find_pairs(find_sources(data, ["colours"]), [TINY])
    core = core_configurations(pair.task)

    assert core[DEFAULT].optimizer.learning_rate == 2e-4
    assert core[DEFAULT].method.values["r"] == 16
    assert rate_ratio(core[WIDTH_RULE], pair.task.model) == pytest.approx(1.0)
    assert core[DEFAULT].method == core[WIDTH_RULE].method


def test_a_core_configuration_is_the_same_on_every_dataset(items: list[Item]) -> None:
    of_pair: dict[str, set[str]] = {}
    for item in items:
        if item.detail.startswith("core"):
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


def test_the_core_of_every_pair_comes_first_and_pair_by_pair(items: list[Item]) -> None:
    core = [item for item in items if item.core and item.configuration.seed == 0]
    repeats = [item for item in items if item.core and item.configuration.seed > 0]
    pairs = [pair for pair, _ in groupby(core, key=lambda item: item.task.pair)]

    assert items[: len(core)] == core
    assert items[len(core) : len(core) + len(repeats)] == repeats
    assert len(pairs) == len(set(pairs)) == PAIRS
    assert len(core) == PAIRS * 20
    assert len(repeats) == PAIRS * 4


def test_repeats_differ_from_the_core_by_their_seed_alone(items: list[Item]) -> None:
    core = {(item.task.pair, item.configuration.key) for item in items if item.core}
    repeats = [item for item in items if item.core and item.configuration.seed > 0]

    assert all((item.task.pair, item.configuration.key) in core for item in repeats)
    assert {item.configuration.seed for item in repeats} == {1, 2}


def test_what_is_beyond_the_core_is_possible_and_affordable(items: list[Item]) -> None:
    beyond = [item for item in items if not item.core]
    for item in beyond:
        check(item.configuration, item.task.model)
        dataset, steps = item.task.dataset, item.configuration.epochs * item.sized.size
        mean = dataset.prompt_bytes.mean + dataset.completion_bytes.mean
        tokens = item.sized.size * min(256, mean / item.task.model.bytes_per_token)

        assert item.configuration.epochs <= max(0.55, 1.05 * MOST_TOKENS / tokens)
        assert steps / item.configuration.batch_size <= 1.05 * MOST_STEPS
    assert sum(item.detail == "random" for item in beyond) == PAIRS * 8


def test_some_rates_are_far_above_the_usual(items: list[Item]) -> None:
    ratios = [
        rate_ratio(item.configuration, item.task.model)
        for item in items
        if item.detail == "high rate"
    ]

    assert len(ratios) == PAIRS
    assert all(EXTREME_RATIOS[0] * 0.99 <= ratio <= EXTREME_RATIOS[1] * 1.01 for ratio in ratios)


def test_the_plan_is_the_same_again_and_another_shuffle_only_orders_it_anew(
    data: Path, items: list[Item]
) -> None:
    sources = find_sources(data, ["colours", "stories"])
    again = [item.run_id for item in plan_items(sources, [TINY])]
    shuffled = [item.run_id for item in plan_items(sources, [TINY], shuffle_seed=3)]

    assert again == [item.run_id for item in items]
    assert shuffled != again
    assert sorted(shuffled) == sorted(again)


def test_a_campaign_does_nothing_twice_and_makes_one_file(
    data: Path, tiny_llama: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    todo = short_items(data, tiny_llama, 2)
    output, merged = tmp_path / "campaign", tmp_path / "runs.parquet"

    first = campaign.run_items(todo, output, processes=1)
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
