"""Base models that were never run: what was learnt carries over as far as models are alike."""

from types import ModuleType

import pytest

from metadata.errors import TooFewRuns
from metadata.left_out_models import leave_large_models_out, leave_models_out
from metadata.records import Run
from metadata.surrogates.quality import fit
from metadata.table import build_table


@pytest.fixture(scope="module")
def runs(world: ModuleType) -> list[Run]:
    made: list[Run] = world.make_runs(datasets=6, sizes=(60,), extras=0)
    return made


def of_another_model(run: Run, *, parameters: int = 5_000_000, is_opposite: bool = False) -> Run:
    """Return the same run on a base model on which what gains most gains least, if opposite."""
    model = run.task.model.model_copy(update={"id": "another", "parameters": parameters})
    task = run.task.model_copy(update={"model": model})
    changed = run.model_copy(update={"id": f"another-{run.id[:20]}", "task": task})
    if not is_opposite or run.scores is None:
        return changed
    gain = run.scores.base_loss - run.scores.best_loss
    loss = run.scores.base_loss - 2.0 + gain
    scores = run.scores.model_copy(update={"best_loss": loss, "last_loss": loss})
    return changed.model_copy(update={"scores": scores})


def test_where_models_are_alike_one_that_was_never_run_costs_little(runs: list[Run]) -> None:
    table = build_table([*runs, *map(of_another_model, runs)])

    found = leave_models_out(table, draws=100, learn=fit)

    assert found.pairs == 12
    assert found.ratio.low <= found.ratio.mean <= found.ratio.high
    assert found.ratio.mean == pytest.approx(1.0, abs=0.3)
    assert found.unknown["ours"][1] < 0.5 * found.unknown["random"][1]


def test_where_one_model_is_the_opposite_of_the_other_it_costs_much(runs: list[Run]) -> None:
    table = build_table([*runs, *(of_another_model(run, is_opposite=True) for run in runs)])

    found = leave_models_out(table, draws=100, learn=fit)

    assert found.unknown["ours"][1] > 2 * found.known["ours"][1]
    assert found.ratio.mean > 2


def test_models_need_not_have_been_tried_with_the_same_core(runs: list[Run]) -> None:
    keys = sorted({run.configuration.model_dump_json(exclude={"seed"}) for run in runs})
    only, never = keys[:2], keys[2:4]
    ours, others = (
        [r for r in runs if r.configuration.model_dump_json(exclude={"seed"}) not in left]
        for left in (only, never)
    )
    table = build_table([*ours, *map(of_another_model, others)])

    found = leave_models_out(table, draws=100, learn=fit)

    assert found.pairs == 12
    assert found.unknown["ours"][1] < 0.5 * found.unknown["random"][1]


def test_a_largest_model_without_a_core_is_told(runs: list[Run]) -> None:
    large = of_another_model(runs[0], parameters=50_000_000)

    with pytest.raises(TooFewRuns, match="needs a core of configurations run on it"):
        leave_large_models_out(build_table([*runs, large]), largest=2_000_000, learn=fit)


@pytest.mark.parametrize("is_opposite", [False, True])
def test_what_small_models_taught_is_played_on_the_largest(
    runs: list[Run], is_opposite: bool
) -> None:
    large = [of_another_model(r, parameters=50_000_000, is_opposite=is_opposite) for r in runs]
    table = build_table([*runs, *large])

    found = leave_large_models_out(table, largest=2_000_000, learn=fit)

    assert (found["ours"][1] > 1.0) == is_opposite
    assert (found["ours"][1] > found["random"][1]) == is_opposite


def test_one_model_is_too_few(runs: list[Run]) -> None:
    with pytest.raises(TooFewRuns, match="at least two of them"):
        leave_models_out(build_table(runs))
    with pytest.raises(TooFewRuns, match="a larger base model"):
        leave_large_models_out(build_table(runs), largest=2_000_000)
