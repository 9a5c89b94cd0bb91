"""Knowledge: fitted, saved, loaded, asked and compared."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from metadata import knowledge_files
from metadata.errors import InvalidRequest, TooFewRuns
from metadata.features import FEATURES
from metadata.features.device import find_device
from metadata.features.model import find_model
from metadata.footprint import plan
from metadata.knowledge import Forecast, Knowledge, compare, fit_knowledge
from metadata.priors import rate_ratio
from metadata.records import Configuration, Run, Task
from metadata.space import check, default_configuration, sample, width_rule_configuration

LIMIT_BYTES = 3_000_000


@pytest.fixture(scope="module")
def runs(world: ModuleType) -> list[Run]:
    made: list[Run] = world.make_runs(datasets=8, extras=3)
    return made


@pytest.fixture(scope="module")
def known(runs: list[Run]) -> Knowledge:
    return fit_knowledge(runs)


@pytest.fixture(scope="module")
def task(world: ModuleType) -> Task:
    found: Task = world.make_task(30, 60)
    return found


def candidates(task: Task, *, count: int = 40) -> list[Configuration]:
    drawn = sample(task.model, count=count, rng=np.random.default_rng(5))
    return [default_configuration(task), width_rule_configuration(task), *drawn]


def ask(known: Knowledge, task: Task, some: Sequence[Configuration]) -> Forecast:
    return known.forecast(task, some, [plan(one, task) for one in some])


def content(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_same_runs_in_any_order_give_the_same_bytes(
    known: Knowledge, runs: list[Run], tmp_path: Path
) -> None:
    known.save(tmp_path / "one")
    fit_knowledge(runs[::-1]).save(tmp_path / "two")

    assert content(tmp_path / "one") == content(tmp_path / "two")


def test_another_run_gives_another_version(known: Knowledge, runs: list[Run]) -> None:
    assert fit_knowledge(runs[:-1]).version != known.version


def test_loaded_knowledge_answers_bit_for_bit_the_same(
    known: Knowledge, task: Task, tmp_path: Path
) -> None:
    known.save(tmp_path)
    loaded = Knowledge.load(tmp_path)
    some = candidates(task)

    before, after = ask(known, task, some), ask(loaded, task, some)

    assert loaded.version == known.version
    assert loaded.held_out == known.held_out
    assert loaded.portfolio == known.portfolio
    for name in vars(before).keys() - {"described"}:
        assert np.array_equal(getattr(before, name), getattr(after, name)), name
    assert known.pick(before, count=5) == loaded.pick(after, count=5)


def test_saving_what_was_loaded_changes_nothing(known: Knowledge, tmp_path: Path) -> None:
    known.save(tmp_path / "one")
    Knowledge.load(tmp_path / "one").save(tmp_path / "two")

    assert content(tmp_path / "one") == content(tmp_path / "two")


def test_it_is_small_and_holds_no_pickle(known: Knowledge, tmp_path: Path) -> None:
    known.save(tmp_path)

    files = content(tmp_path)
    assert sum(map(len, files.values())) < LIMIT_BYTES
    assert {Path(name).suffix for name in files} == {".json", ".npz", ".gz", ".txt"}
    with np.load(tmp_path / "arrays.npz", allow_pickle=False) as arrays:
        assert all(arrays[name].dtype.kind in "fiub" for name in arrays.files)


def test_a_folder_without_knowledge_says_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match=r"no knowledge\.json.*python -m metadata fit"):
        Knowledge.load(tmp_path)


@pytest.mark.parametrize("name", ["arrays.npz", "runs.json.gz", "knowledge.json"])
def test_a_damaged_file_is_refused_without_a_crash(
    known: Knowledge, tmp_path: Path, name: str
) -> None:
    known.save(tmp_path)
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[: len(whole) // 2])

    with pytest.raises(InvalidRequest, match="damaged") as refusal:
        Knowledge.load(tmp_path)
    assert str(tmp_path) not in str(refusal.value)


def test_a_changed_model_is_refused(known: Knowledge, tmp_path: Path) -> None:
    known.save(tmp_path)
    path = next((tmp_path / "models").glob("*.txt"))
    path.write_text(path.read_text().replace("leaf_value=", "leaf_value=9", 1))

    with pytest.raises(InvalidRequest, match="damaged"):
        Knowledge.load(tmp_path)


def test_knowledge_of_other_features_is_refused(known: Knowledge, tmp_path: Path) -> None:
    known.save(tmp_path)
    head = json.loads((tmp_path / "knowledge.json").read_text())
    (tmp_path / "knowledge.json").write_text(json.dumps({**head, "features": ["other"]}))

    with pytest.raises(InvalidRequest, match="other features"):
        Knowledge.load(tmp_path)


def test_a_forecast_is_within_its_intervals_and_of_sensible_size(
    known: Knowledge, task: Task
) -> None:
    said = ask(known, task, candidates(task))

    for name in ("regret", "seconds", "bytes"):
        low, middle, high = (getattr(said, f"{name}{end}") for end in ("_low", "", "_high"))
        assert (low <= middle).all(), name
        assert (middle <= high).all(), name
    assert (said.regret >= 0).all()
    assert (said.regret_high <= 2).all()
    assert ((said.beats_default >= 0) & (said.beats_default <= 1)).all()
    assert said.beats_default[0] == pytest.approx(0.5, abs=0.02)


def test_what_is_truly_better_than_the_default_is_forecast_so(
    known: Knowledge, world: ModuleType
) -> None:
    task = world.make_task(30, 1000)
    some = [default_configuration(task), width_rule_configuration(task)]
    rule = world._rule(task)
    truth = [world.true_gain(one, task, rule) for one in some]

    said = ask(known, task, some)

    assert truth[1] > truth[0]
    assert said.regret[1] < said.regret[0]
    assert said.beats_default[1] > 0.5


def test_a_forecast_of_no_candidates_is_empty(known: Knowledge, task: Task) -> None:
    assert ask(known, task, []).regret.shape == (0,)


def test_a_list_starts_with_the_best_of_the_core_and_repeats_nothing(
    known: Knowledge, task: Task, world: ModuleType
) -> None:
    core = world.core_configurations(task)
    said = ask(known, task, core)

    picked = known.pick(said, count=6)

    assert picked[0] == int(np.argmin(said.regret))
    assert len(set(picked)) == 6


def test_a_list_is_no_longer_than_its_candidates(known: Knowledge, task: Task) -> None:
    some = candidates(task, count=2)

    assert len(known.pick(ask(known, task, some), count=50)) == len(some)


def test_evidence_of_a_known_kind_of_task_is_near(known: Knowledge, task: Task) -> None:
    evidence = known.evidence(task)

    assert evidence.in_distribution
    assert evidence.runs == known.created_from["runs"]
    assert evidence.tasks == 16


def test_a_large_model_is_far_and_says_so_in_words(known: Knowledge, task: Task) -> None:
    model = find_model("meta-llama/Llama-3.2-3B")

    evidence = known.evidence(task.model_copy(update={"model": model}))

    assert not evidence.in_distribution
    assert evidence.distance > 3
    assert evidence.farthest[0] == "model size: 2,300 times the largest known"


def test_far_from_all_evidence_intervals_are_wider(known: Knowledge, task: Task) -> None:
    changes = {"model": find_model("meta-llama/Llama-3.2-3B"), "device": find_device("L40S")}
    far = task.model_copy(update=changes)

    said = [ask(known, one, [width_rule_configuration(one)]) for one in (task, far)]

    widths = [float(one.regret_high[0] - one.regret_low[0]) for one in said]
    assert widths[1] > 1.4  # of a range of 2: over worlds and seeds 1.4 to 2.0
    assert widths[1] > 1.1 * widths[0]  # which is 0.9 to 1.75
    assert said[1].seconds_high[0] / said[1].seconds_low[0] > 8.9


def test_nearest_runs_of_a_known_configuration_on_its_own_task_are_itself(
    known: Knowledge, runs: list[Run]
) -> None:
    run = runs[3]

    nearest = known.nearest_runs(run.task, [run.configuration], count=3)[0]

    assert nearest[0].run.configuration.key == run.configuration.key  # repeats stand for each other
    assert nearest[0].run.task.pair == run.task.pair
    assert nearest[0].distance == pytest.approx(0.0, abs=1e-3)
    assert [one.distance for one in nearest] == sorted(one.distance for one in nearest)


def test_entries_added_to_a_table_later_leave_knowledge_as_it_was(
    known: Knowledge, task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known.save(tmp_path / "old")
    place = FEATURES.index("method_lora")
    more = (*FEATURES[:place], "method_new", *FEATURES[place:])
    before = known.past.reference_NF

    monkeypatch.setattr(knowledge_files, "FEATURES", more)
    content, version = knowledge_files.read(tmp_path / "old")

    after = content.arrays["past.reference_NF"]
    assert version == known.version
    assert np.array_equal(np.delete(after, place, axis=1), before)
    assert not after[:, place].any()
    assert content.arrays["quality.core_scale_F"][place] == 1.0


def test_past_winners_are_different_and_carried_over(known: Knowledge, task: Task) -> None:
    wide = task.model_copy(update={"model": find_model("meta-llama/Llama-3.2-1B")})

    narrow, carried = (known.past_winners(one, count=8) for one in (task, wide))

    assert len({one.key for one in carried}) == len(carried) == 8
    ratios = [sorted(_ratios(some, one)) for some, one in ((narrow, task), (carried, wide))]
    assert ratios[0] == pytest.approx(ratios[1], rel=5e-4)
    for one in carried:
        check(one, wide.model)


def _ratios(some: list[Configuration], task: Task) -> list[float]:
    return [rate_ratio(one, task.model) for one in some]


def test_the_portfolio_gets_better_with_every_entry(known: Knowledge) -> None:
    found = [entry.list_regret for entry in known.portfolio]

    assert found == sorted(found, reverse=True)
    assert known.portfolio[0].mean_regret == pytest.approx(found[0])
    assert known.portfolio[0].mean_regret == min(one.mean_regret for one in known.portfolio)


def test_a_run_of_a_user_on_new_data_is_in_the_evidence(
    known: Knowledge, runs: list[Run], world: ModuleType
) -> None:
    own_task = world.make_task(50, 200)
    own = runs[0].model_copy(update={"id": "own-run", "task": own_task, "core": False})

    after = fit_knowledge([*runs, own])

    assert after.evidence(own_task).runs == known.evidence(own_task).runs + 1
    assert after.evidence(own_task).tasks == known.evidence(own_task).tasks + 1
    nearest = after.nearest_runs(own_task, [own.configuration], count=1)[0][0]
    assert (nearest.run.id, nearest.regret) == ("own-run", None)
    assert compare(known, after)


def test_effects_say_what_each_choice_adds(known: Knowledge, task: Task) -> None:
    wrong = width_rule_configuration(task)
    optimizer = wrong.optimizer.model_copy(update={"learning_rate": 0.2})
    wrong = wrong.model_copy(update={"optimizer": optimizer, "epochs": 9.0})

    found = known.effects(task, [wrong])[0]

    by_choice = {one.choice: one for one in found}
    assert set(by_choice) <= {"learning_rate", "epochs"}
    assert by_choice["learning_rate"].value == "0.2"
    assert by_choice["learning_rate"].regret_change > 0


def test_reasons_of_several_are_those_of_each(known: Knowledge, task: Task) -> None:
    some = [*sample(task.model, count=4, rng=np.random.default_rng(3)), default_configuration(task)]

    effects, nearest = known.effects(task, some), known.nearest_runs(task, some, count=3)

    for place, one in enumerate(some):
        (alone,) = known.effects(task, [one])
        assert [effect[:2] for effect in effects[place]] == [effect[:2] for effect in alone]
        assert [effect.regret_change for effect in effects[place]] == pytest.approx(
            [effect.regret_change for effect in alone]
        )
        (near,) = known.nearest_runs(task, [one], count=3)
        assert [past.run.id for past in nearest[place]] == [past.run.id for past in near]


def test_the_default_has_no_effects(known: Knowledge, task: Task) -> None:
    assert known.effects(task, [default_configuration(task)]) == [[]]


def test_effects_of_every_method_can_be_asked(known: Knowledge, task: Task) -> None:
    for one in sample(task.model, count=30, rng=np.random.default_rng(2)):
        found = known.effects(task, [one])[0]

        sizes = [abs(effect.regret_change) for effect in found]
        assert sizes == sorted(sizes, reverse=True)


def held_out(regrets: dict[str, float]) -> dict[str, Any]:
    mean = float(np.mean(list(regrets.values())))
    groups = {name: {"ours": {"1": value}} for name, value in regrets.items()}
    return {"regret": {"ours": {"1": mean}}, "groups": groups}


@pytest.mark.parametrize(
    ("old", "new", "is_fine"),
    [
        ({"a": 0.3, "b": 0.5}, {"a": 0.3, "b": 0.5}, True),
        ({"a": 0.3, "b": 0.5}, {"a": 0.2, "b": 0.5}, True),
        ({"a": 0.3, "b": 0.5}, {"a": 0.4, "b": 0.5}, False),
        ({"a": 0.3, "b": 0.5}, {"a": 0.3, "b": 0.5, "hard": 1.5}, True),
        ({"a": 0.3, "easy": 0.0}, {"a": 0.3}, True),
        ({"a": 0.3}, {"z": 0.2}, True),
        ({"a": 0.3}, {"z": 0.4}, False),
    ],
)
def test_versions_are_compared_on_the_datasets_they_share(
    known: Knowledge, old: dict[str, float], new: dict[str, float], is_fine: bool
) -> None:
    before, after = (replace(known, held_out=held_out(one)) for one in (old, new))

    assert compare(before, after) is is_fine


def test_too_few_runs_say_what_is_needed(runs: list[Run]) -> None:
    with pytest.raises(TooFewRuns, match="at least 4 datasets"):
        fit_knowledge([run for run in runs if run.task.dataset.group < "world-03"])
