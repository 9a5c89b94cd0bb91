from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from metadata.features.device import find_device
from metadata.features.model import find_model, known_models
from metadata.messages import Limits
from metadata.priors import carry_over, rate_ratio
from metadata.records import Run
from metadata.relative import relative_key
from metadata.space import check
from training_worker.campaigns.core import DEFAULT, SCREENING, WIDTH_RULE, core_configurations
from training_worker.campaigns.pairs import Pair, find_pairs, split_by_core
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
    limits,
    near,
    plan_items,
    run_id,
    seeds,
    spread,
)
from training_worker.campaigns.results import Results
from training_worker.campaigns.shards import append, new_shard
from training_worker.campaigns.sources import find_sources

TINY = "peftwise-tiny"
PAIRS = 2 * 3  # datasets, sizes
CORE = 24  # configurations
Scored = Callable[[Item, float], Run]


def plan(data: Path, folder: Path, **options: Any) -> list[Item]:
    return list(plan_items(named_pairs(data, "colours"), Results(folder), **options))


def named_pairs(data: Path | None, *names: str) -> list[Pair]:
    return find_pairs(find_sources(data, names), [TINY])


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


def test_a_core_configuration_is_known_on_every_model_it_is_carried_over_to(
    pairs: list[Pair],
) -> None:
    task = pairs[0].task
    found = core_configurations(task).values()
    keys = [relative_key(one, task.model) for one in found]

    for model in known_models():
        carried = [carry_over(one, known=task.model, new=model) for one in found]
        assert [relative_key(one, model) for one in carried] == keys


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
    _, measured = split_by_core(pairs, core_seconds=0)
    third = sorted(seconds for _, seconds in measured)[2]

    kept, left = split_by_core(pairs, core_seconds=third)

    assert (len(measured), len(kept)) == (len(pairs), 3)
    assert all(seconds > third for _, seconds in left)
    assert {id(pair) for pair in [*kept, *(pair for pair, _ in left)]} == set(map(id, pairs))


def test_each_dataset_is_screened_once_before_anything_else(data: Path, tmp_path: Path) -> None:
    planned = plan(data, tmp_path)

    assert [item.detail.removeprefix("core: ") for item in planned] == [
        name for name in core_configurations(planned[0].task) if name in SCREENING
    ]
    assert {item.sized.size for item in planned} == {200}


@pytest.mark.parametrize(("gain", "goes_on"), [(0.0, False), (2.0, True)])
def test_what_the_base_cannot_learn_is_dropped_after_the_screening(
    data: Path, tmp_path: Path, gain: float, goes_on: bool, scored: Scored
) -> None:
    shard = new_shard(tmp_path)
    for item in plan(data, tmp_path):
        append(shard, scored(item, gain))

    planned = plan(data, tmp_path, phases=["core"])

    assert {item.sized.size for item in planned} >= ({40, 200} if goes_on else set())
    assert bool(planned) == goes_on


def test_the_best_of_a_pair_are_repeated_with_another_seed_alone(
    items: list[Item], pairs: list[Pair], scored: Scored
) -> None:
    of_pair = [item for item in items if item.task.pair == pairs[0].task.pair]
    runs = {item.run_id: scored(item, gain) for gain, item in enumerate(of_pair)}

    repeated = list(seeds(pairs[0], 0, runs))

    assert [item.detail for item in repeated] == [item.detail for item in of_pair[::-1][:BEST]]
    for again, item in zip(repeated, of_pair[::-1], strict=False):
        assert again.configuration == item.configuration.model_copy(update={"seed": SECOND_SEED})


def test_neighbours_of_the_best_are_tried(
    items: list[Item], pairs: list[Pair], scored: Scored
) -> None:
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


def test_large_sizes_are_run_at_as_many_tokens_but_get_no_core(
    tmp_path: Path, scored: Scored
) -> None:
    pairs, done = named_pairs(None, "generated-facts-people"), Results(tmp_path)

    def planned(*phases: str) -> list[Item]:
        affordable, _ = split_by_core(pairs) if "core" in phases else (pairs, [])
        return list(plan_items(affordable, done, phases=phases))

    append(new_shard(tmp_path), scored(planned("screen")[0], 1.0))

    assert {item.sized.size for item in planned("core")} == {200}
    only = ["vblora"]
    named = plan_items(pairs, done, phases=["spread"], sizes=[1_000], methods=only)
    assert {(i.sized.size, i.configuration.method.name) for i in named} == {(1_000, "vblora")}
    assert {item.sized.size for item in planned("spread")} == {200, 1_000, 5_000}
    for item in planned("spread"):
        shortest = item.sized.size * item.configuration.epochs * 10
        assert shortest < TOKENS * BUDGETS[-1] * 1.1


def test_the_plan_is_the_same_again_and_another_shuffle_only_orders_it_anew(
    data: Path, tmp_path: Path
) -> None:
    pairs = named_pairs(data, "colours", "stories")

    def planned(seed: int) -> list[str]:
        results = Results(tmp_path)
        return [item.run_id for item in plan_items(pairs, results, shuffle_seed=seed)]

    assert planned(0) == planned(0)
    assert planned(3) != planned(0)
    assert sorted(planned(3)) == sorted(planned(0))
