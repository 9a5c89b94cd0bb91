import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from metadata.records import Probe, Run, RunState
from metadata.runs_file import read_runs, write_runs
from metadata.table import build_table
from training_worker import campaign
from training_worker.campaigns.pairs import find_pairs
from training_worker.campaigns.plan import (
    Item,
    core,
)
from training_worker.campaigns.pool import work_off
from training_worker.campaigns.results import Results
from training_worker.campaigns.shards import append, done_ids, new_shard, read_shards
from training_worker.campaigns.sources import find_sources
from training_worker.campaigns.work import do, failed

SECRET = "zanzibar"  # in every prompt of `data`
Scored = Callable[[Item, float], Run]


def short_items(data: Path, base_model: str, count: int) -> list[Item]:
    found = find_pairs(find_sources(data, ["colours"]), [base_model])
    chosen = core(found[0], 0, {})
    return [item for item in chosen if item.configuration.epochs <= 3][:count]


def test_pairs_that_take_too_long_are_named_with_their_seconds(
    data: Path, tiny_llama: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = ["--output", str(tmp_path), "--data", str(data), "--base-model", tiny_llama]

    status = campaign.main(
        [*places, "--datasets", "colours", "--plan", "core", "--core-seconds", "0"]
    )

    said = capsys.readouterr().err
    assert (status, list(tmp_path.iterdir())) == (0, [])
    assert "more than 0 s: colours-" in said
    assert "Raise --core-seconds to have them." in said


def test_results_are_read_as_they_are_written(
    items: list[Item], tmp_path: Path, scored: Scored
) -> None:
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


def test_a_table_made_before_is_added_and_keeps_its_probes(
    data: Path, tmp_path: Path, items: list[Item], scored: Scored
) -> None:
    old, new = (scored(item, 1.0) for item in items[:2])
    profile = old.task.dataset.model_copy(update={"probe": Probe(loss_mean=2.5, loss_spread=0.5)})
    old = old.model_copy(update={"task": old.task.model_copy(update={"dataset": profile})})
    before, merged, shards = tmp_path / "old.parquet", tmp_path / "runs.parquet", tmp_path / "new"
    write_runs(before, [old])
    append(new_shard(shards), new)
    append(new_shard(shards), scored(items[0], 2.0))  # the same run again: what is known stands

    status = campaign.main(
        ["merge", "--output", str(shards), "--add", str(before), "--to", str(merged)]
    )

    found = {run.id: run for run in read_runs(merged)}
    assert status == 0
    assert found.keys() == {old.id, new.id}
    assert found[old.id].score == 1.0
    assert found[old.id].task.dataset.probe == profile.probe


def test_runs_are_known_by_the_speed_of_the_machine_that_was_measured(
    tmp_path: Path,
    items: list[Item],
    scored: Scored,
    world: ModuleType,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run, shards, merged = scored(items[0], 1.0), tmp_path / "shards", tmp_path / "runs.parquet"
    append(new_shard(shards), run)
    files = {
        "same": world.times_slower(run.task.device, 2),
        "other": world.times_slower(
            run.task.device.model_copy(update={"name": "CPU, 64 cores"}), 2
        ),
    }
    for name, calibration in files.items():
        (tmp_path / name).write_text(calibration.model_dump_json())
    asked = ["merge", "--output", str(shards), "--to", str(merged), "--calibration"]

    statuses = [campaign.main([*asked, str(tmp_path / name)]) for name in (*files, "shards")]

    (found,) = read_runs(merged)
    device, said = found.task.device, capsys.readouterr().err
    assert statuses == [0, 2, 2]
    assert "must be of the device that was measured, CPU, 64 cores" in said
    assert "is not what `python -m training_worker calibrate --json`" in said
    assert device.name == run.task.device.name + ", measured"
    assert device.memory_bytes == run.task.device.memory_bytes
    assert device.bf16_tflops == pytest.approx(run.task.device.bf16_tflops / 2)


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
