"""How configurations lean with what there is to learn, and what is true of it elsewhere."""

from dataclasses import replace

import numpy as np
import pytest

from metadata.features import TASK_FEATURES
from metadata.surrogates.leanings import RIDGES, fit_leanings, try_ridges
from metadata.surrogates.portfolio import Scenarios
from metadata.surrogates.rehearsal import rehearse, rehearse_learnt

EXAMPLES = TASK_FEATURES.index("log2_examples")


def scenarios(*, datasets: int = 30, is_true: bool = True, seed: int = 0) -> Scenarios:
    """Return pairs on which one of two configurations wins by size, beside eight middling ones."""
    rng = np.random.default_rng(seed)
    task_TT = rng.normal(size=(datasets, len(TASK_FEATURES)))
    regret_TK = 1.0 + 0.1 * rng.normal(size=(datasets, 10))
    leaning_T = task_TT[:, EXAMPLES] if is_true else rng.normal(size=datasets)
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

    trial = try_ridges(known)
    shift_K = fit_leanings(known, ridge=trial.ridge).shift(
        np.eye(len(TASK_FEATURES))[EXAMPLES] * 2.0
    )

    assert trial.trust > 0.7
    assert shift_K[0] > 0.3 > 0.2 > abs(shift_K[5])
    assert shift_K[1] < -0.3


def test_noise_is_drawn_to_nothing() -> None:
    def believed(*, is_true: bool) -> float:
        trials = [try_ridges(scenarios(is_true=is_true, seed=seed)) for seed in range(8)]
        return float(np.mean([one.trust * np.abs(one.shift_TK[:, :2]).mean() for one in trials]))

    assert believed(is_true=False) < 0.3 * believed(is_true=True)


def test_the_first_run_of_the_learnt_list_is_the_one_that_suits() -> None:
    known = scenarios()

    learnt, portfolio = rehearse_learnt(known, counts=(1, 2)), rehearse(known, counts=(1, 2))

    assert learnt[:, 0].mean() < 0.8 * portfolio[:, 0].mean()
    assert learnt[:, 1].mean() == pytest.approx(portfolio[:, 1].mean(), abs=0.05)


def test_a_dataset_left_out_says_nothing_of_itself() -> None:
    known = scenarios()
    turned = known.regret_TK.copy()
    turned[3] = turned[3, ::-1]

    before, after = (
        try_ridges(one).shift_TK[3] for one in (known, replace(known, regret_TK=turned))
    )

    assert np.allclose(before, after, atol=0.1)
    assert not np.allclose(turned[3], known.regret_TK[3], atol=0.1)


def test_gaps_and_constant_features_leave_all_finite() -> None:
    known = scenarios()
    regret_TK = known.regret_TK.copy()
    regret_TK[::3, 4] = np.nan
    task_TT = known.task_TT.copy()
    task_TT[:, TASK_FEATURES.index("log2_parameters")] = 20.0
    gapped = replace(known, regret_TK=regret_TK, task_TT=task_TT)

    leanings = fit_leanings(gapped, ridge=RIDGES[0])
    other = gapped.task_TT[0].copy()
    other[TASK_FEATURES.index("log2_parameters")] = 33.0

    assert np.isfinite(try_ridges(gapped).trust)
    assert leanings.shift(other) == pytest.approx(leanings.shift(gapped.task_TT[0]))
