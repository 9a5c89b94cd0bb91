"""Which checkpoints a run keeps, which it goes on from, and what it tells of the others."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from training_worker.request import RunRequest, RunResult
from training_worker.resuming.keeper import Preempted
from training_worker.run import run
from training_worker.trainer_messages import Notice, Saved


@pytest.fixture
def request_(make_request, tmp_path: Path) -> RunRequest:
    return make_request(checkpoint_folder=tmp_path, checkpoint_seconds=0.0)


def stopped(request: RunRequest, *, after: int) -> list[Saved]:
    taken: list[int] = []
    saved: list[Saved] = []
    with pytest.raises(Preempted):
        run(
            request,
            on_step=lambda step: taken.append(step.step),
            on_saved=saved.append,
            should_stop=lambda: bool(taken) and taken[-1] >= after,
        )
    return saved


def resumed(request: RunRequest) -> tuple[RunResult, list[Notice], list[int]]:
    notices: list[Notice] = []
    steps: list[int] = []
    result = run(request, on_notice=notices.append, on_step=lambda step: steps.append(step.step))
    assert result.state == "succeeded", result.reason
    return result, notices, steps


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_newest_two_are_kept(request_, tmp_path) -> None:
    saved = stopped(request_, after=5)

    assert [one.name for one in saved] == [f"0000000{step}-1" for step in range(1, 6)]
    assert names(tmp_path) == ["00000004-1", "00000005-1"]
    files = [path.stat().st_size for path in (tmp_path / "00000005-1").iterdir()]
    assert saved[-1].bytes < sum(files)


def test_a_checkpoint_is_due_only_after_its_time(request_, tmp_path) -> None:
    saved = stopped(replace(request_, checkpoint_seconds=3600.0), after=5)

    assert [one.step for one in saved] == [5]


def test_a_broken_one_is_passed_over_told_of_and_removed(request_, tmp_path) -> None:
    whole = run(replace(request_, checkpoint_folder=None))
    stopped(request_, after=5)
    (tmp_path / "00000005-1" / "state.pt").write_bytes(b"nothing of the kind")

    result, notices, steps = resumed(replace(request_, attempt=2))

    assert steps[:2] == [4, 5]
    assert [one.level for one in notices] == ["warn", "info"]
    assert notices[0].data["name"] == "00000005-1"
    assert "state.pt should have" in notices[0].message
    assert notices[1].data == {"name": "00000004-1", "step": 4}
    assert (result.curve, result.scores) == (whole.curve, whole.scores)
    assert names(tmp_path) == ["00000011-2", "00000012-2"]


def test_where_none_is_left_a_later_attempt_starts_at_0_and_says_so(request_, tmp_path) -> None:
    stopped(request_, after=5)
    for path in tmp_path.iterdir():
        (path / "manifest.json").unlink()

    _, notices, steps = resumed(replace(request_, attempt=2))

    assert steps[0] == 1
    assert ["no manifest" in one.message for one in notices] == [True, True, False]
    assert "starts at step 0" in notices[-1].message


def test_a_first_attempt_has_nothing_to_tell(request_) -> None:
    assert resumed(request_)[1] == []


def test_a_later_attempt_without_a_folder_says_that_it_starts_at_0(make_request) -> None:
    _, notices, _ = resumed(make_request(attempt=3))

    assert ["Let all workers share one folder" in one.message for one in notices] == [True]


@pytest.mark.parametrize("change", ["seed", "data", "base_model"])
def test_what_another_run_kept_is_refused_and_stays(
    change, request_, make_request, tiny_gpt2, tmp_path
) -> None:
    stopped(request_, after=5)
    kept = {"checkpoint_folder": tmp_path, "checkpoint_seconds": 0.0, "attempt": 2}
    other = {
        "seed": lambda: make_request(seed=9, **kept),
        "data": lambda: make_request(train=request_.train[1:], **kept),
        "base_model": lambda: make_request(base_model=tiny_gpt2, **kept),
    }[change]()

    _, notices, steps = resumed(other)

    assert steps[0] == 1
    assert ["another configuration, other data" in one.message for one in notices][:2] == [True] * 2
    assert names(tmp_path)[:2] == ["00000004-1", "00000005-1"]


def test_the_same_base_in_another_folder_is_the_same_base(request_, tiny_llama, tmp_path) -> None:
    stopped(request_, after=5)
    moved = shutil.copytree(tiny_llama, tmp_path.parent / "moved")

    _, _, steps = resumed(replace(request_, base_model=str(moved), attempt=2))

    assert steps[0] == 5
