"""How configurations lean with the base model, and what is true of it elsewhere."""

from dataclasses import replace

import numpy as np
import pytest

from metadata.features import TASK_FEATURES
from metadata.held_out import is_proven
from metadata.surrogates.leanings import (
    OF_BASE,
    RIDGES,
    change_left_out,
    errors_saved,
    fit_leanings,
    try_leanings,
)
from metadata.surrogates.portfolio import Scenarios
from metadata.surrogates.rehearsal import rehearse

SIZE, EXAMPLES = (TASK_FEATURES.index(f"log2_{name}") for name in ("parameters", "examples"))


def scenarios(
    *, datasets: int = 30, is_true: bool = True, seed: int = 0, by: int = SIZE
) -> Scenarios:
    """Return pairs on which one of two configurations wins by size, beside eight middling ones."""
    rng = np.random.default_rng(seed)
    task_TT = rng.normal(size=(datasets, len(TASK_FEATURES)))
    regret_TK = 1.0 + 0.1 * rng.normal(size=(datasets, 10))
    leaning_T = task_TT[:, by] if is_true else rng.normal(size=datasets)
    regret_TK[:, 0] += 0.4 * leaning_T - 0.3
    regret_TK[:, 1] -= 0.4 * leaning_T + 0.3
    return Scenarios(
        keys=tuple("abcdefghij"),
        regret_TK=regret_TK,
        group_T=np.arange(datasets),
        task_TT=task_TT,
    )


def test_what_leans_with_size_is_learnt_and_believed() -> None:
    known = scenarios()

    trial = try_leanings(known)
    shift_K = fit_leanings(known, ridge=trial.ridge).shift(np.eye(len(TASK_FEATURES))[SIZE] * 2.0)

    assert trial.trust > 0.7
    assert shift_K[0] > 0.3 > 0.2 > abs(shift_K[5])
    assert shift_K[1] < -0.3


@pytest.mark.parametrize(("by", "looked_at"), [(SIZE, 1), (EXAMPLES, 2)])
def test_examples_are_looked_at_where_first_runs_are_better_for_it(by: int, looked_at: int) -> None:
    trials = [try_leanings(scenarios(by=by, seed=seed)) for seed in range(4)]

    assert [len(one.looked_at) for one in trials] == [looked_at] * 4


def test_a_base_model_that_was_run_leans_in_its_own_way_and_one_that_was_not_by_its_size() -> None:
    known = scenarios(is_true=False)
    base_V = [TASK_FEATURES.index(name) for name in OF_BASE]
    task_TT, regret_TK = known.task_TT.copy(), known.regret_TK.copy()
    task_TT[:, base_V] = np.where(known.group_T % 2, 12.0, 12.5)[:, None]
    regret_TK[known.group_T % 2 == 1, 5] -= 0.8
    leanings = fit_leanings(replace(known, task_TT=task_TT, regret_TK=regret_TK), ridge=RIDGES[0])

    def strange(log2_parameters: float) -> float:
        other = task_TT[0].copy()
        other[base_V] = [log2_parameters, *(20.0 for _ in base_V[1:])]  # of another shape
        return float(leanings.shift(other)[5])

    even, odd = (float(leanings.shift(one)[5]) for one in (task_TT[0], task_TT[1]))

    assert even > 0.3
    assert odd < -0.3
    assert odd < strange(12.0) < -0.05  # as large as the odd ones: a part of what they are
    assert strange(12.25) == pytest.approx(0.0, abs=1e-9)  # in the middle nothing is said


def test_a_dataset_that_is_there_many_times_moves_no_slope() -> None:
    known = scenarios()
    copied_T = np.concatenate([np.arange(30), np.repeat(3, 40)])
    often = replace(
        known,
        regret_TK=known.regret_TK[copied_T],
        group_T=known.group_T[copied_T],
        task_TT=known.task_TT[copied_T],
    )

    once, many = (fit_leanings(one, ridge=RIDGES[1]) for one in (known, often))

    assert many.shift(known.task_TT[7]) == pytest.approx(once.shift(known.task_TT[7]))


def test_a_slope_ends_where_nobody_looked() -> None:
    leanings = fit_leanings(scenarios(), ridge=RIDGES[0])
    far, farther = (np.eye(len(TASK_FEATURES))[SIZE] * value for value in (20.0, 40.0))

    assert leanings.shift(far) == pytest.approx(leanings.shift(farther))


def test_noise_is_drawn_to_nothing() -> None:
    def believed(*, is_true: bool) -> float:
        trials = [try_leanings(scenarios(is_true=is_true, seed=seed)) for seed in range(8)]
        return float(np.mean([one.trust * np.abs(one.shift_TK[:, :2]).mean() for one in trials]))

    assert believed(is_true=False) < 0.3 * believed(is_true=True)


def test_the_first_run_of_the_learnt_list_is_the_one_that_suits() -> None:
    known = scenarios()

    learnt, portfolio = (
        rehearse(known, counts=(1, 2), change_TK=change)
        for change in (change_left_out(known), None)
    )

    assert learnt[:, 0].mean() < 0.8 * portfolio[:, 0].mean()
    assert learnt[:, 1].mean() == pytest.approx(portfolio[:, 1].mean(), abs=0.05)


def test_errors_fall_where_the_rule_is_true_of_datasets_left_out_and_not_where_it_is_noise() -> (
    None
):
    of_rule, of_noise = (
        errors_saved(known, change_left_out(known))
        for known in (scenarios(is_true=True), scenarios(is_true=False))
    )

    assert is_proven(of_rule)
    assert not is_proven(of_noise)


def test_a_dataset_left_out_says_nothing_of_itself() -> None:
    known = scenarios()
    turned = known.regret_TK.copy()
    turned[3] = turned[3, ::-1]

    before, after = (
        try_leanings(one).shift_TK[3] for one in (known, replace(known, regret_TK=turned))
    )

    assert np.allclose(before, after, atol=0.1)
    assert not np.allclose(turned[3], known.regret_TK[3], atol=0.1)


def test_gaps_and_constant_features_leave_all_finite() -> None:
    known = scenarios()
    regret_TK = known.regret_TK.copy()
    regret_TK[::3, 4] = np.nan
    task_TT = known.task_TT.copy()
    task_TT[:, [TASK_FEATURES.index(name) for name in OF_BASE]] = 20.0  # one base model
    gapped = replace(known, regret_TK=regret_TK, task_TT=task_TT)

    leanings = fit_leanings(gapped, ridge=RIDGES[0])
    other = gapped.task_TT[0].copy()
    other[TASK_FEATURES.index("log2_parameters")] = 33.0

    assert np.isfinite(try_leanings(gapped).trust)
    assert leanings.shift(other) == pytest.approx(leanings.shift(gapped.task_TT[0]))
